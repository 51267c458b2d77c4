"""What can be checked: a layer, a network, or a pair of functions; each answers the same three questions.

``arrays``: what can be moved, parameters by the subject's own names and then inputs by the names of their arguments.
``outputs()``: what comes out for the arrays as they are now, one forward pass.
``gradients(douts)``: what the subject's own code says, after one forward pass.

The subject is handed copies of the arguments, so an argument is never written. Parameters are moved in place, because
a closure or a layer may hold them; whoever moves them puts them back.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, numbers
from chainrule.checking.state import reachable
from chainrule.layers import gradients as layer_gradients
from chainrule.layers import parameters as layer_parameters


@dataclass
class Answer:
    """What backward, gradient or grad_f gave.

    Attributes
    ----------
    gradients : dict of str to ndarray or None
        By the name of the array; None where there should be one and is none.
    returned : dict of str to object
        The very objects, for questions about their memory; also those of integer inputs.
    unasked : tuple of str
        Inputs that no gradient was given for, as for the labels of a loss.
    """

    gradients: dict[str, Any]
    returned: dict[str, Any]
    unasked: tuple[str, ...] = ()


@dataclass
class Subject(ABC):
    """The part all kinds share.

    Attributes
    ----------
    thing : object
        What the user handed over.
    name : str
        What it is called in the report.
    inputs : dict of str to object
        Our copies of the arguments, in order.
    parameters : dict of str to ndarray
        The arrays that the subject itself holds.
    """

    thing: Any
    name: str
    inputs: dict[str, Any]
    parameters: dict[str, FloatArray] = field(default_factory=dict)
    kind = "subject"
    #: How the two sides are called in messages.
    forward_name = "forward"
    backward_name = "backward"

    @property
    def arrays(self) -> dict[str, FloatArray]:
        """Everything a loss can be differentiated by: float parameters, then float inputs."""
        movable = {name: a for name, a in self.inputs.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
        return {**self.parameters, **movable}

    @property
    def single(self) -> bool:
        """Whether float32 is among the arrays."""
        return any(map(is_single, self.arrays.values()))

    @abstractmethod
    def outputs(self) -> list[FloatArray]:
        """Give what comes out for the arrays as they are."""

    @abstractmethod
    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give the subject's own gradients for these gradients of its outputs; `fresh`: after a forward pass."""

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give one random number, away from 0, for each number that came out: in its shape and dtype."""
        return [_cotangent(out, rng) for out in outputs]

    def with_inputs(self, inputs: Mapping[str, Any]) -> Subject:
        """Give the same subject with other arguments."""
        other = copy.copy(self)
        other.inputs = dict(inputs)
        return other

    def widened(self) -> Subject | None:
        """Give a copy that computes in float64, sharing nothing; None if it cannot be copied."""
        wide = {id(a): a.astype(np.float64) for a in self.arrays.values()}
        shared = (np.random.Generator, np.random.RandomState)  # set back for both, so both see the same noise
        memo: dict[int, Any] = {id(g): g for g in reachable(self.thing) if isinstance(g, shared)} | wide
        try:
            thing = copy.deepcopy(self.thing, memo)
        except Exception:  # whatever somebody's object raises when copied: then it is not copied
            return None
        other = copy.copy(self)
        other.thing = thing
        other.inputs = {name: wide.get(id(a), a) for name, a in self.inputs.items()}
        other.parameters = {name: wide[id(a)] for name, a in self.parameters.items()}
        return other


def is_single(array: FloatArray) -> bool:
    """Tell whether an array is of float32, in whichever order of bytes."""
    return array.dtype.newbyteorder("=") == np.float32


def _cotangent(out: FloatArray, rng: np.random.Generator) -> Any:
    sizes = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)
    return out.dtype.type(sizes) if out.ndim == 0 else sizes.astype(out.dtype)


@dataclass
class LayerSubject(Subject):
    """Any object with ``forward(*inputs)`` and ``backward(dout)``.

    Its parameters are ``W`` and ``b``, or those in ``params``; and any other array among its attributes, such as
    ``gamma``, that ``forward`` leaves in its place and that has a gradient under the same name with a d before it.
    """

    kind = "layer"
    candidates: dict[str, FloatArray] = field(default_factory=dict)

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        return _arrays_of(self.thing.forward(*self.inputs.values()), f"{self.name}.forward")

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        if fresh:
            self.thing.forward(*self.inputs.values())
        dout = douts[0] if len(douts) == 1 else tuple(douts)
        dx = self.thing.backward(dout)
        for name, array in self.candidates.items():
            gradient = getattr(self.thing, f"d{name}", None)
            if getattr(self.thing, name, None) is array and isinstance(gradient, np.ndarray):
                self.parameters.setdefault(name, array)
        own = layer_gradients(self.thing)
        found = {name: own.get(name, getattr(self.thing, f"d{name}", None)) for name in self.parameters}
        return _answer(found, dx, self)


class NetworkSubject(Subject):
    """Any object with ``loss(x, t)``, ``gradient(x, t)`` and ``params``."""

    kind = "network"
    forward_name = "loss"
    backward_name = "gradient"

    @property
    def arrays(self) -> dict[str, FloatArray]:
        """Give the parameters: examples are not differentiated by."""
        return self.parameters

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        return [_one_number(self.thing.loss(*self.inputs.values()), f"{self.name}.loss")]

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give 1, for the one number."""
        return [np.float64(1)]  # gradient(x, t) takes none

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        grads = self.thing.gradient(*self.inputs.values())
        if not isinstance(grads, Mapping):
            raise TypeError(f"{self.name}.gradient must give a dict of names to arrays, got {type(grads).__name__}")
        by_name = {str(key): gradient for key, gradient in grads.items()}
        found = {name: _gradient(by_name.get(name), name, self) for name in self.parameters}
        return Answer(found, dict(found))


