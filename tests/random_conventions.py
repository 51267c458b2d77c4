"""Random right subjects, drawn from the conventions of tests/wild: a check that calls one wrong raises a false alarm.

What is computed (`wild.maths`, `wild.scalars`), where parameters and gradients stand (`wild.styles`), how methods are
called and what is returned are drawn apart from each other; so are sizes, scale, dtype and names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from wild import RIGHT, maths, scalars
from wild.maths import Maths
from wild.sample import DX, Calls, Sample, X
from wild.sized import SIZED
from wild.styles import METHODS, STYLES, Accumulating, Lists, Style

#: Samples whose arguments are worth drawing again, from another seed.
AGAIN = tuple(s for s in RIGHT if s.truth == "right")


def make(seed: int) -> tuple[str, Any, tuple[Any, ...], Mapping[str, Any]]:
    """Give a description, a subject, its arguments and the options of its check, all drawn from `seed`."""
    sample = draw(seed)
    arguments = sample.arguments(np.random.default_rng([seed, 8]))
    shapes = ", ".join(str(np.shape(a)) if isinstance(a, np.ndarray) else type(a).__name__ for a in arguments)
    return f"{seed}: {sample.name} ({sample.story}), {shapes}", sample.make(), arguments, sample.options


def draw(seed: int, *, double: bool = False) -> Sample:
    """Give the sample of a seed; `double`: in float64, whatever was drawn."""
    rng = np.random.default_rng([seed, 6])
    kind = KINDS[seed % len(KINDS)]
    dtype = np.dtype("float32" if rng.random() < 0.15 and not double else "float64")
    return kind(rng, dtype, float(10.0 ** rng.uniform(-3, 3)))


# --- layers ---


def layer(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """One layer, of any maths and any style."""
    what = maths.ALL[int(rng.integers(len(maths.ALL)))](rng)
    build, calls, slots, style = _layer(rng, dtype, scale, what)
    story = f"{style}, {calls.forward}/{calls.backward}, {dtype}, scale {scale:.1e}"
    return Sample(what.name, "layer", build, _arguments(what, scale, dtype), calls, slots, story)


def _layer(
    rng: np.random.Generator, dtype: np.dtype[Any], scale: float, what: Maths, tied: bool = False
) -> tuple[Callable[..., Any], Calls, dict[str, str], str]:
    """Give a maker, which may be handed the first parameter; how it is called; its slots; what was drawn."""
    style = (Lists if tied else STYLES[int(rng.integers(len(STYLES)))])(rng, what.roles)
    names = METHODS[int(rng.integers(len(METHODS)))]
    left = [None, None, None, ("output", "dinputs"), ("out", "dx")][int(rng.integers(5))]
    cached = left is None and bool(rng.random() < 0.15)
    if len(what.inputs) > 1 or what.ids:
        left = None
    lazy = not tied and bool(rng.random() < 0.2)
    size = min(scale, what.largest) if rng.random() < 0.5 else 1.0
    arrays = [(size * rng.standard_normal(shape)).astype(dtype) for shape in what.parameters]
    flush = style.flush_name if isinstance(style, Accumulating) else None
    kind = _class(what, style, names, left, cached, flush, lazy)
    outputs = ("returned.0",) if cached else (left[0],) if left else ("returned",)
    calls = Calls(*names, "douts, cache" if cached else "dout", outputs, flush=flush)
    dx = [left[1]] if left else [DX] if len(what.inputs) == 1 else ["returned.0", "returned.1"]
    slots = {} if what.ids else {f"args.{i}": path for i, path in enumerate(dx)}
    told = f"{type(style).__name__}{' in place' if style.in_place else ''}{' lazy' if lazy else ''}"

    def build(*shared: Any) -> Any:
        return kind([*shared, *(a.copy() for a in arrays[len(shared) :])])

    return build, calls, slots | style.slots(), told


def _class(
    what: Maths, style: Style, names: tuple[str, str], left: Any, cached: bool, flush: str | None, lazy: bool
) -> Any:
    def init(self: Any, arrays: list[Any]) -> None:
        if lazy:
            self._later = lambda: style.start(self, arrays)
        else:
            style.start(self, arrays)

    def run(self: Any, *inputs: Any) -> Any:
        later = self.__dict__.pop("_later", None)
        if later is not None:
            later()
        out, cache = what.forward(inputs, style.get(self))
        if cached:
            return out, cache
        self._cache = cache
        if not left:
            return out
        setattr(self, left[0], out)
        return None

    def back(self: Any, dout: Any, cache: Any) -> Any:
        inputs, parameters = what.backward(dout, cache)
        style.give(self, parameters)
        if left:
            setattr(self, left[1], inputs[0])
            return None
        return None if not inputs else inputs[0] if len(inputs) == 1 else tuple(inputs)

    def one(self: Any, x: Any) -> Any:
        return run(self, x)

    def two(self: Any, x: Any, h: Any) -> Any:
        return run(self, x, h)

    def backward(self: Any, dout: Any) -> Any:
        return back(self, dout, self._cache)

    def backward_of_cache(self: Any, dout: Any, cache: Any) -> Any:
        return back(self, dout, cache)

    members: dict[str, Any] = {"__init__": init, names[0]: one if len(what.inputs) == 1 else two}
    members[names[1]] = backward_of_cache if cached else backward
    if flush and isinstance(style, Accumulating):
        members[flush] = lambda self: style.flush(self)
    return type("Layer", (), members)


def _arguments(what: Maths, scale: float, dtype: np.dtype[Any]) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    size = min(scale, what.largest)

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        if what.ids:
            return (rng.integers(0, what.ids, what.inputs[0]),)
        return tuple((size * rng.standard_normal(shape)).astype(dtype) for shape in what.inputs)

    return arguments


def nested(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """Layers in a list, a dict or attributes of another, each with a style of its own."""
    n, *sizes = (maths.size(rng) for _ in range(int(rng.integers(3, 5))))
    tied = bool(rng.random() < 0.3)
    if tied:  # one square matrix in all of them
        sizes = [sizes[0]] * len(sizes)
    shared = [(0.7 * rng.standard_normal((sizes[0],) * 2)).astype(dtype)] if tied else []
    computed = [
        [maths.affine, maths.tanh_affine][int(rng.integers(2))](rng, n, inputs, outputs)
        for inputs, outputs in pairwise(sizes)
    ]
    parts = [_layer(rng, dtype, 1.0, what, tied) for what in computed]
    kind = int(rng.integers(3))
    keys = [f"fc{i + 1}" for i in range(len(parts))]
    prefixes = [f"layers.{i}." for i in range(len(parts))] if kind == 0 else [f"layers.{key}." for key in keys]
    if kind == 2:
        prefixes = [f"{key}." for key in keys]
    flushes = any(calls.flush for _, calls, _, _ in parts)
    slots = {X: DX}
    for (_, _, own, _), prefix in zip(parts, prefixes, strict=True):
        slots |= {prefix + a: prefix + g for a, g in own.items() if a != X}
    if tied:
        same = [f"{prefix}params.0" for prefix in prefixes]
        gradients = "+".join(slots.pop(path) for path in same)
        slots[same[0]] = gradients
    names = METHODS[int(rng.integers(len(METHODS)))]
    container = _container(parts, shared, keys, kind, names, flushes)
    calls = Calls(*names, flush="zero_grad" if flushes else None)
    told = f"{['list', 'dict', 'attributes'][kind]}{' tied' if tied else ''}: {', '.join(p[3] for p in parts)}, {dtype}"
    size = min(scale, *(what.largest for what in computed))
    return Sample("nested", "nested", container, _arguments(computed[0], size, dtype), calls, slots, told)


def _container(
    parts: list[Any], shared: list[Any], keys: list[str], kind: int, names: tuple[str, str], flushes: bool
) -> Callable[[], Any]:
    def init(self: Any) -> None:
        own = [a.copy() for a in shared]
        layers = [build(*own) for build, _, _, _ in parts]
        if kind == 2:
            for key, made in zip(keys, layers, strict=True):
                setattr(self, key, made)
        else:
            self.layers = layers if kind == 0 else dict(zip(keys, layers, strict=True))

    def inner(self: Any) -> list[Any]:
        if kind == 2:
            return [getattr(self, key) for key in keys]
        return list(self.layers if kind == 0 else self.layers.values())

    def forward(self: Any, x: Any) -> Any:
        self._caches = []
        for part, (_, calls, _, _) in zip(inner(self), parts, strict=True):
            raw = getattr(part, str(calls.forward))(x)
            x = raw[0] if calls.takes == "douts, cache" else raw
            if raw is None:
                x = getattr(part, calls.outputs[0])
            self._caches.append(raw[1] if calls.takes == "douts, cache" else None)
        return x

    def backward(self: Any, dout: Any) -> Any:
        for part, (_, calls, slots, _), cache in reversed([*zip(inner(self), parts, self._caches, strict=True)]):
            back = getattr(part, str(calls.backward))
            dout_before = back(dout, cache) if calls.takes == "douts, cache" else back(dout)
            dout = dout_before if dout_before is not None else getattr(part, slots[X])
        return dout

    def zero_grad(self: Any) -> None:
        for part, (_, calls, _, _) in zip(inner(self), parts, strict=True):
            if calls.flush:
                getattr(part, calls.flush)()

    members = {"__init__": init, names[0]: forward, names[1]: backward}
    if flushes:
        members["zero_grad"] = zero_grad
    return type("Model", (), members)


# --- functions, losses, slopes ---


def functions(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """A pair with a cache: gradients in a tuple, or in a dict by name."""
    what = maths.ALL[int(rng.integers(len(maths.ALL)))](rng)
    count = len(what.inputs)
    names = [*("x", "h")[:count], *(f"w{i}" for i in range(len(what.parameters)))]
    form = ["tuple", "dict", "dict of d"][int(rng.integers(3))]
    options = bool(rng.random() < 0.3)

    def run(arrays: Any) -> Any:
        return what.forward(arrays[:count], arrays[count : len(names)])

    def backward(dout: Any, cache: Any) -> Any:
        given, own = what.backward(dout, cache)
        gradients = [*given, *own]
        if form == "tuple":
            return tuple(gradients) if len(gradients) > 1 else gradients[0]
        with_gradient = names[len(names) - len(gradients) :]
        return {f"{'d' if form != 'dict' else ''}{n}": g for n, g in zip(with_gradient, gradients, strict=True)}

    given = f"{', '.join(names)}{', options' if options else ''}"
    namespace: dict[str, Any] = {"run": run}
    exec(f"def layer_forward({given}):\n    return run(({', '.join(names)},))", namespace)
    with_gradient = [i for i in range(len(names)) if i or not what.ids]
    prefix = {"tuple": None, "dict": "returned.", "dict of d": "returned.d"}[form]
    slots = {f"args.{i}": f"{prefix}{names[i]}" for i in with_gradient}
    if prefix is None:
        slots = {f"args.{i}": f"returned.{j}" if len(with_gradient) > 1 else DX for j, i in enumerate(with_gradient)}
    inputs = _arguments(what, scale, dtype)

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        own = (rng.standard_normal(shape).astype(dtype) for shape in what.parameters)
        return (*inputs(rng), *own, *([{"stride": 1, "mode": "train"}] if options else []))

    pair = namespace["layer_forward"], backward
    told = f"{form}{' options' if options else ''}, {dtype}, scale {scale:.1e}"
    calls = Calls(0, 1, "douts, cache", ("returned.0",))
    return Sample(f"functions {what.name}", "functions", lambda: pair, arguments, calls, slots, told)


def loss(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """A loss of predictions and labels, in either order and any form."""
    rows = bool(rng.random() < 0.3)
    which, both = ("softmax", scalars.OF_ROWS) if rows else scalars.LOSSES[int(rng.integers(len(scalars.LOSSES)))]
    forms = ["pair", "both", "nothing", "dout", *scalars.LOSS_FORMS]
    form, kind = forms[int(rng.integers(len(forms)))], int(rng.integers(3))
    true_first = form not in ("both", "nothing", "dout") and bool(rng.random() < 0.5)
    shape = (maths.size(rng), maths.size(rng))[: 2 if rows else int(rng.integers(1, 3))]

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        y = (min(scale, 3.0) * rng.standard_normal(shape)).astype(dtype)
        labels = [np.sign(rng.standard_normal(shape)), rng.integers(0, 2, shape), min(scale, 3.0) * rng.random(shape)]
        t = labels[kind].astype(dtype)
        if rows:
            soft = rng.dirichlet(np.ones(shape[1]), shape[0])
            t = [np.eye(shape[1])[soft.argmax(axis=1)], soft, soft][kind].astype(dtype)
        return (t, y) if true_first else (y, t)

    calls, slots = _loss_calls(form), {f"args.{int(true_first)}": "returned.1" if form == "both" else DX}
    told = f"{form}{', y_true first' if true_first else ''}, {dtype}"
    return Sample(which, "loss", lambda: scalars.loss_object(both, form, true_first), arguments, calls, slots, told)


def _loss_calls(form: str) -> Calls:
    if form == "pair":
        return Calls(0, 1, "arguments")
    if form == "both":
        return Calls("", "", "arguments", ("returned.0",))
    if form in scalars.LOSS_FORMS:
        return Calls(*scalars.LOSS_FORMS[form], "arguments")
    return Calls(takes="nothing" if form == "nothing" else "dout")


def slopes(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """A function and its slope, number by number."""
    which, both = scalars.SLOPES[int(rng.integers(len(scalars.SLOPES)))]
    form = ["pair", "fn", "called"][int(rng.integers(3))]
    names: Any = {"pair": (0, 1), "fn": ("fn", "grad"), "called": ("__call__", "gradient")}[form]
    shape = tuple(maths.size(rng) for _ in range(int(rng.integers(1, 4))))

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        z = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.1, 2.0, shape) * min(scale, 2.0)
        return (z.astype(dtype),)

    calls, told = Calls(names[0], names[1], "arguments", elementwise=True), f"{form}, {dtype}"
    return Sample(which, "slopes", lambda: scalars.slopes_class(both, form), arguments, calls, {X: DX}, told)


def function(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """A function of one array, or of a list of arrays, with its gradient beside it or in its answer."""
    which, (f, g) = scalars.FUNCTIONS[int(rng.integers(len(scalars.FUNCTIONS)))]
    form = ["pair", "both", "list"][int(rng.integers(3))]
    shapes = [tuple(maths.size(rng) for _ in range(int(rng.integers(1, 3)))) for _ in range(int(rng.integers(1, 4)))]
    size = min(scale, 3.0)

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        arrays = [(size * rng.standard_normal(shape)).astype(dtype) for shape in shapes]
        return (arrays if form == "list" else arrays[0],)

    if form == "both":
        calls, slots = Calls("", "", "arguments", ("returned.0",)), {X: "returned.1"}
        return Sample(which, "function", lambda: lambda x: (f(x), g(x)), arguments, calls, slots, f"{form}, {dtype}")
    if form == "pair":
        return Sample(which, "function", lambda: (f, g), arguments, Calls(0, 1, "arguments"), {X: DX}, f"pair, {dtype}")
    pair = (lambda arrays: sum(f(a) for a in arrays), lambda arrays: [g(a) for a in arrays])
    slots = {f"args.0.{i}": f"returned.{i}" for i in range(len(shapes))}
    return Sample(which, "function", lambda: pair, arguments, Calls(0, 1, "arguments"), slots, f"list, {dtype}")


def again(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """One of the samples of tests/wild with other numbers."""
    return AGAIN[int(rng.integers(len(AGAIN)))]


def sized(rng: np.random.Generator, dtype: np.dtype[Any], scale: float) -> Sample:
    """A subject of the samples at a random size."""
    return SIZED[int(rng.integers(len(SIZED)))](rng)


KINDS: tuple[Callable[[np.random.Generator, np.dtype[Any], float], Sample], ...] = (
    layer, nested, functions, loss, slopes, function, layer, nested, sized, again,
)  # fmt: skip
