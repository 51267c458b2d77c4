"""Pictures of a run and of its network, and the page with all of them."""
