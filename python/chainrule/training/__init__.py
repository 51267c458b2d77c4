"""Training in one call: `fit`, and what you can pass to it."""
