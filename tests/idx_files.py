"""Data sets in MNIST's format, written from the format's description."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def idx(array: NDArray[Any]) -> bytes:
    """Write bytes as IDX, from the format's description."""
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, **parts: tuple[NDArray[Any], NDArray[Any]]) -> str:
    for part, (images, labels) in parts.items():
        image_name, label_name = FILES[part]
        (folder / image_name).write_bytes(idx(images))
        (folder / label_name).write_bytes(idx(labels))
    return str(folder)
