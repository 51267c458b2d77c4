"""The book's ``dataset/mnist.py``: MNIST from the package, and ``np`` for star imports; nothing is downloaded."""

import numpy as np

from chainrule.data.mnist import (
    download_mnist,
    img_dim,
    img_size,
    init_mnist,
    key_file,
    load_mnist,
    test_num,
    train_num,
)

__all__ = [
    "download_mnist",
    "img_dim",
    "img_size",
    "init_mnist",
    "key_file",
    "load_mnist",
    "np",
    "test_num",
    "train_num",
]
