"""PyTorch: a module, ``MyFunction.apply`` or any differentiable function of tensors.

The cotangent is ours, sent back through ``torch.autograd.grad``; the differences are ours too, in float64: float32 code
is copied, and the copy made double. Parameters are moved where they lie, in the memory that NumPy and PyTorch share.
What is handed over are clones, so that a function may write into them as PyTorch allows, and no tensor of the caller's
is written. Buffers start each forward pass as they were, and generators are set back by `randomness`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import names_of
from chainrule.checking.equality import same_numbers
from chainrule.checking.frameworks import interop, torch_contracts
from chainrule.checking.frameworks.interop import filled, flat, opened, torch
from chainrule.checking.frameworks.torch_copies import double_copy
from chainrule.checking.pair import PairSubject
from chainrule.checking.reach import reach
from chainrule.checking.reader import Reader
from chainrule.checking.results import is_float
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject

if TYPE_CHECKING:
    from chainrule.checking.contracts import Trial
    from chainrule.checking.layer_search import Alone, Verdict
    from chainrule.checking.randomness import Randomness

#: ``net._modules['a']._parameters['w']`` is told as ``net.a.w``.
_INSIDE = re.compile(r"\._(?:modules|parameters|buffers)\['([^']*)'\]")


@dataclass
class TorchSubject(Subject):
    """A module or a function of tensors."""

    #: What is called, and the arguments with holes where arrays are.
    function: Callable[..., Any] = field(default=lambda x: x)
    nests: tuple[Any, ...] = ()
    #: The parameters as tensors.
    tensors: dict[str, Any] = field(default_factory=dict)
    #: Inputs that the caller asks a gradient of: None given for one means 0.
    wanted: frozenset[str] = frozenset()
    #: Which of what comes out, one after the other, has a gradient.
    chosen: tuple[int, ...] = ()
    #: Whether it may be evaluated without a graph, and whether in float64 whatever it was made for.
    quiet: bool = False
    wide: bool = False
    #: What every forward pass starts from: buffers.
    buffers: State | None = None
    #: Outputs and leaves of the last pass with a graph.
    graph: tuple[list[Any], dict[str, Any]] | None = None
    #: What the last pass with a graph was called with, and the nodes these came from.
    lent: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    kind = "torch"
    gradients_optional = False

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give a module, a function of tensors, or a pair of them."""
        if torch() is None or not _is_of_torch(reader):
            return ()
        if interop.is_pair(reader.thing):
            functions = tuple(interop.over_arrays(f, _taken, _given) for f in reader.thing)
            arguments = [_opened(a, f"argument {i}")[0] for i, a in enumerate(reader.arguments)]
            return PairSubject.read(replace(reader, thing=functions, arguments=arguments))
        if not callable(reader.thing):
            name = type(reader.thing).__name__
            raise TypeError(
                f"{name} is no module and no function, and is given tensors; hand over a pair of functions, such as"
                f" ({name.lower()}.forward, {name.lower()}.backward)"
            )
        subject = _understood(cls, reader)
        return [subject if not subject.single else _with_its_own_noise(subject, reader)]

    # --- one pass ---

    def outputs(self) -> list[FloatArray]:
        """Give what comes out, without a graph if it is the same without."""
        if self.quiet:
            with torch().no_grad(), self._as_it_was():
                found = self._called({})
        else:
            found, _ = self.pass_with_graph()
        return [out.detach().numpy().copy() for out in found]

    def pass_with_graph(self, asking: Sequence[str] | None = None) -> tuple[list[Any], dict[str, Any]]:
        """Give the outputs and the leaves they come from; `asking`: inputs that ask for a gradient, if not all do."""
        leaves = {n: _tensor(self.inputs[n]).requires_grad_() for n in (self.movable if asking is None else asking)}
        with torch().enable_grad(), self._as_it_was():
            found = self._called(leaves)
        self.graph = found, {**self.tensors, **leaves}
        return self.graph

    def _called(self, leaves: Mapping[str, Any]) -> list[Any]:
        """Call it with clones, and give the outputs that count."""
        arrays = {n: a for n, a in self.inputs.items() if isinstance(a, np.ndarray)}
        clones = {n: leaves[n].clone() if n in leaves else _tensor(a).clone() for n, a in arrays.items()}
        self.lent = {name: (clone, clone.grad_fn) for name, clone in clones.items()}
        raw = self.function(*(filled(nest, {**self.inputs, **clones}) for nest in self.nests))
        found = [out for out in flat(_plain(raw)) if interop.is_tensor(out)]
        for out in found:
            _expect_usable(out, f"what {self.forward_name} gives")
        return [found[i] for i in self.chosen] if self.chosen else found

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Start from what every pass starts from, and leave it."""
        states = [state for state in (self.resets, self.buffers) if state is not None]
        usual = torch().get_default_dtype()
        for state in states:
            state.restore()
        if self.wide:
            torch().set_default_dtype(torch().float64)
        try:
            yield
        finally:
            torch().set_default_dtype(usual)
            for state in states:
                state.restore()

    # --- gradients ---

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what autograd gives."""
        if fresh or self.graph is None:
            self.pass_with_graph()
        return self.answered(self.sent_back([_tensor(np.asarray(dout)) for dout in douts]))

    def sent_back(self, douts: Sequence[Any], *, which: Sequence[int] | None = None) -> dict[str, Any]:
        """Send tensors back through the graph of the last pass; `which`: from those outputs only. None stays None."""
        assert self.graph is not None
        outputs, leaves = self.graph
        pairs = [(outputs[i], douts[i]) for i in (range(len(outputs)) if which is None else which)]
        pairs = [(out, dout) for out, dout in pairs if out.requires_grad]
        if not pairs or not leaves:
            return dict.fromkeys(leaves)
        grads = torch().autograd.grad(
            [out for out, _ in pairs], list(leaves.values()), [dout for _, dout in pairs],
            retain_graph=True, allow_unused=True,
        )  # fmt: skip
        return dict(zip(leaves, grads, strict=True))

    def answered(self, grads: Mapping[str, Any]) -> Answer:
        """Give gradients as arrays; what got none is 0 to PyTorch, if a gradient was asked of it."""
        found = {n: None if g is None else g.detach().to_dense().numpy().copy() for n, g in grads.items()}
        unasked = tuple(n for n, g in found.items() if g is None and n in self.inputs and n not in self.wanted)
        given = {n: np.zeros_like(self.arrays[n]) if g is None and n not in unasked else g for n, g in found.items()}
        of_inputs = any(given[n] is not None for n in self.inputs if n in given)
        return Answer(given, {n: g for n, g in found.items() if g is not None}, unasked, of_inputs)

    def try_own_contracts(self, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
        """Try what right code for PyTorch keeps."""
        torch_contracts.try_all(self, trial, answer, douts)

    # --- copies and parts ---

    def widened(self) -> Subject | None:
        """Give a double copy; None if it cannot be copied, insists on float32, or goes on from call to call."""
        if self.resets is not None:
            return None
        try:
            function, thing, copies = double_copy(self.function, self.thing)
            tensors = {name: copies[id(tensor)] for name, tensor in self.tensors.items()}
            inputs = {n: a.astype(np.float64) if is_float(a) else a for n, a in self.inputs.items()}
            parameters = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
            other = replace(
                self, thing=thing, function=function, tensors=tensors, inputs=inputs, parameters=parameters,
                wide=True, graph=None, lent={}, resets=None, buffers=_buffers_of(thing),
            )  # fmt: skip
            outputs = other.outputs()
        except Exception:
            return None
        return other if all(out.dtype == np.float64 for out in outputs) else None

    def with_inputs(self, inputs: Mapping[str, Any]) -> Subject:
        """Give the same with other arguments."""
        other = super().with_inputs(inputs)
        assert isinstance(other, TorchSubject)
        other.graph = None
        return other

    def faulty_layer(self, alone: Alone, randomness: Randomness, first: State) -> Verdict | None:
        """Look among the modules within it, but for PyTorch's own."""
        if not isinstance(self.thing, torch().nn.Module):
            return None
        return torch_contracts.faulty_module(self, alone, randomness)


# --- understanding one ---


def _is_of_torch(reader: Reader) -> bool:
    """Tell whether a module, a function of autograd's, or anything with tensors for arguments was handed over."""
    thing = reader.thing
    owner = getattr(thing, "__self__", None)
    applied = isinstance(owner, type) and issubclass(owner, torch().autograd.Function)
    return isinstance(thing, torch().nn.Module) or applied or any(map(interop.is_tensor, flat(reader.arguments)))


def _understood(cls: type[TorchSubject], reader: Reader) -> TorchSubject:
    thing = reader.thing
    nests, inputs, wanted = _arguments(reader)
    subject = cls(thing, _name_of(thing), (), inputs, function=thing, nests=nests)
    subject.backward_name = "backward"
    subject.wrt = reader.wrt(inputs) or (wanted or None)
    subject.wanted = frozenset(subject.wrt or ())
    _take_parameters(subject, reader)
    subject.buffers = _buffers_of(thing)
    own = getattr(type(thing), "backward", None)
    if own is not None and isinstance(thing, torch().nn.Module):
        subject.read_as = (f"{subject.name} has a method backward, which PyTorch never calls: it derives forward",)

    def ahead(graph: bool) -> list[FloatArray]:
        reader.randomness.rewind()
        subject.quiet = not graph
        return subject.outputs()

    state = State(reach(subject=thing))
    ahead(True)
    outputs = subject.graph[0] if subject.graph is not None else []
    floats = [i for i, out in enumerate(outputs) if out.is_floating_point()]
    if not floats:
        raise TypeError(f"{subject.name} gives no tensor of floats; a gradient needs one to start from")
    tracked = [i for i in floats if outputs[i].requires_grad]
    subject.chosen = tuple(tracked or floats)
    if tracked and len(tracked) < len(floats):
        left = ", ".join(str(i) for i in floats if i not in tracked)
        subject.read_as = (*subject.read_as, f"output {left} is detached, and left out")
    here = ahead(True)
    again = ahead(True)
    if not _same(here, again):  # it goes on from where the last call has ended, or changes by itself
        changed = state.of_what_changed()
        changed.restore()
        subject.resets = changed
        if not _same(ahead(True), ahead(True)):
            subject.resets = None
    try:
        subject.quiet = _same(ahead(True), ahead(False))
    except Exception:  # it asks for a graph inside
        subject.quiet = False
    return subject


def _same(some: Sequence[FloatArray], others: Sequence[FloatArray]) -> bool:
    return len(some) == len(others) and all(map(same_numbers, some, others))


def _arguments(reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any], tuple[str, ...]]:
    """Give the arguments with holes, the arrays for them, and the names of those that ask for a gradient."""
    thing, found = reader.thing, torch()
    owner = getattr(thing, "__self__", None)
    called = getattr(thing, "forward", thing)
    skipped = 0
    if isinstance(owner, type) and issubclass(owner, found.autograd.Function):
        applied: Any = owner
        called = applied.forward
        skipped = 0 if applied.setup_context is not found.autograd.Function.setup_context else 1
    nests: list[Any] = []
    inputs: dict[str, Any] = {}
    wanted: list[str] = []
    none = not any(map(interop.is_tensor, flat(reader.arguments)))
    for name, argument in zip(names_of(called, len(reader.arguments), skipped), reader.arguments, strict=True):
        nest, leaves = _opened(argument, name, arrays=none)
        nests.append(nest)
        inputs |= leaves
        asks = (n for n, a in opened(argument, name, interop.is_tensor)[1].items() if a.requires_grad)
        wanted += [n for n in asks if is_float(leaves.get(n))]
    return tuple(nests), inputs, tuple(wanted)


