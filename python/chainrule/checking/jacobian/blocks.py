"""A Jacobian from the code under test, in any form, as a matrix of M outputs and N numbers of an argument.

Dense: an array of shape out + in, or (M, N). Sparse: a matrix or array of scipy.sparse, recognized by its `tocoo`; or
one number for each entry, the diagonal of a function that works elementwise. By products: a LinearOperator, recognized
by its `matvec`, or a pair of functions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.finite_differences import Floats
from chainrule.checking.results import long_axes
from chainrule.checking.subject import Answer

#: All columns are computed for an operator with at most this many.
_MOST_COLUMNS = 2_000


@dataclass(frozen=True)
class Block(ABC):
    """The derivatives of the outputs with respect to one argument."""

    #: M and N.
    shape: tuple[int, int]

    @property
    @abstractmethod
    def numbers(self) -> FloatArray:
        """All given numbers, for questions about them as a whole."""

    @abstractmethod
    def times(self, v: Floats) -> Floats:
        """Give J v, (M,)."""

    @abstractmethod
    def largest(self, scales: Floats | None = None) -> Floats:
        """Give the size of the largest entry of each row, (M,), times the scale of its column if that is given."""

    def dense(self) -> Floats | None:
        """Give the matrix, if it is available."""
        return None

    def times_transposed(self, w: Floats) -> Floats | None:
        """Give Jᵀ w, (N,), if it is available."""
        return None

    def pattern(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Give the rows and columns of the nonzero entries, if the form has them."""
        return None


@dataclass(frozen=True)
class Dense(Block):
    """A complete matrix."""

    matrix: FloatArray

    @property
    def numbers(self) -> FloatArray:
        """The matrix."""
        return self.matrix

    def times(self, v: Floats) -> Floats:
        """Give J v."""
        used = v != 0  # leaves out numbers in the other columns that are not finite
        matrix, v = (self.matrix, v) if used.all() else (self.matrix[:, used], v[used])
        return np.asarray(matrix @ v, np.float64)

    def times_transposed(self, w: Floats) -> Floats:
        """Give Jᵀ w."""
        return np.asarray(w @ self.matrix, np.float64)

    def largest(self, scales: Floats | None = None) -> Floats:
        """Give that of each row."""
        sizes = _finite_sizes(self.matrix)
        return np.asarray((sizes if scales is None else sizes * scales).max(axis=1, initial=0))

    def dense(self) -> Floats:
        """Give the matrix."""
        return np.asarray(self.matrix, np.float64)


@dataclass(frozen=True)
class Sparse(Block):
    """The nonzero entries; several at the same place are added up."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    data: FloatArray

    @property
    def numbers(self) -> FloatArray:
        """The entries."""
        return self.data

    def times(self, v: Floats) -> Floats:
        """Give J v."""
        factors = v[self.columns]
        products = np.where(factors != 0, self.data * factors, 0)
        return np.bincount(self.rows, weights=products, minlength=self.shape[0]).astype(np.float64)

    def times_transposed(self, w: Floats) -> Floats:
        """Give Jᵀ w."""
        products = self.data * w[self.rows]
        return np.bincount(self.columns, weights=products, minlength=self.shape[1]).astype(np.float64)

    def largest(self, scales: Floats | None = None) -> Floats:
        """Give that of each row."""
        sizes, entries = np.zeros(self.shape[0]), _finite_sizes(self.data)
        np.maximum.at(sizes, self.rows, entries if scales is None else entries * scales[self.columns])
        return sizes

    def pattern(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the rows and columns of the entries."""
        return self.rows, self.columns


@dataclass(frozen=True)
class Products(Block):
    """A matrix that is known by its products with vectors."""

    product: Callable[[Floats], Any]
    #: Its products with a few vectors, so that two calls can be compared.
    some: FloatArray

    @property
    def numbers(self) -> FloatArray:
        """Its products with a few vectors."""
        return self.some

    def times(self, v: Floats) -> Floats:
        """Give J v."""
        return vector(self.product(v), self.shape[0], "J v")

    def largest(self, scales: Floats | None = None) -> Floats:
        """Estimate it from products with random vectors whose entries are about 1."""
        size = 1.0 if scales is None else float(scales.max(initial=0))
        return np.asarray(np.abs(self.numbers).max(axis=0, initial=0) * size)

    def dense(self) -> Floats | None:
        """Compute the matrix column by column, unless there are very many."""
        if self.shape[1] > _MOST_COLUMNS:
            return None
        return (
            np.stack([self.times(v) for v in np.eye(self.shape[1])], axis=1) if self.shape[1] else np.zeros(self.shape)
        )


@dataclass
class JacobianAnswer(Answer):
    """The answer of jac."""

    #: The derivatives with respect to each argument, as matrices; and those whose shape cannot be that of derivatives.
    blocks: dict[str, Block] = field(default_factory=dict)
    misshapen: dict[str, Any] = field(default_factory=dict)


