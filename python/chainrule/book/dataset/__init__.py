"""The book's folder ``dataset``: MNIST, which comes with the package."""
