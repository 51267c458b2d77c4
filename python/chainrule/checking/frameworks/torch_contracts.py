"""What right code for PyTorch keeps beside what all code does.

A gradient that is sent back may have any layout in memory, as that of a sum has, which is one number said to be many;
so may an input. Between a forward pass and its backward others may come. What one input gets does not depend on which
others ask, nor what one output sends on the others. What flows back belongs to whoever sent it: several may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.equality import close, same_bits
from chainrule.checking.frameworks.interop import is_tensor, torch
from chainrule.checking.holdings import moves
from chainrule.checking.reach import reach

if TYPE_CHECKING:
    from chainrule.checking.contracts import Trial
    from chainrule.checking.frameworks.torch_subject import TorchSubject
    from chainrule.checking.layer_search import Alone, Verdict
    from chainrule.checking.randomness import Randomness
    from chainrule.checking.report import GradientReport
    from chainrule.checking.subject import Answer

#: So many inputs are asked by themselves, and so many modules.
_MOST_ALONE, _MOST_MODULES = 8, 40


def try_all(subject: TorchSubject, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
    """Try them all; `answer`: the first gradients, for these gradients of the outputs."""
    sent = [torch().from_numpy(np.array(dout, order="K")) for dout in douts]
    first = {name: gradient for name, gradient in answer.gradients.items() if gradient is not None}
    _Tries(subject, trial, first, sent).all()


class _Tries:
    """The contracts of one subject."""

    def __init__(
        self, subject: TorchSubject, trial: Trial, first: Mapping[str, FloatArray], douts: Sequence[Any]
    ) -> None:
        self.subject, self.trial, self.first, self.douts = subject, trial, first, list(douts)

    def all(self) -> None:
        """Try one after the other."""
        self._nothing_is_written()
        self._something_comes_back()
        if self.trial.second_differs:
            return  # that is what all others would see
        self._outputs_follow()
        self._layouts_of_douts()
        self._layouts_of_inputs()
        self._another_pass_between()
        self._each_input_alone()
        self._each_output_alone()

    def _forward(self, asking: Sequence[str] | None = None) -> None:
        self.trial.randomness.rewind()
        self.subject.pass_with_graph(asking)

    def _back(self, douts: Sequence[Any] | None = None, which: Sequence[int] | None = None) -> dict[str, FloatArray]:
        """Send gradients back, through a graph of its own: what writes into it does so once."""
        self._forward()
        return self._back_through_it(douts, which)

    def _back_through_it(
        self, douts: Sequence[Any] | None = None, which: Sequence[int] | None = None
    ) -> dict[str, FloatArray]:
        sent = self.douts if douts is None else douts
        grads = self.subject.sent_back([_same_layout(dout) for dout in sent], which=which)
        return {n: g for n, g in self.subject.answered(grads).gradients.items() if g is not None}

    def _holds(self, contract: str, cause: str, call: Callable[[], Mapping[str, FloatArray]], like: Any = None) -> None:
        """Try a contract: the gradients are those of the first call, or of `like`; an exception is a hazard."""
        expected = self.first if like is None else like
        self.trial.tried.setdefault(contract)
        try:
            found = call()
        except Exception as error:
            told = f"raises {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            self.trial.breaks(contract, told, cause, hazard=True)
            return
        names = [n for n in found if n in expected and not self._near(n, expected[n], found[n])]
        if names:
            self.trial.breaks(contract, f"that of {', '.join(names)} is another", cause)

    def _near(self, name: str, expected: FloatArray, found: FloatArray) -> bool:
        """Tell whether gradients are the same but for rounding; of what cancels, that of the first call counts."""
        if close(expected, found):
            return True
        size = float(np.abs(self.first.get(name, expected)).max(initial=0))
        rounding = (1e-4 if expected.dtype.itemsize < 8 else 1e-9) * size
        return expected.shape == found.shape and bool((np.abs(expected - found) <= rounding).all())

    # --- what is written into ---

    def _nothing_is_written(self) -> None:
        """See whether an input, or what flows back inside, is written into."""
        subject, trial = self.subject, self.trial
        self._forward()
        changed = [n for n, (clone, node) in subject.lent.items() if not _equal(clone, subject.inputs[n])]
        for name in changed:
            clone, node = subject.lent[name]
            tracked = node is not None and clone.grad_fn is not node
            text = f"its input {name} is written into"
            text += ", as an operation in place does" if tracked else ", and autograd does not know"
            trial.breaks("inputs unchanged", text, "writes into its input", hazard=tracked)
        with _Watch(subject.graph[0] if subject.graph is not None else []) as written:
            self._back_through_it()
        for name, (clone, _) in subject.lent.items():
            if name not in changed and not _equal(clone, subject.inputs[name]):
                text = f"its input {name} is written into by backward"
                trial.breaks("inputs unchanged", text, "writes into its input")
        for node in dict.fromkeys(written):
            text = f"{node}, within it, writes into the gradient that it is given; others may read that"
            trial.breaks("dout unchanged", text, "writes into dout", hazard=True)

    def _something_comes_back(self) -> None:
        """See whether what got no gradient moves the outputs all the same."""
        subject = self.subject
        contract = "a gradient comes back to what the outputs depend on"
        self.trial.tried.setdefault(contract)
        self._forward()
        grads = subject.sent_back([dout.clone() for dout in self.douts])

        def ahead() -> list[FloatArray]:
            self.trial.randomness.rewind()
            return subject.outputs()

        for name, gradient in grads.items():
            if gradient is not None or (name in subject.inputs and name not in subject.wanted):
                continue
            if moves(ahead, subject.arrays[name]):
                self.trial.breaks(contract, f"none comes back to {name}, which is 0 to PyTorch", "no gradient")

    def _outputs_follow(self) -> None:
        """See whether what has a gradient moves the outputs over a short step: rounding and signs do not."""
        names = [n for n in self.subject.movable if n in self.first and self.first[n].any()]
        for name in names:
            if not self._stays(self.subject, name):
                continue
            wide = self.subject.widened() if self.subject.single else self.subject  # not the last digit of float32
            if wide is not None and self._stays(wide, name):
                text = f"what comes out stays as {name} moves by a little, and its gradient is not 0"
                self.trial.breaks("outputs follow what has a gradient", text, "straight through a step")
                return
        if names:
            self.trial.tried.setdefault("outputs follow what has a gradient")

    def _stays(self, subject: Any, name: str) -> bool:
        """Tell whether not a bit changes as an input moves by a ten-thousandth."""
        array = subject.inputs[name]
        moved = np.asarray(array + 1e-4 * np.maximum(np.abs(array), 1e-2), array.dtype)
        try:
            pairs = zip(
                self._outputs_of(subject), self._outputs_of(subject.with_inputs({**subject.inputs, name: moved})),
                strict=True,
            )  # fmt: skip
            return all(same_bits(a, b) for a, b in pairs)
        except Exception:  # a number of our making, which it need not take
            return False

    # --- layouts ---

    def _layouts_of_douts(self) -> None:
        contract, cause = "dout may have any layout", "takes dout for contiguous"
        if all(dout.ndim == 0 or dout.numel() < 2 for dout in self.douts):
            return
        for change in (_spaced, _turned):
            self._holds(contract, cause, partial(self._back, [change(d) for d in self.douts]))
        ones = [torch().ones_like(d, memory_format=torch().contiguous_format) for d in self.douts]
        like = self._back(ones)
        expanded = [torch().ones((), dtype=d.dtype).expand(d.shape) for d in self.douts]  # what a sum sends back
        self._holds(contract, cause, lambda: self._back(expanded), like)

    def _layouts_of_inputs(self) -> None:
        """Hand over the same numbers in another layout; whoever refuses that says so, and gives no numbers."""
        subject = self.subject
        arrays = {n: a for n, a in subject.inputs.items() if isinstance(a, np.ndarray) and a.ndim > 1 and a.size > 1}
        if not arrays or self.trial.randomness.drawn_from:  # masks are drawn in the order of memory
            return
        contract, cause = "inputs may have any layout", "takes its input for contiguous"
        here = self._outputs_of(subject)
        for change in (_spaced, _turned):
            turned = {n: change(torch().from_numpy(a)).numpy() for n, a in arrays.items()}
            other = subject.with_inputs({**subject.inputs, **turned})
            try:
                there = self._outputs_of(other)
                self.trial.randomness.rewind()
                other.pass_with_graph()  # type: ignore[attr-defined]
            except Exception:
                return
            self.trial.tried.setdefault(contract)
            if not all(map(close, here, there)):
                self.trial.breaks(contract, f"{subject.forward_name} gives other numbers", cause)
                continue
            graph, subject.graph = subject.graph, other.graph  # type: ignore[attr-defined]
            self._holds(contract, cause, self._back_through_it)
            subject.graph = graph

    def _outputs_of(self, subject: Any) -> list[FloatArray]:
        self.trial.randomness.rewind()
        found: list[FloatArray] = subject.outputs()
        return found

    # --- who asks, and when ---

    def _another_pass_between(self) -> None:
        """Go forwards with other numbers, and then send back through the first graph."""
        subject = self.subject
        rng = np.random.default_rng(17)
        arrays = subject.movable
        if not arrays:
            return
        others = {n: np.asarray(a * rng.uniform(0.9, 1.1, a.shape), a.dtype) for n, a in arrays.items()}
        self._forward()
        graph = subject.graph
        try:
            other = subject.with_inputs({**subject.inputs, **others})
            other.pass_with_graph()  # type: ignore[attr-defined]
        except Exception:
            return  # numbers of our making, which it need not take
        subject.graph = graph
        contract = "another forward pass in between changes nothing"
        self._holds(contract, "stale batch: kept outside ctx", self._back_through_it)

    def _each_input_alone(self) -> None:
        """Ask a gradient of one input only, and of parameters only."""
        subject = self.subject
        names = [name for name in subject.movable if name in self.first][:_MOST_ALONE]
        some = [[name] for name in names if len(names) > 1] + [[] for _ in [1] if names and subject.parameters]

        def asked(asking: Sequence[str]) -> Mapping[str, FloatArray]:
            self._forward(asking)
            found = self._back_through_it()
            return {**{name: np.zeros_like(self.first[name]) for name in asking}, **found}

        for asking in some:
            contract = "a gradient is the same whoever else asks for one"
            self._holds(contract, "depends on who else asks", partial(asked, asking))

    def _each_output_alone(self) -> None:
        """Send back from one output only: the others get None, or zeros."""
        if len(self.douts) < 2:
            return
        for i in range(len(self.douts)):
            zeros = [dout if k == i else torch().zeros_like(dout) for k, dout in enumerate(self.douts)]
            self._holds(
                "each output's gradient is sent back without the others", "needs all outputs to be used",
                partial(self._back, which=[i]), self._back(zeros),
            )  # fmt: skip


class _Watch:
    """Watch the custom functions of a graph, and note those that write into the gradients they are given."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        self._outputs, self._handles = outputs, list[Any]()
        self._before: dict[Any, list[Any]] = {}
        self.written: list[str] = []

    def __enter__(self) -> list[str]:
        for node in _custom_nodes(self._outputs):
            self._handles += [
                node.register_prehook(partial(self._note, node)),
                node.register_hook(partial(self._look, node)),
            ]
        return self.written

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _note(self, node: Any, given: Sequence[Any]) -> None:
        self._before[node] = [g if g is None else (g, g.clone()) for g in given]

    def _look(self, node: Any, *_: Sequence[Any]) -> None:
        pairs = [pair for pair in self._before.pop(node, []) if pair is not None]
        if any(not torch().equal(torch().nan_to_num(g), torch().nan_to_num(before)) for g, before in pairs):
            self.written.append(node.name().removesuffix("Backward"))


