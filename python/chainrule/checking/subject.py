"""A subject: what is checked, whatever it is, answers the same three questions.

``arrays``: what can be moved, parameters by the subject's own names and then inputs by the names of their arguments.
``outputs()``: what comes out for the arrays as they are now, one forward pass.
``gradients(douts)``: what the subject's own code says, after one forward pass.

A kind of subject is a class in a file of its own, with a row in `subjects.KINDS`. Beside those three it says how it is
understood (`read`), how it is met in a file (`methods_in` and the answers below that), and what else there is to know:
whether Rust evaluates it (`engine`), whether it has layers of which one is faulty (`faulty_layer`).

The subject is handed copies of the arguments, so an argument is never written. Parameters are moved in place, because
a closure or a layer may hold them; whoever moves them puts them back.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import Slot
from chainrule.checking.conventions import first_of, spelled_otherwise
from chainrule.checking.reach import GENERATORS, reach
from chainrule.checking.report import Unseen
from chainrule.checking.results import (
    Bound,
    bound,
    fits,
    flattened,
    is_float,
    left_in,
    mirrored,
    without_flags,
)
from chainrule.checking.state import State
from chainrule.checking.values import is_single, is_single_array
from chainrule.nn.parameters.places import Place, gradient_at, put

if TYPE_CHECKING:
    from chainrule.checking.comparison import Comparison
    from chainrule.checking.contracts import Trial
    from chainrule.checking.engine import KnownNetwork
    from chainrule.checking.layer_search import Alone, Verdict
    from chainrule.checking.randomness import Randomness
    from chainrule.checking.reader import Reader


@dataclass
class Answer:
    """What backward, gradient or grad_f gave."""

    #: By the name of the array; None where there should be one and is none.
    gradients: dict[str, Any]
    #: The very objects, for questions about their memory; also those of integer inputs.
    returned: dict[str, Any]
    #: Inputs that no gradient was given for, as for the labels of a loss.
    unasked: tuple[str, ...] = ()
    #: Whether a gradient was given for any input.
    of_inputs: bool = False
    #: Those whose gradients were told from others by where they stood in what was returned; whether that was a guess.
    placed: tuple[str, ...] = ()
    guessed: bool = False


@dataclass
class Subject(ABC):
    """What all kinds share."""

    #: What the user handed over, and what it is called in the report.
    thing: Any
    name: str
    #: Its arguments, in order, and our copies of what is in them.
    slots: tuple[Slot, ...]
    inputs: dict[str, Any]
    #: The inputs that the gradient is by, if the caller said so.
    wrt: tuple[str, ...] | None = None
    #: The arrays that the subject itself holds, and that have gradients; where those lie that have them beside them.
    parameters: dict[str, FloatArray] = field(default_factory=dict)
    places: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    #: Parameters that are plain numbers, or were: they are put there before each forward pass.
    boxes: dict[str, Place] = field(default_factory=dict)
    #: Arrays that move the outputs, and are not compared; those that have no gradient and need none.
    unseen: tuple[Unseen, ...] = ()
    held_fixed: tuple[str, ...] = ()
    #: How it was understood, where that is not plain.
    read_as: tuple[str, ...] = ()
    #: Parameters whose gradients backward returns behind those of the inputs, in that order.
    returned: tuple[str, ...] = ()
    #: The input that each of the returned gradients is of, or None for a parameter's; empty if it is their places that
    #: tell.
    order: tuple[str | None, ...] = ()
    #: All that was returned, one after the other, and what was returned by name.
    items: list[Any] = field(default_factory=list)
    keyed: dict[str, Any] = field(default_factory=dict)
    #: The names that the returned gradients are read as those of, in their order, if that is a guess.
    told_order: tuple[str, ...] = ()
    #: Gradients that were returned and belong to nothing that is known yet.
    left_over: list[Any] = field(default_factory=list)
    #: What was returned alone and fits no input; whether it is the gradient of a parameter.
    alone: Any = None
    of_a_parameter: bool = False
    #: What every forward pass starts from, if it goes on from where the last has ended.
    resets: State | None = None
    #: Whether, if this way to understand it agrees and the usual one does not, it was what was meant.
    surely: bool = True
    #: Whether other ways to understand it have to be asked even if this one agrees.
    unsure: bool = False
    #: Whether its derivatives are given for these numbers alone.
    at_one_point: bool = False
    #: How the two functions are called in messages.
    forward_name: str = "forward"
    backward_name: str = "backward"
    #: Whether backward takes a step of training itself; and whether it takes off its parameters their gradients, times
    #: a learning rate that it holds, though they lie beside them.
    stepping: bool = False
    by_its_rate: bool = False
    #: What backward takes in the place of the outputs' gradient, if that is called like labels.
    labels: str = ""

    #: What the report calls it.
    kind: ClassVar[str]
    #: What the methods that go forwards may be called, and those that give the gradient.
    methods: ClassVar[tuple[Sequence[str], Sequence[str]]] = ((), ())
    #: Whether it is functions, which go by their own names in messages.
    of_functions: ClassVar[bool] = False
    #: Whether the gradient of the outputs is sent back; if not, that of their sum is asked for.
    takes_dout = True
    #: Whether a call for the gradient makes a forward pass of its own.
    goes_forward_itself: ClassVar[bool] = False
    #: Whether a gradient need not be given for every input.
    gradients_optional: ClassVar[bool] = True

    # In a file, where nobody says what it is to be given:
    #: Whether it is given examples and labels, and no predictions.
    takes_data: ClassVar[bool] = False
    #: Whether one call gives the value and the gradient.
    gives_both: ClassVar[bool] = False
    #: Whether it gives one number, or one for each entry or example.
    of_entries: ClassVar[bool] = False
    #: Whether it is given a vector.
    of_vectors: ClassVar[bool] = False
    #: Whether its name alone tells what it is.
    by_name: ClassVar[bool] = False
    #: Whether it may give nothing, and leave its outputs in attributes.
    leaves_outputs: ClassVar[bool] = False

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give a thing as this kind of subject, in the ways it can be meant, the likeliest first."""
        ahead, back = map(reader.first, cls.methods)
        return cls.by_methods(reader, ahead, back) if ahead and back else ()

    @classmethod
    def by_methods(cls, reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
        """Give an object as this kind of subject by the names of two of its methods."""
        return ()

    @classmethod
    def methods_in(cls, names: Iterable[str]) -> tuple[str, str] | None:
        """Give the two methods by which an object that has these is of this kind; None if it is not."""
        there = list(names)
        ahead, back = (first_of([*known, *spelled_otherwise(known, there)], there) for known in cls.methods)
        return (ahead, back) if ahead and back else None

    @classmethod
    def otherwise(cls, value: Any, derivative: Any, arguments: Sequence[Any]) -> tuple[Any, str] | None:
        """Give two functions of a file as what else they can be meant to be, and what to say then; None if nothing."""
        return None

    @property
    def arrays(self) -> dict[str, FloatArray]:
        """Everything a loss can be differentiated by: float parameters, then float inputs."""
        return {**self.parameters, **self.movable}

    @property
    def holder(self) -> Any:
        """What is looked through for parameters."""
        return self.thing

    @property
    def movable(self) -> dict[str, FloatArray]:
        """The inputs that can be moved, or those of them that the caller named."""
        names = self.inputs if self.wrt is None else self.wrt
        return {name: self.inputs[name] for name in names if is_float(self.inputs[name])}

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

    def called(self, name: str) -> str:
        """Give what the derivatives by an array are called."""
        return name

    def comparison(self) -> type[Comparison] | None:
        """Give what compares it, if its derivatives are no gradients."""
        return None

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Parameters of which it is not sure that what is compared is a gradient."""
        return ()

    def try_own_contracts(self, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
        """Try what right code of this kind keeps beside what all does; `answer`: its first gradients."""
        return

    def engine(self) -> KnownNetwork | None:
        """Give what evaluates it in Rust, if anything does."""
        return None

    def faulty_layer(self, alone: Alone, randomness: Randomness, first: State) -> Verdict | None:
        """Look for the layer that makes it wrong, from how it was at `first`; None if it has none."""
        return None

    def widths(self, others: list[int]) -> list[int]:
        """Give the sizes beside N that a mean can be over: those of the `others` of the first input's axes."""
        return others

    @property
    def is_given_a_rate(self) -> bool:
        """Whether backward is given what to step by, so that it says itself that it does."""
        return False

    def learning_rates(self) -> Sequence[float]:
        """Give those that backward may take a step of training with."""
        return ()

    def refusal(self, error: Exception) -> TypeError | None:
        """Say what its backward was given, if it is that which raised this; None if it is not."""
        return None

    def takes_steps(self, name: str, rates: Sequence[float], in_proportion: bool) -> bool:
        """Note that backward takes something off a parameter; tell whether it is known how many gradients.

        None, if it is not `in_proportion` to what is sent back.
        """
        return False

    def full_name(self, method: str) -> str:
        """Give what a method is called in messages."""
        return method if self.of_functions else f"{self.name}.{method}"

    def handed(self) -> list[Any]:
        """Give the arguments as the subject is called with them, after putting its plain numbers where they belong."""
        if self.resets is not None:
            self.resets.restore()
        for name, place in self.boxes.items():
            put(place, self.parameters[name] if self.parameters[name].ndim else float(self.parameters[name]))
        return [slot.handed(self.inputs) for slot in self.slots]

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give one random number, away from 0, for each number that came out: in its shape and dtype."""
        if not self.takes_dout:
            return [np.ones_like(out)[()] for out in outputs]
        return [_cotangent(out, rng) for out in outputs]

    def with_inputs(self, inputs: Mapping[str, Any]) -> Subject:
        """Give the same subject with other arguments."""
        other = copy.copy(self)
        other.inputs = dict(inputs)
        return other

    def widened(self) -> Subject | None:
        """Give a copy that computes in float64, sharing nothing; None if it cannot be copied."""
        wide = {id(a): a.astype(np.float64) for a in self.arrays.values()}
        memo: dict[int, Any] = {id(a): a.astype(np.float64) for a in self.inputs.values() if is_single_array(a)} | wide
        # Generators are set back for both, so both see the same noise.
        memo |= {key: g for key, (_, g) in reach(subject=self.thing).items() if isinstance(g, GENERATORS)}
        try:
            thing = copy.deepcopy(self.thing, memo)
        except Exception:  # whatever somebody's object raises when copied: then it is not copied
            return None
        other = copy.copy(self)
        other.thing = thing
        other.inputs = {name: memo.get(id(a), a) for name, a in self.inputs.items()}
        other.parameters = {name: wide[id(a)] for name, a in self.parameters.items()}
        top = other.holder
        other.places = {name: tuple(place.on(top) for place in places) for name, places in self.places.items()}
        other.boxes = {name: place.on(top) for name, place in self.boxes.items()}
        return other

    def answer(self, returned: Any, taken_off: Mapping[str, Any] = {}) -> Answer:  # read only
        """Put in order what backward returned, and what it left beside the parameters.

        `taken_off`: what it took off the parameters itself, for a step of 1.
        """
        if not self.of_functions:
            returned = without_flags(returned, None if self.takes_dout else self.movable)
        given = self._bound(returned)
        found = dict.fromkeys(self.parameters)
        for name in self.parameters:
            beside = gradient_at(self.places.get(name, ()))
            found[name] = given.gradients.get(name, beside if beside is not None else taken_off.get(name))
        given.extra = self.left_over = self._for_parameters(given, found)
        inputs = {name: g for name, g in given.gradients.items() if name not in self.parameters}
        if returned is None:
            self._add_left(inputs)
        movable = self.movable
        unasked = tuple(n for n in movable if inputs.get(n) is None)
        gradients = {**found, **{n: inputs.get(n) for n in movable if n not in unasked}}
        gradients = {name: self.as_gradient(a, name) for name, a in gradients.items()}
        objects = {**found, **{n: a for n, a in inputs.items() if a is not None}}
        placed: tuple[str, ...] = (*inputs, *self.returned) if given.by_position else ()
        if self.order and len(self.order) == len(self.items):
            parameters = iter(self.returned)
            placed = tuple(name or next(parameters, "a parameter") for name in self.order)
        self.told_order = placed if placed and given.guessed else ()
        return Answer(
            gradients, objects, unasked, any(g is not None for g in inputs.values()), placed,
            given.guessed or bool(self.returned),
        )  # fmt: skip

    def _bound(self, returned: Any) -> Bound:
        """Say of what each of the returned gradients is the gradient."""
        deep = mirrored(returned, self.slots)
        if deep is not None:
            return Bound({name: gradient for name, gradient in deep.items() if name in (self.wrt or self.inputs)})
        self.items = flattened(returned) if isinstance(returned, tuple | list) else []
        self.keyed = {str(k): v for k, v in returned.items()} if isinstance(returned, Mapping) else {}
        inputs = [self.inputs[name] for name in (self.wrt or self.inputs)]
        fitting = any(isinstance(a, np.ndarray) and fits(returned, a) for a in inputs)
        self.alone = returned if isinstance(returned, np.ndarray) and not fitting else None
        if self.of_a_parameter and self.alone is not None:
            return Bound(extra=[returned])
        if not self.order or len(self.items) != len(self.order):
            return bound(returned, self.inputs, self.wrt, list(self.parameters))
        pairs = list(zip(self.order, self.items, strict=True))
        gradients = {name: item for name, item in pairs if name is not None and name in (self.wrt or self.inputs)}
        return Bound(gradients, [item for name, item in pairs if name is None], by_position=True, guessed=True)

    def _for_parameters(self, given: Bound, found: dict[str, Any]) -> list[Any]:
        """Take from what is given what are gradients of parameters; give what is left over."""
        if self.returned and len(given.extra) == len(self.returned):
            found.update(zip(self.returned, given.extra, strict=True))
            return []
        if self.returned and not given.extra and len(given.gradients) == len(self.returned) == 1:
            found[self.returned[0]] = given.gradients.popitem()[1]
            return []
        if not self.movable and len(given.extra) <= len(self.inputs):
            return []  # of integers, which need none
        without = [name for name, gradient in found.items() if gradient is None]
        if len(given.extra) == len(without) and all(map(fits, given.extra, (self.parameters[n] for n in without))):
            found.update(zip(without, given.extra, strict=True))
            return []
        return list(given.extra)

    def returned_names(self) -> tuple[str, ...]:
        """Give the names of the variables that backward returns, if they can be known."""
        return ()

    def expect_nothing_left_over(self) -> None:
        """Raise ValueError if gradients were returned that belong to nothing."""
        if self.left_over and not self.of_functions:
            count, names = len(self.left_over) + len(self.movable), ", ".join(self.inputs) or "none"
            raise ValueError(
                f"{self.full_name(self.backward_name)} gives {count} gradients for {len(self.inputs)} inputs"
                f" ({names}); say with wrt= what they are by, and with params= where parameters have theirs"
            )

    def _add_left(self, inputs: dict[str, Any]) -> None:
        """Add the gradient of the input that was left in an attribute."""
        beside = [g[1] for places in self.places.values() for p in places if (g := p.gradient()) is not None]
        left = left_in(self.thing, [n for n in self.inputs if is_float(self.inputs[n])], self.inputs, beside)
        if left is not None:
            inputs |= bound(left[1], self.inputs, self.wrt, []).gradients

    def as_gradient(self, value: Any, name: str) -> Any:
        """Give a gradient as the array it is, or None; refuse what holds no real numbers."""
        try:
            array = None if value is None else np.asarray(value)
        except ValueError:  # lists of unequal lengths, or of arrays
            array = np.empty(0, object)
        if array is not None and array.dtype.kind not in "fbiu":
            raise TypeError(
                f"{self.full_name(self.backward_name)} must give real numbers for {name}, got"
                f" {type(value).__name__} of {array.dtype}; say with wrt= what its gradients are by"
            )
        return array


def _cotangent(out: FloatArray, rng: np.random.Generator) -> Any:
    sizes = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)
    return out.dtype.type(sizes) if out.ndim == 0 else sizes.astype(out.dtype)
