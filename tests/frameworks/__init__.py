"""Code for PyTorch and JAX: right, with one mistake each, and mistakes as they were reported in public."""
