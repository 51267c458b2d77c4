"""Expressions read from text: Python's own value is the oracle, and every mistake has its column."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.graph.expression import LONGEST, ExpressionError, evaluate, read_value

VALUES = {"x": 2.0, "y": 3.0, "z": 0.5}


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> str:
    """Draw an expression that Python reads too, with spaces and parentheses where they may be."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(["x", "y", "z", "2", "1.5", ".5", "3.", "1e-1", "2E+0"]))
    inner = expressions(depth=depth - 1)
    form = draw(st.sampled_from(["binary", "binary", "power", "minus", "parentheses", "call"]))
    space = draw(st.sampled_from(["", " ", "  "]))
    if form == "binary":
        return f"{draw(inner)}{space}{draw(st.sampled_from('+-*/'))}{space}{draw(inner)}"
    if form == "power":
        return f"({draw(inner)}){space}**{space}{draw(st.sampled_from(['2', '3', '-1', '2 ** 2', 'z']))}"
    if form == "minus":
        return f"-{draw(inner)}"
    if form == "call":
        name = draw(st.sampled_from(["exp", "sum", "mean", "maximum"]))
        return f"{name}{space}({draw(inner)}" + (f", {draw(inner)})" if name == "maximum" else ")")
    return f"({space}{draw(inner)})"


@settings(max_examples=500, deadline=None, derandomize=True)
@given(expressions())
def test_the_value_is_pythons(text: str) -> None:
    functions = {"exp": math.exp, "sum": lambda x: x, "mean": lambda x: x, "maximum": max}
    try:
        expected = eval(text, {"__builtins__": {}, **functions}, dict(VALUES))  # the test's own text
    except (ArithmeticError, ValueError):
        return  # Python raises where NumPy says inf or nan
    if isinstance(expected, complex):
        return
    used = {name: value for name, value in VALUES.items() if name in text.replace("exp", "").replace("maximum", "")}
    found = evaluate(text, used).value
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("-x ** 2", -4), ("2 ** 3 ** x", 512), ("x - y - z", -1.5), ("x / y / z", 4 / 3), ("--x", 2), ("2 ** -x", 0.25),
     ("x * -y", -6), ("\tx\n+ y", 5), ("log(exp(x))", 2), ("sin(x)**2 + cos(x)**2", 1), ("abs(-x) * sqrt(y * y)", 6),
     ("minimum(x, y) + clip(y, 0, 1)", 3), ("tanh(x)", math.tanh(2))],
)  # fmt: skip
def test_precedence_is_pythons(text: str, value: float) -> None:
    assert evaluate(text, {name: v for name, v in VALUES.items() if name in text}).value == pytest.approx(value)


def test_a_name_is_one_variable_wherever_it_stands() -> None:
    g = evaluate("x * x", {"x": 3})
    assert g.inputs[0] is g.inputs[1]
    g.backward()
    assert (g.inputs[0].name, g.inputs[0].grad) == ("x", 6)


def test_arrays() -> None:
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])
    assert evaluate("sum(x @ y)", {"x": x, "y": y}).value == (x @ y).sum()
    assert evaluate("mean(maximum(x, 2))", {"x": x}).value == 11 / 4


def test_constants_of_which_python_makes_errors_are_numpys() -> None:
    assert evaluate("1 / 0", {}).value == math.inf
    assert math.isnan(evaluate("(0 - 8) ** 0.5", {}).value)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("(x + y) * w", 11, "w has no value: add w=…"),
        ("(x + y", 1, r"this '\(' is never closed"),
        ("x + y)", 6, r"unexpected '\)'"),
        ("x + * y", 5, r"expected a number, a name or '\(' and found '\*'"),
        ("x +", 4, r"expected a number, a name or '\(' and found the end"),
        ("", 1, "found the end"),
        ("   ", 1, "found the end"),
        ("x y", 3, "expected an operator before 'y'"),
        ("2x", 2, "expected an operator before 'x'"),
        ("1.2.3", 4, "expected an operator before '.3'"),
        ("x $ y", 3, r"cannot read '\$'"),
        ("x = y", 3, "cannot read '='"),
        ("x // y", 4, "found '/'"),
        ("x + 'a'", 5, 'cannot read "\'"'),
        ("x.real", 2, r"cannot read '\.'"),
        ("exp x", 1, r"exp is a function: write exp\(…\)"),
        ("x + maximum(x)", 5, "maximum takes 2 arguments, got 1"),
        ("exp(x, y)", 1, "exp takes 1 argument, got 2"),
        ("exp()", 5, r"found '\)'"),
        ("tan(x)", 1, "tan is no function; there are exp, log, sin, cos, tanh, sqrt, abs, sum, mean, maximum, minimum"),
        ("__import__('os')", 1, "no function|cannot read"),
        ("exp(x y)", 7, r"expected '\)' and found 'y'"),
    ],
)
def test_a_mistake_has_its_column_and_a_caret(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        evaluate(text, VALUES)
    if not text.startswith("__"):  # what cannot be read is found before what is no function
        assert caught.value.column == column - 1
    said, shown, caret = str(caught.value).split("\n")
    assert said.endswith(f"at column {caught.value.column + 1}")
    assert shown == f"  {text}"
    assert caret == " " * (2 + caught.value.column) + "^"


def test_shapes_that_do_not_fit_have_the_column_of_their_operator() -> None:
    with pytest.raises(ExpressionError, match=r"got x.shape=\(2, 2\), y.shape=\(3,\), at column 7"):
        evaluate("sum(x @ y)", {"x": np.ones((2, 2)), "y": np.ones(3)})


@pytest.mark.parametrize(
    "text", ["(" * 9000 + "x", "-" * 9000 + "x", "x" + "**x" * 3000, "exp(" * 2400 + "x", "(" * 4000 + "x" + ")" * 4000]
)
def test_nesting_beyond_reason_is_refused_and_not_a_recursion_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="nested more than 100 deep"):
        evaluate(text, {"x": 1})