class PairSubject(Subject):
    """A function that gives one number, and one that gives its gradient."""

    kind = "pair"
    forward_name = "f"
    backward_name = "grad_f"

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        return [_one_number(self.thing[0](*self.inputs.values()), "f")]

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give 1, for the one number."""
        return [np.float64(1)]  # grad_f takes none

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        return _answer({}, self.thing[1](*self.inputs.values()), self)


def adapt(thing: Any, arguments: Sequence[Any]) -> Subject:
    """Give `thing` as a Subject; say what is missing if it is none.

    Raises
    ------
    TypeError
        If it is no layer, network or pair, or an argument or a parameter has a dtype that cannot be differentiated.
    ValueError
        If a parameter is read-only, or an array is not finite.
    """
    if isinstance(thing, type):
        raise TypeError(f"{thing.__name__} is a class, not an object: call it first")
    if isinstance(thing, tuple | list) and len(thing) == 2 and all(map(callable, thing)):
        name = getattr(thing[0], "__name__", "f")
        subject: Subject = PairSubject(tuple(thing), name, _inputs(thing[0], arguments))
    elif hasattr(thing, "loss") and hasattr(thing, "gradient") and hasattr(thing, "params"):
        subject = NetworkSubject(thing, type(thing).__name__, _inputs(thing.loss, arguments))
        if not isinstance(thing.params, Mapping) or not thing.params:
            raise TypeError(
                f"{subject.name}.params must be a dict of arrays with something in it, got {thing.params!r:.60}"
            )
        subject.parameters = {str(key): _parameter(a, f"params[{key!r}]") for key, a in thing.params.items()}
    elif hasattr(thing, "forward") and hasattr(thing, "backward"):
        subject = layer = LayerSubject(thing, type(thing).__name__, _inputs(thing.forward, arguments))
        own = {name: a for name, a in layer_parameters(thing).items() if a is not None}
        subject.parameters = {name: _parameter(a, name) for name, a in own.items()}
        layer.candidates = {
            name: a
            for name, a in getattr(thing, "__dict__", {}).items()
            if isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.itemsize >= 4 and a.flags.writeable
        }
        subject.inputs = {_unique(name, own): value for name, value in subject.inputs.items()}
    else:
        raise TypeError(
            f"{_missing(thing)}; a layer has forward and backward, a network loss, gradient and params, a"
            " pair of functions is (f, grad_f)"
        )
    if not subject.arrays:
        kinds = ", ".join(f"{name} is {np.asarray(a).dtype}" for name, a in subject.inputs.items()) or "no arguments"
        raise TypeError(f"{subject.name} has nothing to differentiate by ({kinds}); pass arrays of float64 or float32")
    for name, array in subject.arrays.items():
        at = place_not_finite(array)
        if at is not None:
            raise ValueError(
                f"{name}{at or ''} is {array[tuple(at)]}; a gradient can be checked at finite numbers only"
            )
    return subject


def place_not_finite(array: FloatArray) -> list[int] | None:
    """Give the index of the first number that is nan or infinite; None if there is none."""
    finite = np.isfinite(array)
    return None if finite.all() else [int(i) for i in np.argwhere(~finite)[0]]


def _missing(thing: Any) -> str:
    """Say what a thing lacks, for an error."""
    name = type(thing).__name__
    for has, lacks in (("forward", "backward"), ("backward", "forward"), ("loss", "gradient"), ("gradient", "loss")):
        if hasattr(thing, has) and not hasattr(thing, lacks):
            return f"{name} has {has} but no {lacks}"
    if hasattr(thing, "loss") and hasattr(thing, "gradient"):
        return f"{name} has loss and gradient but no params"
    if callable(thing):
        return f"{getattr(thing, '__name__', name)} is one function, without its gradient"
    return f"{name} cannot be checked"


def _inputs(function: Any, arguments: Sequence[Any]) -> dict[str, Any]:
    """Give private copies of the arguments, by the names that `function` has for them."""
    names = _names(function, len(arguments))
    return {name: _own(argument, name) for name, argument in zip(names, arguments, strict=True)}


def _names(function: Any, count: int) -> list[str]:
    try:
        asked = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a built-in, perhaps
        asked = []
    names = [p.name for p in asked if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return names if len(names) == count else (["x", "y"] if count <= 2 else [f"x{i}" for i in range(count)])[:count]


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    return f"input {name}" if name in taken else name


def _own(argument: Any, name: str) -> Any:
    """Give a copy the subject may have; what holds no numbers is passed on as it is."""
    if argument is None or isinstance(argument, str | bytes | dict | set) or callable(argument):
        return argument
    array = numbers(argument, name)
    if array.dtype.kind not in "biu":
        _refuse_half(array, name)
    return np.array(array, order="K")


def _parameter(array: Any, name: str) -> FloatArray:
    """Give the parameter itself, if it can be moved in place and put back."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}; make it a float array, so that it can be moved in place")
    if array.dtype.kind in "biu":
        raise TypeError(f"{name} is {array.dtype}, which cannot be moved by a small step; make it float64")
    numbers(array, name)
    _refuse_half(array, name)
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only, and a check moves it in place; give it a copy, e.g. array.copy()")
    return array


