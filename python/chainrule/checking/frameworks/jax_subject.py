"""JAX: any function of arrays, with rules of its own or without, in reverse mode and in forward mode.

Both modes are held against differences, and against each other: ``⟨J u, v⟩ = ⟨u, Jᵀ v⟩``. JAX computes in float32
unless told otherwise; the differences are taken in float64, which is switched on for them alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import names_of
from chainrule.checking.equality import close, same_numbers
from chainrule.checking.frameworks import interop
from chainrule.checking.frameworks.interop import jax
from chainrule.checking.frameworks.jax_arrays import (
    as_jax,
    as_numpy,
    direction,
    float64,
    is_array,
    over_arrays,
    own_copy,
)
from chainrule.checking.pair import PairSubject
from chainrule.checking.reach import codes
from chainrule.checking.reader import Reader
from chainrule.checking.results import is_float
from chainrule.checking.subject import Answer, Subject

if TYPE_CHECKING:
    from chainrule.checking.contracts import Trial

#: What is said behind the name of an array whose gradient is put together of forward mode's.
_FORWARD = " (jvp)"
#: Forward mode asks for each entry: of so many at most.
_MOST_ENTRIES = 2_000
MODES = "forward and reverse mode agree"


@dataclass
class JaxSubject(Subject):
    """A function of arrays, and of dicts, tuples and other trees of them."""

    function: Callable[..., Any] = field(default=lambda x: x)
    #: How the arguments are made of leaves: the names of inputs, or what is passed on as it is.
    tree: Any = None
    leaves: tuple[Any, ...] = ()
    #: Why there is no gradient in this mode, if there is none.
    no_reverse: str = ""
    no_forward: str = ""
    #: Whether it is evaluated in float64, whatever JAX is set to.
    wide: bool = False
    #: What evaluates it, and what gives the gradient by forward mode, compiled; None if it cannot be.
    evaluated: Callable[..., Any] | None = None
    slopes: Callable[..., Any] | None = None
    #: What sends back through the last forward pass.
    pull: Any = None
    kind = "jax"
    gradients_optional = False

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give a function of arrays, or a pair of them."""
        if jax() is None or not _is_of_jax(reader):
            return ()
        if interop.is_pair(reader.thing):
            functions = tuple(over_arrays(f) for f in reader.thing)
            arguments = [jax().tree_util.tree_map(as_numpy, a) for a in reader.arguments]
            return PairSubject.read(replace(reader, thing=functions, arguments=arguments))
        if not callable(reader.thing):
            raise TypeError(f"{type(reader.thing).__name__} is no function, and is given arrays of JAX's")
        return [_understood(cls, reader)]

    # --- arrays ---

    @property
    def movable(self) -> dict[str, FloatArray]:
        """The inputs that can be moved; once more for forward mode, where there are both."""
        found = super().movable
        if self.no_reverse or self.no_forward:
            return found
        return found | {name + _FORWARD: array for name, array in found.items()}

    def _moved(self) -> dict[str, FloatArray]:
        return super().movable

    def _fixed(self) -> dict[str, Any]:
        moved = self._moved()
        return {n: as_jax(a) for n, a in self.inputs.items() if n not in moved}

    def flat(self, *values: Any, fixed: Mapping[str, Any] | None = None) -> list[Any]:
        """Call it with these for the inputs that can be moved, and give the outputs of floats."""
        given = {**(self._fixed() if fixed is None else fixed), **dict(zip(self._moved(), values, strict=True))}
        leaves = [given[leaf.name] if isinstance(leaf, interop.Hole) else leaf for leaf in self.leaves]
        raw = self.function(*jax().tree_util.tree_unflatten(self.tree, leaves))
        numpy = jax().numpy
        found = [numpy.asarray(out) for out in jax().tree_util.tree_leaves(raw) if is_array(out)]
        for out in found:
            if numpy.issubdtype(out.dtype, numpy.complexfloating):
                raise TypeError(f"{self.name} gives {out.dtype}: complex arrays are not checked; give real and imag")
        return [out for out in found if numpy.issubdtype(out.dtype, numpy.floating)]

    @contextmanager
    def _in_its_precision(self) -> Iterator[list[Any]]:
        """Give the arrays that can be moved, as JAX's; in float64 where that is asked."""
        with float64() if self.wide else contextlib.nullcontext():
            yield [as_jax(array) for array in self._moved().values()]

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        with self._in_its_precision() as values:
            found = self.flat(*values) if self.evaluated is None else self.evaluated(values, self._fixed())
            return [np.array(out) for out in found]

    # --- gradients ---

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what both modes give."""
        found: dict[str, Any] = {}
        with self._in_its_precision() as values:
            sent = [as_jax(np.asarray(dout)) for dout in douts]
            if not self.no_reverse:
                if fresh or self.pull is None:
                    _, self.pull = jax().vjp(self.flat, *values)
                found |= dict(zip(self._moved(), self.pull(sent), strict=True))
            if not self.no_forward:
                ending = "" if self.no_reverse else _FORWARD
                slopes = self._by_forward_mode if self.slopes is None else self.slopes
                found |= {n + ending: g for n, g in slopes(values, sent, self._fixed()).items()}
        gradients = {name: np.array(gradient) for name, gradient in found.items()}
        return Answer(gradients, dict(gradients), (), bool(gradients))

    def _by_forward_mode(self, values: list[Any], douts: list[Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Put the gradient together of a tangent for each entry."""
        numpy, found = jax().numpy, {}
        for i, name in enumerate(self._moved()):

            def slope(tangent: Any, i: int = i) -> Any:
                tangents = [numpy.zeros_like(v) if k != i else tangent for k, v in enumerate(values)]
                _, out = jax().jvp(lambda *values: self.flat(*values, fixed=fixed), values, tangents)
                return sum((numpy.vdot(o, d) for o, d in zip(out, douts, strict=True)), numpy.zeros(()))

            size = values[i].size
            basis = numpy.eye(size, dtype=values[i].dtype).reshape(size, *values[i].shape)
            try:
                slopes = jax().vmap(slope)(basis)
            except Exception:  # what cannot be asked for many at once
                slopes = numpy.stack([slope(tangent) for tangent in basis])
            found[name] = slopes.reshape(values[i].shape).astype(values[i].dtype)
        return found

    # --- contracts ---

    def try_own_contracts(self, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
        """Hold the modes against each other, forward mode against linearity, and all against compiled code."""
        if not self._try_finite(trial, answer):
            return
        if self.no_reverse or self.no_forward:
            mode = "reverse" if self.no_reverse else "forward"
            trial.skips(MODES, f"there is no {mode} mode: {self.no_reverse or self.no_forward}")
        if not self.no_forward:
            self._try_forward_mode(trial, answer, douts)
        if not self.no_reverse:
            self._try_compiled(trial, answer, douts)

    def _try_finite(self, trial: Trial, answer: Answer) -> bool:
        """Ask for numbers; what is nan has no other fault, though all other contracts seem broken."""
        contract = "a gradient is finite where the function is"
        off = {n: ~np.isfinite(g) for n, g in answer.gradients.items()}
        off = {n: where for n, where in off.items() if where.any()}
        if not off or not all(np.isfinite(out).all() for out in self.outputs()):
            trial.tried.setdefault(contract)
            return True
        name, where = next(iter(off.items()))
        at = "[" + ", ".join(str(int(i)) for i in np.argwhere(where)[0]) + "]" if where.ndim else ""
        trial.breaks(contract, f"that of {name}{at} is {answer.gradients[name][where][0]}", "not finite")
        return False

    def _try_forward_mode(self, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
        rng = np.random.default_rng(23)
        moved = self._moved()
        some, others = ([direction(array, rng) for array in moved.values()] for _ in range(2))
        here, there = self._pushed(some), self._pushed(others)
        mixed = self._pushed([np.asarray(2 * u - 3 * w, u.dtype) for u, w in zip(some, others, strict=True)])
        nothing = self._pushed([0 * u for u in some])
        linear = "forward mode is linear in the tangent"
        trial.tried.setdefault(linear)
        if not all(close(2 * a - 3 * b, c) for a, b, c in zip(here, there, mixed, strict=True)):
            trial.breaks(linear, "twice one less three times another is not what comes of both", "not linear")
        elif any(out.any() for out in nothing):
            trial.breaks(linear, "a tangent of 0 gives something else", "not linear")
        if self.no_reverse:
            return
        trial.tried.setdefault(MODES)
        pairs = [(out, np.asarray(dout)) for out, dout in zip(here, douts, strict=True)]
        forth = [float(np.sum(np.asarray(out, np.float64) * dout)) for out, dout in pairs]
        back = [
            float(np.sum(np.asarray(answer.gradients[n], np.float64) * u)) for n, u in zip(moved, some, strict=True)
        ]
        size = sum(float(np.abs(out * dout).sum()) for out, dout in pairs) + sum(map(abs, back))
        if not abs(sum(forth) - sum(back)) <= (1e-4 if self.single else 1e-9) * size:
            told = f"⟨J u, v⟩ is {sum(forth):.6g}, and ⟨u, Jᵀ v⟩ is {sum(back):.6g}"
            trial.breaks(MODES, told, "forward and reverse mode differ")

    def _pushed(self, tangents: Sequence[FloatArray]) -> list[FloatArray]:
        """Give what comes out along tangents."""
        with self._in_its_precision() as values:
            _, out = jax().jvp(self.flat, values, [as_jax(tangent) for tangent in tangents])
            return [np.array(o) for o in out]

    def _try_compiled(self, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
        """Ask for the gradient under jit, as most callers will."""
        contract = "the same under jax.jit"

        def back(values: list[Any], sent: list[Any]) -> Any:
            return jax().vjp(self.flat, *values)[1](sent)

        with self._in_its_precision() as values:
            try:
                found = jax().jit(back)(values, [as_jax(np.asarray(dout)) for dout in douts])
            except Exception as error:
                told = str(error).splitlines()[0] if str(error) else ""
                trial.skips(contract, f"it raises {type(error).__name__}: {told:.100}")
                return
            gradients = {name: np.array(g) for name, g in zip(self._moved(), found, strict=True)}
        trial.tried.setdefault(contract)
        names = [name for name, g in gradients.items() if not close(answer.gradients[name], g)]
        if names:
            trial.breaks(contract, f"that of {', '.join(names)} is another", "stale batch: kept outside the residuals")

    # --- copies ---

    def widened(self) -> Subject | None:
        """Give the same in float64; None if it insists on float32."""
        inputs = {n: a.astype(np.float64) if is_float(a) else a for n, a in self.inputs.items()}
        other = replace(self, inputs=inputs, wide=True, pull=None)
        try:
            outputs = other.outputs()
        except Exception:
            return None
        return other if all(out.dtype == np.float64 for out in outputs) else None

    def with_inputs(self, inputs: Mapping[str, Any]) -> Subject:
        """Give the same with other arguments."""
        other = super().with_inputs(inputs)
        assert isinstance(other, JaxSubject)
        other.pull = None
        return other


# --- understanding one ---


def _is_of_jax(reader: Reader) -> bool:
    """Tell whether arrays or functions of JAX's were handed over, or a function that gives such arrays."""
    thing, found = reader.thing, jax()
    if any(isinstance(leaf, found.Array) for leaf in found.tree_util.tree_leaves(list(reader.arguments))):
        return True
    kind = type(thing).__module__.partition(".")[0]
    if kind in ("jax", "jaxlib"):
        return callable(thing)
    code = getattr(thing, "__code__", None)
    if code is None or not _names_jax(thing):
        return False
    try:
        raw = thing(*reader.arguments)
    except Exception:
        return False
    # A number with something else is a value and its gradient, most likely.
    leaves = found.tree_util.tree_leaves(raw)
    return not isinstance(raw, tuple) and bool(leaves) and all(isinstance(leaf, found.Array) for leaf in leaves)


def _names_jax(function: Any) -> bool:
    """Tell whether the code of a function names a module of JAX's."""
    names = {name for code in codes(function.__code__) for name in code.co_names}
    modules = (getattr(function.__globals__.get(name), "__name__", "") for name in names)
    return any(str(name).partition(".")[0] == "jax" for name in modules)


def _understood(cls: type[JaxSubject], reader: Reader) -> JaxSubject:
    thing, tools = reader.thing, jax().tree_util
    found, tree = tools.tree_flatten_with_path(tuple(reader.arguments))
    names = names_of(thing, len(reader.arguments))
    arrays = any(is_array(leaf) and leaf.dtype.kind in "fV" for _, leaf in found)
    leaves: list[Any] = []
    inputs: dict[str, Any] = {}
    rounded = False
    for path, leaf in found:
        name = names[path[0].idx] + tools.keystr(path[1:])
        if not is_array(leaf) and (arrays or type(leaf) is not float):  # floats are meant if nothing else can be
            leaves.append(leaf)
            continue
        inputs[name] = own_copy(leaf, name)
        rounded |= inputs[name].dtype.kind == "f" and inputs[name].dtype != np.asarray(leaf).dtype
        leaves.append(interop.Hole(name))
    subject = cls(
        thing, _name_of(thing), (), inputs, reader.wrt(inputs), function=thing, tree=tree, leaves=tuple(leaves)
    )
    subject.backward_name = "its derivative"
    if rounded:
        subject.read_as = ("JAX computes in float32 here: jax_enable_x64 is off",)
    reader.randomness.rewind()
    here = subject.outputs()
    if not here:
        raise TypeError(f"{subject.name} gives no array of floats; a gradient needs one to start from")
    reader.randomness.rewind()
    if len(here) == len(again := subject.outputs()) and all(map(same_numbers, here, again)):
        _compile(subject, here)
    if subject.movable:
        _ask_for_modes(subject, here, reader)
    return subject if not subject.single else _with_its_own_noise(subject, here)


def _ask_for_modes(subject: JaxSubject, here: Sequence[FloatArray], reader: Reader) -> None:
    """Find out in which modes there is a gradient; raise what reverse mode raises if in none."""
    ones = [np.ones_like(out) for out in here]
    error: Exception | None = None
    try:
        subject._pushed([np.ones_like(array) for array in subject._moved().values()])
    except Exception as raised:
        subject.no_forward = _first_line(raised)
    if sum(array.size for array in subject._moved().values()) > _MOST_ENTRIES:
        subject.no_forward = subject.no_forward or f"asked for each of more than {_MOST_ENTRIES} entries"
    try:
        reader.randomness.rewind()
        with subject._in_its_precision() as values:
            jax().vjp(subject.flat, *values)[1]([as_jax(one) for one in ones])
    except Exception as raised:
        error, subject.no_reverse = raised, _first_line(raised)
    if error is not None and subject.no_forward:
        raise error
    if not subject.no_forward and subject.evaluated is not None:
        subject.slopes = jax().jit(replace(subject)._by_forward_mode)
    if error is not None:
        subject.read_as = (*subject.read_as, f"forward mode only: {subject.no_reverse}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]


def _compile(subject: JaxSubject, here: Sequence[FloatArray]) -> None:
    """Let it be evaluated by compiled code, if that can be had and gives the same numbers."""
    with contextlib.suppress(Exception):  # what looks at its numbers cannot be compiled
        subject.evaluated = jax().jit(lambda values, fixed: subject.flat(*values, fixed=fixed))
        if interop.nearly(here, subject.outputs()):
            return
    subject.evaluated = None


def _with_its_own_noise(subject: JaxSubject, here: Sequence[FloatArray]) -> JaxSubject:
    """Give float32 code, or the same in float64, if that draws other numbers: then float32's cannot be compared."""
    wide = subject.widened()
    if not isinstance(wide, JaxSubject) or interop.nearly(here, wide.outputs()):
        return subject
    told = "it is checked in float64: float32 draws other noise than that"
    return replace(wide, read_as=(*subject.read_as, told))


def _name_of(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))
