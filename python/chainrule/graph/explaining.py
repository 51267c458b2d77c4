r"""The chain rule line by line, with the numbers of one graph.

For numbers, this shows the derivative of each node by its rule, and its product with the gradient that arrives. For
arrays, a derivative is a matrix of matrices that nobody wants to read, so the rule says how the gradient that arrives
is transformed. If a variable has several users, the sum over them is written out.

Each rule is in two tables, as plain text and as LaTeX; the code that uses it is written once, for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph import nodes, wording
from chainrule.graph.base import Node, TwoInputs
from chainrule.graph.record import Recorded, ancestors, backpropagate, forwards, own_copy, users_of
from chainrule.nn import layers


@dataclass(frozen=True)
class _Rule:
    """How a node is written: itself, its slopes, and what it does with an array `d` that arrives."""

    formula: str
    slopes: tuple[str, ...]
    backs: tuple[str, ...]


#: x and y are the inputs, o the output, d the gradient that arrives.
_PLAIN: dict[type, _Rule] = {
    nodes.AddLayer: _Rule("{x} + {y}", ("", ""), ("{d}", "{d}")),
    nodes.SubLayer: _Rule("{x} - {y}", ("", ""), ("{d}", "-{d}")),
    nodes.MulLayer: _Rule("{x} · {y}", ("{y}", "{x}"), ("{d} · {y}", "{d} · {x}")),
    nodes.DivLayer: _Rule("{x} / {y}", ("1 / {y}", "-{x} / {y}²"), ("{d} / {y}", "-{d} · {x} / {y}²")),
    nodes.PowLayer: _Rule(
        "{x}^{y}", ("{y} · {x}^({y} - 1)", "{o} · ln {x}"), ("{d} · {y} · {x}^({y} - 1)", "{d} · {o} · ln {x}")
    ),
    nodes.MaximumLayer: _Rule(
        "max({x}, {y})",
        ("", ""),
        ("{d} where {x} > {y}, else 0", "{d} where {x} ≤ {y}, else 0"),
    ),
    nodes.MinimumLayer: _Rule(
        "min({x}, {y})",
        ("", ""),
        ("{d} where {x} < {y}, else 0", "{d} where {x} ≥ {y}, else 0"),
    ),
    nodes.MatMulLayer: _Rule("{x} @ {y}", ("{y}", "{x}"), ("{d} @ {y}ᵀ", "{x}ᵀ @ {d}")),
    nodes.NegLayer: _Rule("-{x}", ("",), ("-{d}",)),
    nodes.ExpLayer: _Rule("exp({x})", ("{o}",), ("{d} · {o}",)),
    nodes.LogLayer: _Rule("ln {x}", ("1 / {x}",), ("{d} / {x}",)),
    nodes.SinLayer: _Rule("sin({x})", ("cos({x})",), ("{d} · cos({x})",)),
    nodes.CosLayer: _Rule("cos({x})", ("-sin({x})",), ("-{d} · sin({x})",)),
    nodes.TanhLayer: _Rule("tanh({x})", ("1 - {o}²",), ("{d} · (1 - {o}²)",)),
    nodes.SqrtLayer: _Rule("√({x})", ("1 / (2 · {o})",), ("{d} / (2 · {o})",)),
    nodes.AbsLayer: _Rule("|{x}|", ("",), ("{d} · the sign of {x}",)),
    nodes.IndexLayer: _Rule("{x}[{i}]", ("",), ("{d} at [{i}], else 0",)),
    nodes.SumLayer: _Rule("sum({x})", ("",), ("{d} for every entry",)),
    nodes.MeanLayer: _Rule("mean({x})", ("",), ("{d} / n for every entry, of n",)),
    nodes.ReshapeLayer: _Rule("reshape({x})", ("",), ("{d} in the shape of {x}",)),
    nodes.TransposeLayer: _Rule("{x}ᵀ", ("",), ("{d}ᵀ",)),
    # Layers: the formula stands behind their name, and W, b, gamma and beta are their own.
    layers.Convolution: _Rule("W * {x} + b", ("",), ("{d} times the weight that lay over each pixel, added up",)),
    layers.Pooling: _Rule("max of {x} in each window", ("",), ("{d} at the largest of each window, else 0, added up",)),
    layers.AveragePooling: _Rule(
        "mean of {x} in each window", ("",), ("{d} / n for each of the n pixels in a window, added up",)
    ),
    layers.BatchNormalization: _Rule(
        "gamma · ({x} - mean) / √(variance + 1e-6) + beta, of each channel over the batch",
        ("",),
        ("gamma / √(variance + 1e-6) · ({d} - its mean - {x}̂ · mean of {d} · {x}̂)",),
    ),
    layers.LayerNormalization: _Rule(
        "gamma · ({x} - mean) / √(variance + 1e-6) + beta, of each example by itself",
        ("",),
        ("(gamma · {d} - its mean - {x}̂ · mean of gamma · {d} · {x}̂) / √(variance + 1e-6)",),
    ),
    layers.Dropout: _Rule("{x} where it stays, else 0", ("",), ("{d} where {x} stayed, else 0",)),
    layers.Reshape: _Rule("", ("",), ("{d} in the shape of {x}",)),
    layers.Flatten: _Rule("", ("",), ("{d} in the shape of {x}",)),
}
_LATEX: dict[type, _Rule] = {
    nodes.AddLayer: _Rule("{x} + {y}", ("", ""), ("{d}", "{d}")),
    nodes.SubLayer: _Rule("{x} - {y}", ("", ""), ("{d}", "-{d}")),
    nodes.MulLayer: _Rule(r"{x} \cdot {y}", ("{y}", "{x}"), (r"{d} \odot {y}", r"{d} \odot {x}")),
    nodes.DivLayer: _Rule(
        r"\frac{{{x}}}{{{y}}}",
        (r"\frac{{1}}{{{y}}}", r"-\frac{{{x}}}{{{y}^2}}"),
        (r"{d} \oslash {y}", r"-{d} \odot \frac{{{x}}}{{{y}^2}}"),
    ),
    nodes.PowLayer: _Rule(
        "{{{x}}}^{{{y}}}",
        (r"{y} \cdot {{{x}}}^{{{y} - 1}}", r"{o} \cdot \ln {x}"),
        (r"{d} \odot {y} \odot {{{x}}}^{{{y} - 1}}", r"{d} \odot {o} \odot \ln {x}"),
    ),
    nodes.MaximumLayer: _Rule(
        r"\max({x}, {y})",
        ("", ""),
        (r"{d} \text{{ where }} {x} > {y}\text{{, else }} 0", r"{d} \text{{ where }} {x} \le {y}\text{{, else }} 0"),
    ),
    nodes.MinimumLayer: _Rule(
        r"\min({x}, {y})",
        ("", ""),
        (r"{d} \text{{ where }} {x} < {y}\text{{, else }} 0", r"{d} \text{{ where }} {x} \ge {y}\text{{, else }} 0"),
    ),
    nodes.MatMulLayer: _Rule("{x} {y}", ("{y}", "{x}"), (r"{d} \, {y}^\top", r"{x}^\top {d}")),
    nodes.NegLayer: _Rule("-{x}", ("",), ("-{d}",)),
    nodes.ExpLayer: _Rule("e^{{{x}}}", ("{o}",), (r"{d} \odot {o}",)),
    nodes.LogLayer: _Rule(r"\ln {x}", (r"\frac{{1}}{{{x}}}",), (r"{d} \oslash {x}",)),
    nodes.SinLayer: _Rule(r"\sin({x})", (r"\cos({x})",), (r"{d} \odot \cos({x})",)),
    nodes.CosLayer: _Rule(r"\cos({x})", (r"-\sin({x})",), (r"-{d} \odot \sin({x})",)),
    nodes.TanhLayer: _Rule(r"\tanh({x})", ("1 - {o}^2",), (r"{d} \odot (1 - {o}^2)",)),
    nodes.SqrtLayer: _Rule(r"\sqrt{{{x}}}", (r"\frac{{1}}{{2 {o}}}",), (r"{d} \oslash 2 {o}",)),
    nodes.AbsLayer: _Rule("|{x}|", ("",), (r"{d} \odot \operatorname{{sign}} {x}",)),
    nodes.IndexLayer: _Rule(r"{x}[\text{{{i}}}]", ("",), (r"{d} \text{{ at [{i}], else }} 0",)),
    nodes.SumLayer: _Rule(r"\sum {x}", ("",), (r"{d} \text{{ for every entry}}",)),
    nodes.MeanLayer: _Rule(
        r"\operatorname{{mean}} {x}", ("",), (r"\tfrac{{1}}{{n}} {d} \text{{ for every entry, of }} n",)
    ),
    nodes.ReshapeLayer: _Rule(r"\operatorname{{reshape}} {x}", ("",), (r"{d} \text{{ in the shape of }} {x}",)),
    nodes.TransposeLayer: _Rule(r"{x}^\top", ("",), (r"{d}^\top",)),
    layers.Convolution: _Rule(
        "W * {x} + b", ("",), (r"{d} \text{{ times the weight that lay over each pixel, added up}}",)
    ),
    layers.Pooling: _Rule(
        r"\max {x} \text{{ in each window}}",
        ("",),
        (r"{d} \text{{ at the largest of each window, else }} 0\text{{, added up}}",),
    ),
    layers.AveragePooling: _Rule(
        r"\operatorname{{mean}} {x} \text{{ in each window}}",
        ("",),
        (r"\tfrac{{1}}{{n}} {d} \text{{ for each of the }} n \text{{ pixels in a window, added up}}",),
    ),
    layers.BatchNormalization: _Rule(
        r"\gamma \odot \frac{{{x} - \mu}}{{\sqrt{{\sigma^2 + 10^{{-6}}}}}} + \beta"
        r"\text{{, of each channel over the batch}}",
        ("",),
        (
            r"\frac{{\gamma}}{{\sqrt{{\sigma^2 + 10^{{-6}}}}}} \odot \left({d} - \operatorname{{mean}} {d}"
            r" - \hat{{{x}}} \odot \operatorname{{mean}}\left({d} \odot \hat{{{x}}}\right)\right)",
        ),
    ),
    layers.LayerNormalization: _Rule(
        r"\gamma \odot \frac{{{x} - \mu}}{{\sqrt{{\sigma^2 + 10^{{-6}}}}}} + \beta"
        r"\text{{, of each example by itself}}",
        ("",),
        (
            r"\frac{{1}}{{\sqrt{{\sigma^2 + 10^{{-6}}}}}} \odot \left(\gamma \odot {d}"
            r" - \operatorname{{mean}}\left(\gamma \odot {d}\right)"
            r" - \hat{{{x}}} \odot \operatorname{{mean}}\left(\gamma \odot {d} \odot \hat{{{x}}}\right)\right)",
        ),
    ),
    layers.Dropout: _Rule(
        r"{x} \text{{ where it stays, else }} 0", ("",), (r"{d} \text{{ where }} {x} \text{{ stayed, else }} 0",)
    ),
    layers.Reshape: _Rule("", ("",), (r"{d} \text{{ in the shape of }} {x}",)),
    layers.Flatten: _Rule("", ("",), (r"{d} \text{{ in the shape of }} {x}",)),
}


#: Nodes whose formula puts its inputs in parentheses or between bars.
_BARE = (
    nodes.ExpLayer, nodes.MaximumLayer, nodes.MinimumLayer, nodes.SinLayer, nodes.CosLayer, nodes.TanhLayer,
    nodes.SqrtLayer, nodes.AbsLayer,
)  # fmt: skip


@dataclass(frozen=True)
class _Form:
    """What plain text and Markdown differ in."""

    rules: dict[type, _Rule]
    name: Callable[[str], str]
    #: ∂a/∂b.
    derivative: Callable[[str, str], str]
    times: str
    head: Callable[[str], str]
    #: One formula by itself, on a line of the given depth.
    line: Callable[[int, str], str]
    words: Callable[[str], str]


def _text_line(depth: int, formula: str) -> str:
    return "  " * depth + formula


def _markdown_line(depth: int, formula: str) -> str:
    return "  " * (depth - 1) + f"- ${formula}$"


def _latex_name(name: str) -> str:
    safe = "".join(f"\\{c}" if c in "_%&#${}" else r"\backslash " if c == "\\" else c for c in name)
    return safe if len(name) == 1 else rf"\mathrm{{{safe}}}"


_FORMS = {
    "text": _Form(_PLAIN, str, lambda a, b: f"∂{a}/∂{b}", " · ", str, _text_line, str),
    "markdown": _Form(
        _LATEX,
        _latex_name,
        lambda a, b: rf"\frac{{\partial {a}}}{{\partial {b}}}",
        r" \cdot ",
        lambda word: f"\n**{word}**\n",
        _markdown_line,
        lambda words: rf"\text{{{words}}}",
    ),
}


def explain(last: Recorded, form: str = "text") -> str:
    """Tell the chain rule from `last` to the first variables; see `Variable.explain`."""
    if form not in _FORMS:
        raise ValueError(f"form must be one of {', '.join(map(repr, _FORMS))}, got {form!r}")
    if last.grad is None:
        raise RuntimeError("there are no gradients to explain: call backward() first, then explain()")
    return _Explanation(last, _FORMS[form]).written()


class _Explanation:
    """One graph in one form."""

    def __init__(self, last: Recorded, form: _Form) -> None:
        self._last, self._form = last, form
        variables = ancestors(last)
        self._names = {v: form.name(name) for v, name in wording.names_of(variables).items()}
        self._forwards = forwards(variables)
        # What is differentiated: the last variable, or something beyond it if what arrived is not 1.
        plain = np.ndim(last.grad) == 0 and float(last.grad) == 1
        self._whole = self._names[last] if plain else form.name(wording.free_name("L", wording.names_of(variables)))

    def written(self) -> str:
        form = self._form
        lines = [form.head("forward")]
        lines += [self._forward(variable) for variable in self._forwards if variable.layer is not None]
        lines += [form.head("backward")]
        received: dict[Recorded, list[Any]] = {}
        users = users_of(self._forwards)
        lines.append(form.line(1, f"{self._d(self._last)} = {self._shown(self._last.grad)}"))
        handed: dict[Recorded, tuple[Any, ...]] = {}
        gradients = backpropagate(self._last, self._last.grad, own_copy, handed)
        for variable, shares in handed.items():
            lines.append(form.line(1, f"{form.words('through ')}{self._names[variable]} = {self._formula(variable)}"))
            for n, (given, share) in enumerate(zip(variable.inputs, shares, strict=True)):
                if not isinstance(given, Recorded):
                    continue
                lines.append(form.line(2, self._share(variable, n, gradients[variable], share, users[given])))
                so_far = received.setdefault(given, [])
                so_far.append(share)
                if len(so_far) == users[given] > 1:
                    lines.append(form.line(2, self._sum(given, so_far)))
        return "\n".join(lines).strip("\n")

    # --- one line each ---

    def _forward(self, variable: Recorded) -> str:
        """``p = x + y = 2 + 3 = 5``."""
        steps = [self._names[variable], self._formula(variable)]
        rule = self._rule(variable)
        values = [given.value if isinstance(given, Recorded) else given for given in variable.inputs]
        if rule is not None and rule.formula and not any(map(np.ndim, values)):
            # In the parentheses of a function a negative number needs none of its own.
            bare = isinstance(variable.layer, _BARE)
            steps.append(
                rule.formula.format(**self._filled(variable, list(map(self._shown if bare else self._factor, values))))
            )
        shown = self._shown(variable.value)
        return self._form.line(1, " = ".join([*steps, *([] if steps[-1] == shown else [shown])]))

    def _share(self, variable: Recorded, n: int, gradient: Any, share: Any, users: int) -> str:
        """``∂p/∂x = 1, so ∂g/∂x = ∂g/∂p · ∂p/∂x = 4 · 1 = 4``; of a variable with several users, the part of it."""
        form, given = self._form, variable.inputs[n]
        so = form.words(", so " if users == 1 else ", which gives ")
        target = self._d(given) if users == 1 else f"{form.words('a part of ')}{self._d(given)}"
        if np.ndim(variable.value) or np.ndim(given.value):
            shown = self._shown(share)
            stretched = isinstance(variable.layer, TwoInputs) and not isinstance(variable.layer, nodes.MatMulLayer)
            summed = stretched and np.shape(given.value) != np.shape(variable.value)
            tail = form.words(", summed to the shape of the input") if summed else ""
            return f"{target}: {self._back(variable, n)}{tail} = {shown}"
        slope = own_copy(variable).backward(1.0)
        if isinstance(slope, tuple):
            variables = [k for k, other in enumerate(variable.inputs) if isinstance(other, Recorded)]
            slope = slope[n] if len(slope) == len(variable.inputs) else slope[variables.index(n)]
        rule = self._rule(variable)
        steps = [form.derivative(self._names[variable], self._names[given])]
        if rule is not None and rule.slopes[n]:
            steps.append(rule.slopes[n].format(**self._filled(variable)))
        number = wording.number(slope)
        local = " = ".join([*steps, *([] if steps[-1] == number else [number])])
        if variable is self._last and self._whole == self._names[variable]:
            return local if users == 1 else f"{local}{form.words(', a part of ')}{self._d(given)}"
        product = f"{self._d(variable)}{form.times}{steps[0]}"
        numbers = f"{wording.number(gradient)}{form.times}{self._factor(slope)}"
        return f"{local}{so}{target} = {product} = {numbers} = {wording.number(share)}"

    def _sum(self, variable: Recorded, shares: list[Any]) -> str:
        """``∂g/∂x = 4 + 3 = 7``: over all users."""
        words = self._form.words(f", the sum of its {len(shares)} parts")
        total: Any = sum(shares[1:], start=shares[0])
        if any(map(np.ndim, shares)):
            return f"{self._d(variable)} = {self._shown(total)}{words}"
        parts = " + ".join([wording.number(shares[0]), *map(self._factor, shares[1:])])
        return f"{self._d(variable)} = {parts} = {wording.number(total)}{words}"

    # --- pieces ---

    def _d(self, variable: Recorded) -> str:
        return self._form.derivative(self._whole, self._names[variable])

    def _filled(self, variable: Recorded, inputs: list[str] | None = None) -> dict[str, str]:
        if inputs is None:
            inputs = [self._names[x] if isinstance(x, Recorded) else self._factor(x) for x in variable.inputs]
        filled = {"x": inputs[0], "y": inputs[-1], "o": self._names[variable], "d": self._d(variable)}
        index = variable.layer.written if isinstance(variable.layer, nodes.IndexLayer) else ""
        return {**filled, "i": index}

    def _rule(self, variable: Recorded) -> _Rule | None:
        """Give how the node or the layer that made `variable` is written, if that is known."""
        # A layer that was told whether to train went one of two ways: only its name is true of both.
        told = not isinstance(variable.layer, Node) and len(variable.inputs) > 1
        return None if told else self._form.rules.get(type(variable.layer))

    def _formula(self, variable: Recorded) -> str:
        rule = self._rule(variable)
        written = "" if rule is None else rule.formula.format(**self._filled(variable))
        if isinstance(variable.layer, Node) and written:
            return written
        given = [self._names[x] if isinstance(x, Recorded) else "…" for x in variable.inputs]
        name = f"{self._form.words(type(variable.layer).__name__)}({', '.join(given)})"
        return f"{name} = {written}" if written else name

    def _back(self, variable: Recorded, n: int) -> str:
        rule = self._rule(variable)
        if rule is not None:
            return rule.backs[n].format(**self._filled(variable))
        return f"{self._form.words(type(variable.layer).__name__ + '.backward')}({self._d(variable)})"

    def _shown(self, value: Any) -> str:
        text = wording.brief(value)
        return self._form.words(text) if wording.is_long(value) else text

    def _factor(self, value: Any) -> str:
        """Give a number as it stands behind a sign: a negative one in parentheses."""
        text = self._shown(value)
        return f"({text})" if text.startswith("-") or ("e" in text and np.ndim(value) == 0) else text
