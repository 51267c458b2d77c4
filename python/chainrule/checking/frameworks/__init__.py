"""PyTorch and JAX: modules and functions of theirs as subjects of the check. Neither is imported here.

`interop` knows them where they are met, `torch_subject` and `jax_subject` are the kinds of subject, `torch_contracts`
what holds of a right function of PyTorch beside the usual, `torch_copies` and `jax_arrays` compute in float64.
"""