def _refuse_half(array: FloatArray, name: str) -> None:
    """Raise TypeError for a dtype with too few digits for a difference."""
    if array.dtype.itemsize < 4:
        raise TypeError(
            f"{name} is {array.dtype}, whose three digits leave nothing of a difference; check the same code in float64"
            " or float32"
        )


def _arrays_of(out: Any, what: str) -> list[FloatArray]:
    """Give outputs as arrays of floats."""
    found = [np.asarray(a) for a in (out if isinstance(out, tuple | list) else (out,))]
    for array in found:
        if array.dtype.kind not in "fbiu":
            raise TypeError(f"{what} must give real numbers, got {type(out).__name__} of {array.dtype}")
    return [a if a.dtype.kind == "f" else a.astype(np.float64) for a in found]


def _one_number(value: Any, what: str) -> FloatArray:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fbiu":
        raise ValueError(
            f"{what} must give one real number, got {type(value).__name__} of shape {array.shape}; sum it up, or check"
            " it as a layer: an object with forward and backward(dout)"
        )
    return array.reshape(()) if array.dtype.kind == "f" else array.reshape(()).astype(np.float64)


def _gradient(value: Any, name: str, subject: Subject) -> Any:
    """Give a gradient as the array it is, or None; refuse what holds no real numbers."""
    array = None if value is None else np.asarray(value)
    if array is not None and array.dtype.kind not in "fbiu":
        what = f"{subject.name}.{subject.backward_name}" if subject.kind != "pair" else subject.backward_name
        raise TypeError(f"{what} must give real numbers for {name}, got {type(value).__name__} of {array.dtype}")
    return array


def _answer(found: dict[str, Any], returned: Any, subject: Subject) -> Answer:
    """Add to the gradients of parameters what came back for the inputs, in their order."""
    names = list(subject.inputs)
    several = isinstance(returned, tuple) or (isinstance(returned, list) and len(names) > 1)
    given = [np.float64(g) if isinstance(g, int | float) else g for g in (returned if several else [returned])]
    if len(given) > len(names) and (names or returned is not None):
        what = f"{subject.name}.{subject.backward_name}" if subject.kind == "layer" else subject.backward_name
        raise ValueError(f"{what} gives {len(given)} gradients for {len(names)} inputs ({', '.join(names)})")
    by_name = dict(zip(names, given, strict=False))
    movable = subject.arrays
    unasked = tuple(n for n in names if n in movable and (n not in by_name or (by_name[n] is None and len(names) > 1)))
    gradients = {**found, **{n: by_name[n] for n in names if n in movable and n not in unasked}}
    gradients = {name: _gradient(a, name, subject) for name, a in gradients.items()}
    objects = {**found, **{n: a for n, a in by_name.items() if a is not None}}
    return Answer(gradients, objects, unasked)
