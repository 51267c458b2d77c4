"""Where a random layer keeps its parameters and their gradients, and how its methods are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: The two directions, as public code calls them.
METHODS = (
    ("forward", "backward"), ("forward_pass", "backward_pass"), ("fprop", "bprop"),
    ("forward_propagate", "back_propagate"), ("forward", "backprop"), ("__call__", "backward"),
)  # fmt: skip

#: The names of a weight by its role: W, a bias, a scale, a shift, and the two of an RNN.
NAMES: Mapping[str, tuple[str, ...]] = {
    "W": ("W", "w", "weight", "weights", "_weights", "kernel", "W1"),
    "b": ("b", "b", "bias", "biases", "_bias", "b", "b1"),
    "g": ("gamma", "scale", "gamma", "gain", "_gamma", "g", "gamma1"),
    "s": ("beta", "shift", "beta", "offset", "_beta", "beta", "beta1"),
    "x": ("Wx", "wx", "weight_ih", "weights_x", "_weights_x", "kernel_x", "Wx1"),
    "h": ("Wh", "wh", "weight_hh", "weights_h", "_weights_h", "kernel_h", "Wh1"),
}
#: The name of a gradient beside its parameter.
FORMS = ("d{}", "grad_{}", "{}_grad", "d_{}", "grad{}")


class Style:
    """Where parameters are kept; the plain one: attributes."""

    in_place = False

    def __init__(self, rng: np.random.Generator, roles: str) -> None:
        set_of_names = int(rng.integers(len(NAMES["W"])))
        self.names = [NAMES[role][set_of_names] for role in roles]
        self.form = FORMS[int(rng.integers(len(FORMS)))]
        if self.names[0].startswith("_"):
            self.form = "{}_grad"
        self.in_place = bool(rng.random() < 0.5)

    def start(self, thing: Any, arrays: list[Any]) -> None:
        """Store the parameters, and zeros where gradients are to stand."""
        for name, array in zip(self.names, arrays, strict=True):
            setattr(thing, name, array)
            if self.in_place:
                setattr(thing, self.gradient(name), np.zeros_like(array))

    def gradient(self, name: str) -> str:
        """Give the name of a gradient."""
        camel = self.form == "grad{}"
        return self.form.format(name[0].upper() + name[1:] if camel else name)

    def get(self, thing: Any) -> list[Any]:
        """Give the parameters."""
        return [getattr(thing, name) for name in self.names]

    def give(self, thing: Any, gradients: list[Any]) -> None:
        """Leave the gradients where they belong."""
        for name, gradient in zip(self.names, gradients, strict=True):
            if self.in_place:
                getattr(thing, self.gradient(name))[...] = gradient
            else:
                setattr(thing, self.gradient(name), gradient)

    def slots(self) -> dict[str, str]:
        """Give the paths of parameters and gradients."""
        return {name: self.gradient(name) for name in self.names}


class Lists(Style):
    """params and grads."""

    def start(self, thing: Any, arrays: list[Any]) -> None:
        thing.params, thing.grads = list(arrays), [np.zeros_like(a) for a in arrays]

    def get(self, thing: Any) -> list[Any]:
        return list(thing.params)

    def give(self, thing: Any, gradients: list[Any]) -> None:
        if not self.in_place:
            thing.grads = list(gradients)
            return
        for old, new in zip(thing.grads, gradients, strict=True):
            old[...] = new

    def slots(self) -> dict[str, str]:
        return {f"params.{i}": f"grads.{i}" for i in range(len(self.names))}


class Dicts(Style):
    """parameters and gradients, or params and grads; the keys of the second may begin with a d."""

    def __init__(self, rng: np.random.Generator, roles: str) -> None:
        super().__init__(rng, roles)
        self.both = (("parameters", "gradients"), ("params", "grads"))[int(rng.integers(2))]
        self.form = ("{}", "{}", "d{}")[int(rng.integers(3))]

    def start(self, thing: Any, arrays: list[Any]) -> None:
        setattr(thing, self.both[0], dict(zip(self.names, arrays, strict=True)))
        zeros = {self.gradient(n): np.zeros_like(a) for n, a in zip(self.names, arrays, strict=True)}
        setattr(thing, self.both[1], zeros)

    def get(self, thing: Any) -> list[Any]:
        return list(getattr(thing, self.both[0]).values())

    def give(self, thing: Any, gradients: list[Any]) -> None:
        held = getattr(thing, self.both[1])
        for name, gradient in zip(self.names, gradients, strict=True):
            if self.in_place:
                held[self.gradient(name)][...] = gradient
            else:
                held[self.gradient(name)] = gradient

    def slots(self) -> dict[str, str]:
        return {f"{self.both[0]}.{n}": f"{self.both[1]}.{self.gradient(n)}" for n in self.names}


class Accumulating(Dicts):
    """Gradients are added up until they are flushed."""

    def __init__(self, rng: np.random.Generator, roles: str) -> None:
        super().__init__(rng, roles)
        self.flush_name = ("flush_gradients", "zero_grad")[int(rng.integers(2))]

    def flush(self, thing: Any) -> None:
        """Set the gradients to 0."""
        held = getattr(thing, self.both[1], {})  # before the first forward there may be none
        for name in held:
            held[name] = np.zeros_like(held[name])

    def give(self, thing: Any, gradients: list[Any]) -> None:
        held = getattr(thing, self.both[1])
        for name, gradient in zip(self.names, gradients, strict=True):
            held[self.gradient(name)] += gradient


class ValGrad(Style):
    """{"val": …, "grad": …} as an attribute."""

    def start(self, thing: Any, arrays: list[Any]) -> None:
        for name, array in zip(self.names, arrays, strict=True):
            setattr(thing, name, {"val": array, "grad": np.zeros_like(array)})

    def get(self, thing: Any) -> list[Any]:
        return [getattr(thing, name)["val"] for name in self.names]

    def give(self, thing: Any, gradients: list[Any]) -> None:
        for name, gradient in zip(self.names, gradients, strict=True):
            getattr(thing, name)["grad"] = gradient

    def slots(self) -> dict[str, str]:
        return {f"{name}.val": f"{name}.grad" for name in self.names}


class Parameter:
    """An array and its gradient, by names of its own."""

    def __init__(self, fields: tuple[str, str], array: Any) -> None:
        setattr(self, fields[0], array)
        setattr(self, fields[1], np.zeros_like(array))


class Objects(Style):
    """p and g, data and grad, or value and grad of an object."""

    def __init__(self, rng: np.random.Generator, roles: str) -> None:
        super().__init__(rng, roles)
        self.fields = (("p", "g"), ("data", "grad"), ("value", "grad"))[int(rng.integers(3))]

    def start(self, thing: Any, arrays: list[Any]) -> None:
        for name, array in zip(self.names, arrays, strict=True):
            setattr(thing, name, Parameter(self.fields, array))

    def get(self, thing: Any) -> list[Any]:
        return [getattr(getattr(thing, name), self.fields[0]) for name in self.names]

    def give(self, thing: Any, gradients: list[Any]) -> None:
        for name, gradient in zip(self.names, gradients, strict=True):
            setattr(getattr(thing, name), self.fields[1], gradient)

    def slots(self) -> dict[str, str]:
        return {f"{name}.{self.fields[0]}": f"{name}.{self.fields[1]}" for name in self.names}


STYLES: tuple[type[Style], ...] = (Style, Style, Style, Lists, Lists, Dicts, Accumulating, ValGrad, Objects)
