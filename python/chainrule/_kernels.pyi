"""The Rust extension: see `rust/bindings`.

Arrays are C-contiguous. In one call, the parameters, scores and gradients are all float32 or all float64; class ids and
row numbers are int64, losses are float64, and examples are uint8, float32 or float64 with one row each.
"""

from collections.abc import Sequence
from typing import Any, final

from numpy.typing import NDArray

__version__: str
__all__ = [
    "Engine",
    "Evaluation",
    "Examples",
    "Scratch",
    "__version__",
    "affine",
    "column_sums",
    "dropout_mask",
    "from_safetensors",
    "inflate_segments",
    "instruction_set",
    "layer_backward",
    "layer_forward",
    "layer_sizes",
    "limit_threads",
    "loss",
    "matmul_a_bt",
    "not_a_distribution",
    "threads",
    "weight_gradient",
    "zero_where",
]

def affine(x: NDArray[Any], W: NDArray[Any], b: NDArray[Any], out: NDArray[Any], scratch: Scratch) -> None: ...
def column_sums(dout: NDArray[Any], out: NDArray[Any]) -> None: ...
def dropout_mask(ratio: float, draws: tuple[int, int, int, int], mask: NDArray[Any]) -> None: ...
def from_safetensors(file: bytes) -> tuple[dict[str, str], list[tuple[str, str, list[int], int]]]: ...
def inflate_segments(file: bytes, first: int, out: NDArray[Any]) -> bool: ...
def instruction_set() -> str: ...
def layer_backward(
    described: tuple[str, list[int], list[float]],
    arrays: list[NDArray[Any]],
    x: NDArray[Any],
    dout: NDArray[Any],
    dx: NDArray[Any],
    d_params: list[NDArray[Any]],
    numbers: NDArray[Any],
    places: NDArray[Any],
    training: bool,
) -> None: ...
def layer_forward(
    described: tuple[str, list[int], list[float]],
    arrays: list[NDArray[Any]],
    x: NDArray[Any],
    out: NDArray[Any],
    numbers: NDArray[Any],
    places: NDArray[Any],
    training: bool,
) -> None: ...
def layer_sizes(described: tuple[str, list[int], list[float]], rows: int, inputs: int) -> tuple[int, int, int]: ...
def loss(
    name: str,
    scores: NDArray[Any],
    t: NDArray[Any],
    y: NDArray[Any],
    d_scores: NDArray[Any],
    weights: NDArray[Any] | None = None,
) -> float: ...
def limit_threads(most: int) -> int: ...
def matmul_a_bt(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None: ...
def not_a_distribution(t: NDArray[Any]) -> int | None: ...
def threads() -> int: ...
def weight_gradient(
    x: NDArray[Any], dout: NDArray[Any], out: NDArray[Any], scratch: Scratch, same_x: bool = False
) -> None: ...
def zero_where(mask: NDArray[Any], dout: NDArray[Any], out: NDArray[Any]) -> None: ...

@final
class Scratch:
    def __new__(cls) -> Scratch: ...

@final
class Examples:
    def prepare(self) -> bool: ...

@final
class Evaluation:
    def advance(self) -> bool: ...
    def result(self) -> tuple[float, float]: ...

@final
class Engine:
    def __new__(
        cls, dtype: str, features: int, layers: list[tuple[str, list[int], list[float]]], loss: str
    ) -> Engine: ...
    def trains_otherwise(self) -> bool: ...
    def examples(self, x: NDArray[Any], leave_out: bool = True) -> Examples: ...
    def steps(
        self,
        params: list[NDArray[Any]],
        state: list[NDArray[Any]],
        x: Examples,
        t: NDArray[Any],
        rows: NDArray[Any],
        batch_size: int,
        optimizer: tuple[str, float, float, float, float, int],
        stop_if_diverged: bool,
        losses: NDArray[Any],
        beside: list[Evaluation] = ...,
        weights: NDArray[Any] | None = None,
        largest_norm: float | None = None,
        draws: tuple[int, int] = ...,
        done: NDArray[Any] | None = None,
    ) -> tuple[int, bool]: ...
    def gradient(
        self,
        params: list[NDArray[Any]],
        x: Examples,
        t: NDArray[Any],
        rows: NDArray[Any],
        size: int,
        of_batch: int,
        adding: bool,
        out: NDArray[Any],
        weights: NDArray[Any] | None = None,
        draws: tuple[int, int, int] = ...,
    ) -> float: ...
    def update(
        self,
        params: list[NDArray[Any]],
        state: list[NDArray[Any]],
        gradient: NDArray[Any],
        optimizer: tuple[str, float, float, float, float, int],
    ) -> None: ...
    def evaluations(
        self, params: list[NDArray[Any]], sets: Sequence[tuple[NDArray[Any] | Examples, NDArray[Any]]]
    ) -> list[Evaluation]: ...
    def scores(
        self,
        params: list[NDArray[Any]],
        x: NDArray[Any] | Examples,
        first: int,
        out: NDArray[Any],
    ) -> int: ...
    def losses(
        self,
        params: list[NDArray[Any]],
        x: NDArray[Any],
        t: NDArray[Any],
        index: int,
        entries: NDArray[Any],
        offsets: NDArray[Any],
        out: NDArray[Any],
        first: int,
        draws: list[tuple[int, int, int]] = ...,
    ) -> int: ...
    def losses_along(
        self,
        params: list[NDArray[Any]],
        directions: Sequence[NDArray[Any] | None],
        x: NDArray[Any] | Examples,
        t: NDArray[Any],
        offsets: NDArray[Any],
        out: NDArray[Any],
        first: int,
        draws: list[tuple[int, int, int]] = ...,
    ) -> int: ...
