"""Pictures of a training run and of its network, and a page with all of them."""