def _opened(argument: Any, name: str, arrays: bool = False) -> tuple[Any, dict[str, Any]]:
    """Give an argument with holes, and copies of its tensors; that of a pair with copies in their places."""
    nest, leaves = opened(argument, name, lambda a: interop.is_tensor(a) or (arrays and isinstance(a, np.ndarray)))
    copies = {n: _copy(leaf, n) for n, leaf in leaves.items()}
    if name.startswith("argument "):
        return filled(nest, copies), {}
    return nest, copies


def _copy(value: Any, name: str) -> Any:
    if isinstance(value, np.ndarray):
        return np.array(value, order="K")
    _expect_usable(value, name)
    return np.array(value.detach().numpy(), order="K")


def _expect_usable(tensor: Any, name: str) -> None:
    """Raise TypeError for a tensor that no difference can be taken of, or that is not here."""
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is on {tensor.device}; a check runs on the CPU: hand over .cpu() of it")
    if tensor.is_complex():
        raise TypeError(f"{name} is {tensor.dtype}: complex tensors are not checked; use torch.view_as_real")
    if tensor.layout != torch().strided or tensor.is_quantized:
        raise TypeError(f"{name} is {tensor.layout} or quantized; a check needs a dense tensor")
    if tensor.is_floating_point() and tensor.dtype not in (torch().float32, torch().float64):
        raise TypeError(
            f"{name} is {tensor.dtype}, whose digits leave nothing of a difference; check the same code in float64"
            " or float32"
        )


