"""Which arrays of an object are parameters, and where their gradients lie."""
