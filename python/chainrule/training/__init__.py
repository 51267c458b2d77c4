"""Training in one call: what `fit` does, and what it can be given."""
