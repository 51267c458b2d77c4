"""The explanations: the lines of known graphs, and the numbers of random ones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    LayerNormalization,
    Pooling,
    Reshape,
    Sigmoid,
    SoftmaxWithLoss,
    Variable,
    apply,
)


def explained(last: Variable, form: str = "text", dout: Any = 1) -> list[str]:
    last.backward(dout)
    return last.explain(form).splitlines()


def tutorial() -> Variable:
    x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    return (x + y) * z


def test_the_tutorials_graph() -> None:
    assert explained(tutorial()) == [
        "forward",
        "  p = x + y = 2 + 3 = 5",
        "  g = p · z = 5 · 4 = 20",
        "backward",
        "  ∂g/∂g = 1",
        "  through g = p · z",
        "    ∂g/∂p = z = 4",
        "    ∂g/∂z = p = 5",
        "  through p = x + y",
        "    ∂p/∂x = 1, so ∂g/∂x = ∂g/∂p · ∂p/∂x = 4 · 1 = 4",
        "    ∂p/∂y = 1, so ∂g/∂y = ∂g/∂p · ∂p/∂y = 4 · 1 = 4",
    ]


def test_the_tutorials_graph_in_markdown() -> None:
    lines = explained(tutorial(), "markdown")
    assert lines[0] == "**forward**"
    assert r"- $g = p \cdot z = 5 \cdot 4 = 20$" in lines
    chain = r"\frac{\partial g}{\partial x} = \frac{\partial g}{\partial p} \cdot \frac{\partial p}{\partial x}"
    assert rf"  - $\frac{{\partial p}}{{\partial x}} = 1\text{{, so }}{chain} = 4 \cdot 1 = 4$" in lines


def test_the_paths_of_a_shared_variable_are_summed() -> None:
    x = Variable(-3, "x")
    lines = explained(x * x + 2 * x)
    assert "    ∂p/∂x = 2, which gives a part of ∂g/∂x = ∂g/∂p · ∂p/∂x = 1 · 2 = 2" in lines
    assert lines[-1] == "    ∂g/∂x = -3 + (-3) + 2 = -4, the sum of its 3 parts"


def test_parts_directly_under_the_last_variable_are_summed_too() -> None:
    x = Variable(3, "x")
    assert explained(x * x)[-3:] == [
        "    ∂g/∂x = x = 3, a part of ∂g/∂x",
        "    ∂g/∂x = x = 3, a part of ∂g/∂x",
        "    ∂g/∂x = 3 + 3 = 6, the sum of its 2 parts",
    ]


def test_another_dout_than_1_is_of_something_beyond() -> None:
    lines = explained(tutorial(), dout=10)
    assert "  ∂L/∂g = 10" in lines
    assert "    ∂g/∂p = z = 4, so ∂L/∂p = ∂L/∂g · ∂g/∂p = 10 · 4 = 40" in lines


def test_negative_numbers_stand_in_parentheses_and_nothing_is_said_twice() -> None:
    x = Variable(-0.5, "x")
    assert explained((-x).exp())[1:3] == ["  p = -x = -(-0.5) = 0.5", "  g = exp(p) = exp(0.5) = 1.64872"]
    assert explained(x.exp())[1] == "  g = exp(x) = exp(-0.5) = 0.606531"
    assert explained(-Variable(2, "x"))[1] == "  g = -x = -2"


ONE: dict[str, Callable[[Variable], Variable]] = {
    "neg": lambda x: -x, "exp": lambda x: x.exp(), "log": lambda x: x.log(), "power": lambda x: x**3,
    "base": lambda x: 2**x, "quotient": lambda x: 3 / x, "difference": lambda x: 1 - x,
    "maximum": lambda x: x.maximum(1), "layer": lambda x: apply(Sigmoid(), x),
    "sum": lambda x: x.sum(), "mean": lambda x: x.mean(), "sin": lambda x: x.sin(), "cos": lambda x: x.cos(),
    "tanh": lambda x: x.tanh(), "sqrt": lambda x: x.sqrt(), "abs": lambda x: abs(x), "minimum": lambda x: x.minimum(1),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("value", [0.5, 2.0])
def test_the_slope_told_is_the_difference_quotient(name: str, value: float) -> None:
    # Central differences with step h are off by h² times the third derivative, here below 100.
    h = 1e-4
    numeric = (ONE[name](Variable(value + h)).value - ONE[name](Variable(value - h)).value) / (2 * h)
    last = explained(ONE[name](Variable(value, "x")))[-1]
    assert last.startswith("    ∂g/∂x = ")
    assert float(last.split(" = ")[-1]) == pytest.approx(numeric, rel=1e-5, abs=1e-5)


def test_an_entry_is_told_by_its_index_and_minus_0_without_its_sign() -> None:
    lines = explained(Variable([1.0, 2.0], "x")[1] * Variable(-0.0, "y"))
    assert lines[1:3] == ["  p = x[1] = 2", "  g = p · y = 2 · 0 = 0"]
    assert "    ∂g/∂x: ∂g/∂p at [1], else 0 = [0, 0]" in lines


def test_arrays_are_told_by_rule_and_norm() -> None:
    rng = np.random.default_rng(0)
    x, W, b = Variable(rng.random((5, 4)), "x"), Variable(rng.random((4, 3)), "W"), Variable(np.zeros(3), "b")
    loss = apply(SoftmaxWithLoss(), (x @ W + b).maximum(0), np.array([0, 1, 0, 1, 2]))
    loss.name = "loss"
    lines = explained(loss)
    norm = f"{np.linalg.norm(W.grad):.4g}"
    assert f"    ∂loss/∂W: xᵀ @ ∂loss/∂p = 4×3, norm {norm}" in lines
    told = ", ".join(f"{number:.6g}" for number in b.grad)
    assert f"    ∂loss/∂b: ∂loss/∂q, summed to the shape of the input = [{told}]" in lines
    assert any("SoftmaxWithLoss.backward(∂loss/∂loss)" in line for line in lines)


RNG = np.random.default_rng(4)
IMAGES, D = RNG.normal(size=(2, 3, 4, 4)), RNG.normal(size=(2, 3, 4, 4))
W, GAMMA, BETA, EACH = RNG.normal(size=(3, 3, 3, 3)), RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=48)


def each_pixel() -> Any:
    """Give D times the weight that lay over each pixel, added up, of filters with a border of 1."""
    padded = np.zeros((2, 3, 6, 6))
    for y in range(4):
        for x in range(4):
            padded[:, :, y : y + 3, x : x + 3] += np.einsum("nf,fcij->ncij", D[:, :, y, x], W)
    return padded[:, :, 1:-1, 1:-1]


def normalized(axes: tuple[int, ...], gamma: Any) -> tuple[Any, Any]:
    """Give x̂, and what goes back through it, by the formula of both papers."""
    scale = np.sqrt(IMAGES.var(axes, keepdims=True) + 1e-6)
    x = (IMAGES - IMAGES.mean(axes, keepdims=True)) / scale
    g = gamma * D
    return x, (g - g.mean(axes, keepdims=True) - x * (g * x).mean(axes, keepdims=True)) / scale


def windows(x: Any) -> Any:
    return x.reshape(2, 3, 2, 2, 2, 2).swapaxes(3, 4).reshape(2, 3, 2, 2, 4)


def at_the_largest() -> Any:
    dx = np.zeros(96)
    places = np.arange(96).reshape(2, 3, 4, 4)
    chosen = np.take_along_axis(windows(places), windows(IMAGES).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    dx[chosen] = D[:, :, :2, :2]
    return dx


CHANNEL, EXAMPLE = GAMMA[:, None, None], EACH.reshape(3, 4, 4)
LAYERS: dict[str, tuple[Any, Any, str, str, Any]] = {
    "Convolution": (
        Convolution(W, BETA, 1, 1), D, " = W * x + b", "∂L/∂g times the weight that lay over each pixel, added up",
        each_pixel(),
    ),
    "Pooling": (
        Pooling(2, 2), D[:, :, :2, :2], " = max of x in each window",
        "∂L/∂g at the largest of each window, else 0, added up", at_the_largest(),
    ),
    "AveragePooling": (
        AveragePooling(2, 2), D[:, :, :2, :2], " = mean of x in each window",
        "∂L/∂g / n for each of the n pixels in a window, added up", np.repeat(D[:, :, :2, :2] / 4, 4),
    ),
    "BatchNormalization": (
        BatchNormalization(GAMMA, BETA), D,
        " = gamma · (x - mean) / √(variance + 1e-6) + beta, of each channel over the batch",
        "gamma / √(variance + 1e-6) · (∂L/∂g - its mean - x̂ · mean of ∂L/∂g · x̂)",
        normalized((0, 2, 3), CHANNEL)[1],
    ),
    "LayerNormalization": (
        LayerNormalization(EACH, np.zeros(48)), D,
        " = gamma · (x - mean) / √(variance + 1e-6) + beta, of each example by itself",
        "(gamma · ∂L/∂g - its mean - x̂ · mean of gamma · ∂L/∂g · x̂) / √(variance + 1e-6)",
        normalized((1, 2, 3), EXAMPLE)[1],
    ),
    "Reshape": (Reshape((6, 8)), D.reshape(2, 6, 8), "", "∂L/∂g in the shape of x", D),
    "Flatten": (Flatten(), D.reshape(2, 48), "", "∂L/∂g in the shape of x", D),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_for_images_does_is_told_by_its_formula(name: str) -> None:
    layer, dout, formula, back, dx = LAYERS[name]
    last = apply(layer, Variable(IMAGES, "x"))
    out = f"{'×'.join(map(str, dout.shape))}, norm"
    lines = explained(last, dout=dout)
    assert lines[1] == f"  g = {name}(x){formula} = {out} {np.linalg.norm(last.value):.4g}"
    assert lines[-1] == f"    ∂L/∂x: {back} = 2×3×4×4, norm {np.linalg.norm(dx):.4g}"
    for line in explained(last, "markdown", dout=dout):
        assert line.count("$") in (0, 2)
        assert line.count("{") == line.count("}")


def test_dropout_is_told_by_its_mask_and_a_pass_that_was_told_its_way_by_name() -> None:
    drop = Dropout(0.5, seed=0)
    lines = explained(apply(drop, Variable(IMAGES, "x")), dout=D)
    assert lines[1].startswith("  g = Dropout(x) = x where it stays, else 0 = 2×3×4×4")
    norm = np.linalg.norm(D[drop.mask])
    assert lines[-1] == f"    ∂L/∂x: ∂L/∂g where x stayed, else 0 = 2×3×4×4, norm {norm:.4g}"
    evaluated = apply(BatchNormalization(GAMMA, BETA), Variable(IMAGES, "x"), False)
    lines = explained(evaluated, dout=D)
    assert lines[1].startswith("  g = BatchNormalization(x, …) = 2×3×4×4")
    # In evaluation the running variance is 1.
    norm = np.linalg.norm(CHANNEL * D / np.sqrt(1 + 1e-6))
    assert lines[-1] == f"    ∂L/∂x: BatchNormalization.backward(∂L/∂g) = 2×3×4×4, norm {norm:.4g}"


def test_every_gradient_told_is_that_of_the_variable() -> None:
    a, b = Variable(1.5, "a"), Variable(-2.5, "b")
    c = a * b
    c.name = "c"
    d = c / a + b**2
    d.name = "d"
    last = (d * c).maximum(a)
    last.name = "e"
    told = {}
    for line in explained(last):
        found = re.findall(r"∂e/∂(\w) = .*?(\S+)(?:, the sum of its \d parts)?$", line)
        if found and "part of" not in line:
            told[found[0][0]] = float(found[0][1])
    for variable in (a, b, c, d):
        assert told[str(variable.name)] == pytest.approx(variable.grad, rel=1e-5)


def test_explaining_changes_no_gradient_and_no_layer() -> None:
    layer, x = Affine(np.ones((2, 2)), np.zeros(2)), Variable(np.ones((1, 2)))
    last = apply(layer, x).sum()
    last.backward()
    before = layer.dW, x.grad
    last.explain()
    assert layer.dW is before[0]
    assert x.grad is before[1]


def test_letters_that_are_taken_are_not_used_again() -> None:
    g, p = Variable(2, "g"), Variable(3, "p")
    lines = explained((g + p) * g + Variable(1))
    forward = [line.split(" = ")[0].strip() for line in lines[1:4]]
    assert len({*forward, "g", "p"}) == 5
    assert any(line.startswith("  ∂f/∂f") for line in lines)


def test_two_variables_of_one_name_are_told_apart() -> None:
    lines = explained(Variable(2, "x") * Variable(3, "x"))
    assert lines[1] in ("  g = x · x2 = 2 · 3 = 6", "  g = x2 · x = 2 · 3 = 6")


@pytest.mark.parametrize(
    ("name", "written"), [("apple_num", r"\mathrm{apple\_num}"), ("x", "x"), ("50%", r"\mathrm{50\%}")]
)
def test_a_name_in_latex(name: str, written: str) -> None:
    assert f"= {written} = 3$" in explained(Variable(2, "y") * Variable(3, name), "markdown")[-2]


@pytest.mark.parametrize("build", [tutorial, lambda: ONE["quotient"](Variable(2, "x")), lambda: 2 ** Variable(3, "x")])
def test_braces_and_dollars_of_markdown_are_paired(build: Any) -> None:
    for line in explained(build(), "markdown"):
        assert line.count("$") in (0, 2)
        assert line.count("{") == line.count("}")


def test_what_cannot_be_explained_is_named() -> None:
    g = tutorial()
    with pytest.raises(RuntimeError, match=r"call backward\(\) first"):
        g.explain()
    g.backward()
    with pytest.raises(ValueError, match="form must be one of 'text', 'markdown', got 'html'"):
        g.explain("html")


def test_a_gradient_that_is_no_number_is_told_as_it_is() -> None:
    x = Variable(0, "x")
    assert explained(1 / x)[-1].endswith("= -inf")
    assert math.isinf(x.grad)
