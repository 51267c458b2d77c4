"""The book's folder ``dataset``: MNIST, which is in the package."""