def test_length_is_no_nesting() -> None:
    assert evaluate("x" + " + x" * 2400, {"x": 1}).value == 2401
    assert evaluate("(x) + " * 1000 + "x", {"x": 1}).value == 1001


def deep(frames: int, function: Callable[[], object]) -> object:
    """Call `function` so deep in the stack."""
    return function() if frames == 0 else deep(frames - 1, function)


def test_nesting_that_the_callers_stack_has_no_room_for_is_refused_too() -> None:
    text = "(" * 90 + "x" + ")" * 90
    assert evaluate(text, {"x": 1}).value == 1
    left = sys.getrecursionlimit() - len(inspect.stack(0))
    with pytest.raises(ExpressionError, match="nested too deep for what is left of the stack, at column "):
        deep(left - 300, lambda: evaluate(text, {"x": 1}))


@pytest.mark.fault("X4")
@pytest.mark.parametrize("part", ["x+", "x*", "-", "(", " ", "1", "x", "x ** ", "exp(", "maximum(x,", "$", "1.", "\t"])
def test_an_expression_of_a_million_characters_is_refused_at_once_and_not_repeated(part: str) -> None:
    text = (part * 1_000_000)[:1_000_000]
    started = time.process_time()
    with pytest.raises(ExpressionError, match=r"^1,000,000 characters, at most 10,000 are read: ") as caught:
        evaluate(text, {"x": 1})
    assert time.process_time() - started < 5  # it was 18 s
    assert caught.value.column == LONGEST
    assert_brief(str(caught.value))


def assert_brief(message: str) -> None:
    """Three lines at most, of which two show the place and fit a terminal."""
    said, *place = message.split("\n")
    assert len(said) < 250
    assert len(place) in (0, 2)
    assert all(len(line) <= 64 for line in place)


@pytest.mark.fault("X4")
@pytest.mark.parametrize("at", [0, 1, 29, 30, 31, 1000, 9940, 9969, 9970, 9971, 9999])
@pytest.mark.parametrize("length", [1, 59, 60, 61, 62, 90, 10_000])
def test_a_mistake_in_a_long_expression_is_shown_with_what_stands_around_it(length: int, at: int) -> None:
    at = min(at, length - 1)
    text = ("x+" * 5000)[:at] + "$" + ("y*" * 5000)[at + 1 : length]
    with pytest.raises(ExpressionError, match=r"cannot read '\$', at column ") as caught:
        evaluate(text, VALUES)
    assert caught.value.column == at
    assert_brief(str(caught.value))
    _, shown, caret = str(caught.value).split("\n")
    assert shown[len(caret) - 1] == "$"
    piece = shown[2:].strip("…")
    assert piece in text
    assert len(piece) == min(length, 60)
    assert shown[2:].startswith("…") != text.startswith(piece)
    assert shown.endswith("…") != text.endswith(piece)


@pytest.mark.fault("X4")
@pytest.mark.parametrize(
    "text",
    [
        "n" * 10_000,
        "n" * 9000 + "(x)",
        "x " + "n" * 9000,
        "x " + "1" * 9000,
        "(x " + "n" * 9000,
        "exp" + " " * 9000,
        "(" + " " * 9000 + "x",
    ],
    ids=lambda text: text.strip()[:2] + text[-1],
)
def test_no_error_repeats_a_long_word_of_the_expression(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, {"x": 1})
    assert_brief(str(caught.value))


@pytest.mark.fault("X4")
def test_no_error_repeats_a_long_value_or_name() -> None:
    for refused in (
        lambda: evaluate("x" + "+x" * 4000, {"x": 1, "n" * 10_000: 2}),
        lambda: read_value("1," * 10_000),
        lambda: read_value("1,2;" * 10_000 + "3"),
        lambda: read_value("n" * 10_000),
    ):
        with pytest.raises(ValueError, match="…") as caught:
            refused()
        assert_brief(str(caught.value))


@pytest.mark.fault("X4")
def test_an_expression_of_the_greatest_length_takes_time_in_proportion() -> None:
    def seconds(text: str) -> float:
        started = time.process_time()
        g = evaluate(text, {"x": 1.5})
        g.backward()
        g.explain()
        return time.process_time() - started

    for part in ("+x", "-(x)", "+exp(x)", "**1*x"):
        short, long = ("x" + part * (size // len(part) - 1) for size in (LONGEST // 10, LONGEST))
        seconds(short)  # what is imported once
        # Ten times the length; a hundred times the time would be quadratic.
        assert seconds(long) < 40 * max(seconds(short), 0.01)


def test_a_value_without_a_name_in_the_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="z has a value, but 'x' has no z"):
        evaluate("x", {"x": 1, "z": 2})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="xyz012.+-*/@()e, \t∂'\"[]{}_=", max_size=20))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):  # ExpressionError is one
        evaluate(text, VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2.0),
        ("-1.5e3", -1500.0),
        ("1,2", [1.0, 2.0]),
        ("1,2;3,4", [[1.0, 2.0], [3.0, 4.0]]),
        ("1;2", [[1.0], [2.0]]),
    ],
)
def test_read_value(text: str, value: Any) -> None:
    np.testing.assert_array_equal(read_value(text), value)


@pytest.mark.parametrize("text", ["", "a", "1,", "1;", "1,2;3", "[1]", "1 2"])
def test_what_is_no_value_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="got '"):
        read_value(text)
