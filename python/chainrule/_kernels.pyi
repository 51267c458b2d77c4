"""The Rust extension: see `rust/bindings`. Arrays are C-contiguous, float32 or float64, all of one dtype."""

from typing import Any, final

from numpy.typing import NDArray

__version__: str

def affine(x: NDArray[Any], W: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None: ...
def instruction_set() -> str: ...
def matmul_a_bt(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None: ...
def matmul_at_b(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None: ...
def softmax_loss(scores: NDArray[Any], t: NDArray[Any], probs: NDArray[Any], d_scores: NDArray[Any]) -> float: ...

@final
class Engine:
    def __new__(cls, dtype: str, features: int, layers: list[tuple[str, int]]) -> Engine: ...
    def steps(
        self,
        params: list[NDArray[Any]],
        x: NDArray[Any],
        t: NDArray[Any],
        rows: NDArray[Any],
        batch_size: int,
        learning_rate: float,
        stop_if_diverged: bool,
        losses: NDArray[Any],
    ) -> tuple[int, bool]: ...
    def scores(self, params: list[NDArray[Any]], x: NDArray[Any], first: int, out: NDArray[Any]) -> int: ...