def _take_parameters(subject: TorchSubject, reader: Reader) -> None:
    """Find what it can be differentiated by beside its inputs, and say what is held fixed."""
    thing, ignored = reader.thing, set(reader.asked.ignore)
    if isinstance(thing, torch().nn.Module):
        found = dict(thing.named_parameters())
        fixed = [n for n, b in thing.named_buffers() if b.is_floating_point()]
    else:
        things = ((_INSIDE.sub(r".\1", name), t) for name, t in torch_contracts.tensors_in(thing))
        tensors = {name.removeprefix("subject."): t for name, t in things if t.is_floating_point()}
        found = {n: t for n, t in tensors.items() if t.requires_grad and t.is_leaf}
        fixed = [n for n in tensors if n not in found]
    for name, tensor in found.items():
        if isinstance(tensor, torch().nn.parameter.UninitializedTensorMixin):
            raise ValueError(f"{name} is made by the first forward pass: call {subject.name} once before the check")
        if not tensor.requires_grad or name in ignored:
            fixed.append(name)
            continue
        _expect_usable(tensor, name)
        subject.tensors[name] = tensor
        subject.parameters[name] = tensor.detach().numpy()
    subject.held_fixed = tuple(fixed)
    for name in [n for n in subject.inputs if n in subject.parameters]:
        raise ValueError(f"{name} is an argument and a parameter of {subject.name}: call one of them otherwise")