def by_products(product: Callable[[Floats], Any], shape: tuple[int, int]) -> Products:
    """Give a matrix from its products."""
    some = np.random.default_rng(5).uniform(0.5, 1.5, (2, shape[1]))
    return Products(shape, product, np.stack([vector(product(v), shape[0], "J v") for v in some]))


def is_sparse(value: Any) -> bool:
    """Tell whether something is a matrix or an array of scipy.sparse, or similar."""
    return callable(getattr(value, "tocoo", None)) and hasattr(value, "shape")


def is_operator(value: Any) -> bool:
    """Tell whether something is a LinearOperator, or similar."""
    return callable(getattr(value, "matvec", None)) and hasattr(value, "shape")


def is_jacobian(value: Any, outputs: Any, inputs: Mapping[str, Any]) -> bool:
    """Tell from its shape whether something can only be a Jacobian of several outputs and several numbers."""
    if is_sparse(value) or is_operator(value):
        return True
    out = np.shape(outputs) if isinstance(outputs, np.ndarray) else ()
    shapes = [a.shape for a in inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if not out or not shapes:
        return False
    if isinstance(value, tuple):
        return len(value) == len(shapes) and all(
            isinstance(v, np.ndarray) and v.shape == (*out, *shape) for v, shape in zip(value, shapes, strict=True)
        )
    return isinstance(value, np.ndarray) and value.shape == (*out, *shapes[0]) != out


def is_by_entry(value: Any, outputs: Any, inputs: Mapping[str, Any]) -> bool:
    """Tell whether something is one array, as the outputs are, for each entry of a vector: ``[dK_1, dK_2, …]``.

    A matrix is none: its rows are gradients.
    """
    floats = [a for a in inputs.values() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if not isinstance(outputs, np.ndarray) or outputs.ndim == 0 or len(floats) != 1 or floats[0].ndim != 1:
        return False
    several = isinstance(value, list | tuple) and all(isinstance(one, np.ndarray) for one in value)
    if not (several or (isinstance(value, np.ndarray) and value.ndim > 2)):
        return False
    return len(value) == floats[0].size and all(np.shape(one) == outputs.shape for one in value)


def block_of(value: Any, out: tuple[int, ...], into: tuple[int, ...], what: str) -> Block | None:
    """Give the block for the derivatives of outputs of shape `out` with respect to an argument of shape `into`.

    None if `value` does not have the shape of such derivatives.
    """
    shape = math.prod(out), math.prod(into)
    if is_sparse(value):
        coo = value.tocoo()
        coo = coo.reshape(1, -1) if len(coo.shape) == 1 else coo
        if tuple(coo.shape) != shape:
            return None
        row, column = (np.asarray(i, np.int64) for i in (coo.row, coo.col))
        return sparse(row, column, _real(coo.data, what), shape)
    if is_operator(value):
        return by_products(value.matvec, shape) if tuple(value.shape) == shape else None
    array = _real(value, what)
    if array.shape == (*out, *into) or long_axes(array.shape) in (long_axes((*out, *into)), long_axes(shape)):
        return Dense(shape, array.reshape(shape))
    if array.shape == into == out and array.size > 1:  # one for each entry
        diagonal = np.arange(array.size)
        return Sparse(shape, diagonal, diagonal, array.reshape(-1))
    if len(out) == len(into) == 2 and out[0] == into[0] and array.shape == (*out, into[1]):  # one matrix for each row
        example, row, column = (i.reshape(-1) for i in np.indices(array.shape))
        return sparse(example * out[1] + row, example * into[1] + column, array.reshape(-1), shape)
    return None


def sparse(rows: NDArray[np.int64], columns: NDArray[np.int64], data: FloatArray, shape: tuple[int, int]) -> Sparse:
    """Give entries in the order of their columns; entries at the same place are added up."""
    places, which = np.unique(columns * shape[0] + rows, return_inverse=True)
    if len(places) == len(data):
        order = np.argsort(which, kind="stable")
        return Sparse(shape, rows[order], columns[order], data[order])
    return Sparse(shape, places % shape[0], places // shape[0], np.bincount(which, weights=data))


def vector(value: Any, size: int, what: str) -> Floats:
    """Give a product as a vector; raise ValueError if it is not one."""
    array = np.asarray(value)
    if array.size != size or array.dtype.kind not in "fbiu":
        raise ValueError(f"{what} must be {size} real numbers, got {array.dtype} of shape {array.shape}")
    return array.reshape(-1).astype(np.float64)


def _real(value: Any, what: str) -> FloatArray:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "fbiu":
        raise TypeError(
            f"{what} must give real numbers, a sparse matrix or a LinearOperator, or a tuple with one of these for each"
            f" argument, got {type(value).__name__} of {array.dtype}"
        )
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _finite_sizes(array: FloatArray) -> Floats:
    return np.asarray(np.nan_to_num(np.abs(array), nan=0.0, posinf=0.0), np.float64)
