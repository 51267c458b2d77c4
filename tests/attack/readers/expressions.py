"""Expressions of ``chainrule graph``: the number that Python finds, or an error with the place."""

from __future__ import annotations

import ast
import contextlib
import math
import operator
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from attack.reader import Reader
from attack.target import Wrong
from chainrule.graph.expression import ExpressionError, evaluate, read_value

VALUES: dict[str, Any] = {
    "x": np.float64(2), "y": np.float64(-0.5), "v": np.array([1.0, 2.0]), "W": np.array([[1.0, -2.0], [3.0, 4.0]]),
}  # fmt: skip
#: As NumPy computes them.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "sum": np.sum, "mean": np.mean, "maximum": np.maximum,
}  # fmt: skip
_SIGNS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.MatMult: operator.matmul, ast.Pow: operator.pow, ast.USub: operator.neg,
}  # fmt: skip


def computed(node: Any) -> Any:
    """Compute what Python's own parser has read."""
    match node:
        case ast.Expression():
            return computed(node.body)
        case ast.Constant(value=int() | float() as value):
            return np.float64(value)
        case ast.Name():
            return VALUES[node.id]
        case ast.BinOp():
            return _SIGNS[type(node.op)](computed(node.left), computed(node.right))
        case ast.UnaryOp():
            return _SIGNS[type(node.op)](computed(node.operand))
        case ast.Call(func=ast.Name(id=name)):
            return _FUNCTIONS[name](*map(computed, node.args))
    raise Wrong(f"it was computed, and is more than an expression: {ast.dump(node)}")


_WORDS = [
    *(text.encode() for text in ("x", "y", "v", "W", "exp(", "log(", "sum(", "mean(", "maximum(", ",", "(", ")")),
    *(text.encode() for text in ("+", "-", "*", "/", "@", "**", " ", "2", "0", "1e308", ".5", "٣", "é", "²")),
    b"((((((((", b"))))))))", b"--------", b"**-", b"\xff", b"\0", b"\x1b[2J", b"\t", b"\n", b"__import__('os')",
]  # fmt: skip


class Expressions(Reader):
    """`evaluate`, and what is told of the result."""

    name = "expression"
    allowed = (ExpressionError, ValueError)
    words = _WORDS

    def valid(self) -> Sequence[bytes]:
        texts = [
            "(x + y) * z", "sum(maximum(v @ W, 0))", "-x**2", "2 ** 3 ** 2", "log(x) / exp(-y)", "mean(W * W) - 1e-3",
            "x", "maximum(x, y) @ 1", "W @ v + v", ".5 * x", "(" * 90 + "x" + ")" * 90, "-" * 99 + "y",
        ]  # fmt: skip
        return [text.encode() for text in texts]

    def deeper(self, rng: random.Random, case: bytes, others: Sequence[bytes]) -> bytes | None:
        """Write an expression by the grammar."""
        return self._written(rng, rng.randrange(1, 7)).encode()

    def _written(self, rng: random.Random, deep: int) -> str:
        if deep == 0 or rng.random() < 0.1:
            return rng.choice(["x", "y", "v", "W", "2", "0", "0.5", "1e3", "3."])
        a, b = (self._written(rng, rng.randrange(deep)) for _ in range(2))
        sign = rng.choice("+-*/@") if rng.random() < 0.9 else "**"
        forms = [
            f"{a} {sign} {b}",
            f"({a}){sign}({b})",
            f"-{a}",
            f"exp({a})",
            f"log({a})",
            f"sum({a})",
            f"maximum({a}, {b})",
        ]
        return rng.choice(forms)

    def read(self, case: bytes) -> str:
        text = case.decode(errors="surrogateescape")  # as it comes from a shell
        with contextlib.suppress(ValueError):
            read_value(text)
        names = {name: value for name, value in VALUES.items() if name in text}
        try:
            with np.errstate(all="ignore"):
                result = evaluate(text, names)
                self._compare(text, result.value)
                result.backward()
        except (ExpressionError, ValueError) as error:
            if type(error) in self.allowed:
                _expect_short(str(error))
            raise
        with np.errstate(all="ignore"):
            said = [
                result.explain("text"),
                result.explain("markdown"),
                result.graph().to_dot(),
                result.graph().to_mermaid(),
            ]
            if (
                len(text) < 120
            ):  # found: the time for a drawing grows with the square of an expression, and is not bounded
                said.append(result.graph().to_svg(backward=True))
        if any("\x1b" in part or "\0" in part for part in said):
            raise Wrong("a drawing holds what a terminal obeys")
        return f"shape {np.shape(result.value)} {math.frexp(len(said[0]))[1]}"

    @staticmethod
    def _compare(text: str, got: Any) -> None:
        """Let Python compute it, where it is Python."""
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return
        wanted = computed(tree)
        if not np.allclose(got, wanted, rtol=1e-9, equal_nan=True):
            raise Wrong(f"it is {got}, Python finds {wanted}")


def _expect_short(message: str) -> None:
    """Raise if an error shows all of a long expression, or what a terminal obeys."""
    if len(message) > 1000:
        raise Wrong(f"an error of {len(message)} characters")
    if any(ord(sign) < 32 and sign != "\n" for sign in message):
        raise Wrong(f"an error holds what a terminal obeys: {message!r}")