def _buffers_of(thing: Any) -> State:
    """Give the buffers of all modules that can be reached, for each forward pass to start from."""
    return State({key: found for key, found in reach(subject=thing).items() if "._buffers" in found[0]})


def _with_its_own_noise(subject: TorchSubject, reader: Reader) -> TorchSubject:
    """Give float32 code, or its double copy, if that draws other noise: then float32's numbers cannot be compared."""
    wide = subject.widened()
    if not isinstance(wide, TorchSubject):
        return subject
    reader.randomness.rewind()
    here = subject.outputs()
    reader.randomness.rewind()
    if interop.nearly(here, wide.outputs()):
        return subject
    wide.read_as = (*subject.read_as, "its double copy is checked: float32 draws other noise than float64")
    return wide


def _name_of(thing: Any) -> str:
    owner = getattr(thing, "__self__", None)
    if isinstance(owner, type):
        return owner.__name__
    return str(getattr(thing, "__name__", type(thing).__name__))


def _plain(raw: Any) -> Any:
    """Give what came out, of a data class its fields."""
    fields = getattr(raw, "__dataclass_fields__", None)
    return raw if fields is None or isinstance(raw, Mapping) else [getattr(raw, name) for name in fields]


def _tensor(array: FloatArray) -> Any:
    """Give the tensor that shares an array's memory."""
    return torch().from_numpy(array) if array.flags.writeable else torch().from_numpy(array.copy())


def _taken(value: Any) -> Any:
    return _tensor(value) if isinstance(value, np.ndarray) else value


def _given(value: Any) -> Any:
    return value.detach().numpy() if interop.is_tensor(value) else value
