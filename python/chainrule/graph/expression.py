"""Read an expression such as ``(x + y) * z`` into a graph, with a parser of our own, never with ``eval``.

::

    sum      = product (("+" | "-") product)*
    product  = unary (("*" | "/" | "@") unary)*
    unary    = "-" unary | power
    power    = atom ["**" unary]
    atom     = number | name | function "(" sum ["," sum] ")" | "(" sum ")"

So ``-x ** 2`` is -(x²) and ``2 ** 3 ** 2`` is 2 to the 9th, as in Python. The functions are those of `FUNCTIONS`.
An expression has at most `LONGEST` characters and `DEEPEST` levels of nesting.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from chainrule.graph.variable import Variable
from chainrule.graph.wording import LINE, one_line, shortened

#: A longer expression is refused before it is read: nobody would read its explanation.
LONGEST = 10_000
#: Nesting deeper than this is refused, before Python's own stack is full.
DEEPEST = 100

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|[-+*/@(),]))"
)

#: How many arguments each function takes, and what it does.
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    **{
        name: (1, operator.methodcaller(name))
        for name in ("exp", "log", "sin", "cos", "tanh", "sqrt", "abs", "sum", "mean")
    },
    "maximum": (2, Variable.maximum),
    "minimum": (2, Variable.minimum),
    "clip": (3, Variable.clip),
}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "@": operator.matmul,
    "**": operator.pow,
}  # fmt: skip


class ExpressionError(ValueError):
    """An expression cannot be read; a caret marks the place, and a long expression is shown only around it."""

    def __init__(self, message: str, text: str, column: int) -> None:
        start = max(0, min(column - LINE // 2, len(text) - LINE))
        before, after = "…" * (start > 0), "…" * (start + LINE < len(text))
        shown = one_line(text[start : start + LINE])  # tabs and the like would move the caret
        caret = " " * (len(before) + column - start) + "^"
        super().__init__(f"{message}, at column {column + 1}\n  {before}{shown}{after}\n  {caret}")
        self.column = column


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


def evaluate(text: str, values: Mapping[str, Any]) -> Variable:
    """Evaluate `text`, with a value for every name in it, and return the result as a recorded variable.

    An ExpressionError gives the column of what cannot be read, has no value or does not fit, or where the text exceeds
    10,000 characters or 100 levels of nesting. A value for a name that is not in the expression is a ValueError.

    Examples
    --------
    >>> g = evaluate("(x + y) * z", {"x": 2, "y": 3, "z": 4})
    >>> g.backward()
    >>> g
    Variable(20.0, grad=1.0)
    """
    reader = _Reader(text, values)
    result = reader.whole()
    unused = [name for name in values if name not in reader.variables]
    if unused:
        name = shortened(unused[0])
        raise ValueError(f"{name} has a value, but {shortened(text.strip())!r} has no {name}")
    return result if isinstance(result, Variable) else Variable(result)


def read_value(text: str) -> Any:
    """Read a number, a vector (``1,2,3``) or a matrix (``1,2;3,4``) from `text`, or raise ValueError.

    Examples
    --------
    >>> read_value("2"), read_value("1,2;3,4")
    (2.0, array([[1., 2.],
           [3., 4.]]))
    """
    try:
        rows = [[float(number) for number in row.split(",")] for row in text.split(";")]
    except ValueError:
        raise ValueError(f"a value is a number, 1,2,3 or 1,2;3,4, got {shortened(text)!r}") from None
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"the rows of a matrix are of one length, got {shortened(text)!r}")
    if len(rows) > 1:
        return np.array(rows)
    return np.array(rows[0]) if "," in text else rows[0][0]


class _Reader:
    """One pass over the tokens; numbers stay Python floats, so they are constants in the graph."""

    def __init__(self, text: str, values: Mapping[str, Any]) -> None:
        self._text, self._values = text, values
        self._tokens = self._split()
        self._next, self._depth = 0, 0
        self.variables: dict[str, Variable] = {}

    def whole(self) -> Any:
        """Read all of it."""
        try:
            result = self._sum()
        except RecursionError:  # who calls us stands deep in Python's stack already
            raise ExpressionError(
                "nested too deep for what is left of the stack", self._text, self._token.column
            ) from None
        token = self._token
        if token.kind != "end":
            what = "unexpected" if token.text == ")" else "expected an operator before"
            self._refuse(f"{what} {self._quoted(token)}", token)
        return result

    # --- tokens ---

    def _split(self) -> list[_Token]:
        tokens, at, text = [], 0, self._text
        if len(text) > LONGEST:
            part = "compute a part of it first, and give it as a value"
            raise ExpressionError(f"{len(text):,} characters, at most {LONGEST:,} are read: {part}", text, LONGEST)
        end = len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                raise ExpressionError(f"cannot read {text[at]!r}", text, at)
            kind = found.lastgroup or ""
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            at = found.end()
        return [*tokens, _Token("end", "the end", end)]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _taken(self, *signs: str) -> _Token | None:
        """Take the next token if it is one of `signs`."""
        token = self._token
        if token.kind != "sign" or token.text not in signs:
            return None
        self._next += 1
        return token

    def _refuse(self, message: str, token: _Token) -> NoReturn:
        raise ExpressionError(message, self._text, token.column)

    # --- the grammar ---

    def _sum(self) -> Any:
        return self._chain(self._product, "+", "-")

    def _product(self) -> Any:
        return self._chain(self._unary, "*", "/", "@")

    def _chain(self, operand: Callable[[], Any], *signs: str) -> Any:
        """Read operands between `signs`, from left to right."""
        x = operand()
        while sign := self._taken(*signs):
            x = self._applied(_OPERATORS[sign.text], sign, x, operand())
        return x

    def _unary(self) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            self._refuse(f"nested more than {DEEPEST} deep", self._token)
        sign = self._taken("-")
        result = self._applied(operator.neg, sign, self._unary()) if sign else self._power()
        self._depth -= 1
        return result

    def _power(self) -> Any:
        x = self._atom()
        sign = self._taken("**")
        return self._applied(_OPERATORS["**"], sign, x, self._unary()) if sign else x

    def _atom(self) -> Any:
        token = self._token
        if opening := self._taken("("):
            x = self._sum()
            self._close(opening)
            return x
        if token.kind == "end" or token.kind == "sign":
            self._refuse(f"expected a number, a name or '(' and found {self._quoted(token)}", token)
        self._next += 1
        if token.kind == "number":
            return float(token.text)
        if token.text in FUNCTIONS:
            return self._call(token)
        return self._variable(token)

    def _call(self, function: _Token) -> Any:
        opening = self._taken("(")
        if opening is None:
            self._refuse(f"{function.text} is a function: write {function.text}(…)", function)
        arguments = [self._sum()]
        while self._taken(","):
            arguments.append(self._sum())
        self._close(opening)
        count, apply = FUNCTIONS[function.text]
        if len(arguments) != count:
            self._refuse(f"{function.text} takes {count} argument{'s' * (count > 1)}, got {len(arguments)}", function)
        if not isinstance(arguments[0], Variable):
            arguments[0] = Variable(arguments[0])
        return self._applied(apply, function, *arguments)

    def _close(self, opening: _Token) -> None:
        if self._taken(")") is None:
            if self._token.kind == "end":
                self._refuse("this '(' is never closed", opening)
            self._refuse(f"expected ')' and found {self._quoted(self._token)}", self._token)

    def _variable(self, name: _Token) -> Variable:
        if name.text not in self._values:
            called = self._token.kind == "sign" and self._token.text == "("
            said = shortened(name.text)
            if called:
                self._refuse(f"{said} is no function; there are {', '.join(FUNCTIONS)}", name)
            self._refuse(f"{said} has no value: add {said}=…", name)
        if name.text not in self.variables:
            self.variables[name.text] = Variable(self._values[name.text], name.text)
        return self.variables[name.text]

    def _applied(self, function: Callable[..., Any], token: _Token, *arguments: Any) -> Any:
        """Call `function`; what it refuses is the fault of what stands at `token`."""
        if not any(isinstance(argument, Variable) for argument in arguments):
            arguments = (Variable(arguments[0]), *arguments[1:])  # so that 1/0 is inf here too
            return function(*arguments).value
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            self._refuse(str(error), token)

    @staticmethod
    def _quoted(token: _Token) -> str:
        return token.text if token.kind == "end" else repr(shortened(token.text))