def _custom_nodes(outputs: Sequence[Any]) -> Iterator[Any]:
    """Give the nodes of a graph that belong to somebody's own functions."""
    todo = [out.grad_fn for out in outputs if out.grad_fn is not None]
    seen: set[Any] = set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch().autograd.function.BackwardCFunction):
            yield node
        todo.extend(inner for inner, _ in node.next_functions)


def tensors_in(thing: Any) -> Iterator[tuple[str, Any]]:
    """Give the tensors that can be reached from something, each once, with what it is called."""
    yield from ((name, found) for name, found in reach(subject=thing).values() if is_tensor(found))


def faulty_module(subject: TorchSubject, alone: Alone, randomness: Randomness) -> Verdict | None:
    """Check each module within by itself, with what really flows into it, and name the last that is wrong."""
    seen: dict[str, tuple[Any, tuple[Any, ...]]] = {}
    handles = [
        module.register_forward_hook(lambda module, given, _, name=name: seen.update({name: (module, _kept(given))}))
        for name, module in subject.thing.named_modules()
        if name and not type(module).__module__.startswith("torch.")
    ]
    try:
        randomness.rewind()
        subject.pass_with_graph()
    finally:
        for handle in handles:
            handle.remove()
    wrong: dict[str, GradientReport] = {}
    for name, (module, given) in list(seen.items())[::-1][:_MOST_MODULES]:
        try:
            report = alone(name, module, given, None)
        except Exception:  # called by us as nobody may have called it before
            continue
        if report is not None and any(array.verdict == "wrong" for array in report.arrays):
            wrong[name] = report
    if not seen:
        return None
    inmost = [name for name in wrong if not any(other.startswith(f"{name}.") for other in wrong)]
    if not inmost:
        return None, None, "each module of its own by itself is right, with what flows into it"
    return inmost[0], wrong[inmost[0]], ""


def _kept(given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(g.detach().clone() if is_tensor(g) else g for g in given)


def _equal(tensor: Any, array: FloatArray) -> bool:
    return bool(np.array_equal(tensor.detach().numpy(), array, equal_nan=array.dtype.kind == "f"))


def _same_layout(tensor: Any) -> Any:
    """Give a copy, in the layout it has: who is given it may write into it."""
    if 0 in tensor.stride():
        return tensor
    copied = torch().empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    return copied.copy_(tensor)


def _spaced(tensor: Any) -> Any:
    """Give the same numbers with room between them."""
    wide = torch().full((*tensor.shape, 2), 7, dtype=tensor.dtype)
    wide[..., 0] = tensor
    return wide[..., 0]


def _turned(tensor: Any) -> Any:
    """Give the same numbers in memory as if transposed."""
    axes = tuple(range(tensor.ndim))[::-1]
    return tensor.permute(axes).contiguous().permute(axes)
