"""Contracts: what holds for every right forward and backward, and needs no differences to be seen.

backward is linear in what it is given, and gives zero for zero; it writes into nothing, keeps nothing from one call to
the next, and its results are the caller's. Each contract that is broken names the mistake.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule._pieces import copied
from chainrule.checking.equality import same_bits, same_numbers
from chainrule.checking.finite_differences import largest
from chainrule.checking.randomness import Randomness
from chainrule.checking.report import Contract
from chainrule.checking.subject import Answer, Subject
from chainrule.nn.parameters.places import put, values_at

#: How far linearity may be off, relative to the largest entry, in float64 and in fewer digits: rounding, with room for
#: code that sums in another order.
_LINEAR, _LINEAR_IN_SINGLE = 1e-6, 1e-3
#: What is asked of backward of a layer.
LINEAR, ZERO = "backward is linear in dout", "backward of 0 is 0"


@dataclass
class Trial:
    """The subject at work: every call is watched, and what it wrote where it should not is put back."""

    subject: Subject
    randomness: Randomness
    #: By name; a contract that is broken stays broken.
    broken: dict[str, Contract] = field(default_factory=dict)
    tried: dict[str, None] = field(default_factory=dict)
    skipped: dict[str, Contract] = field(default_factory=dict)

    @property
    def second_differs(self) -> bool:
        """Whether a second call gave other gradients than the first."""
        return _second_of(self.subject) in self.broken

    def outputs(self) -> list[FloatArray]:
        """Give copies of the outputs of a forward pass from the same noise as every other."""
        outputs: list[FloatArray] = self._watched(self._outputs, [])
        return outputs

    def _outputs(self) -> list[FloatArray]:
        self.randomness.rewind()
        out = self.subject.outputs()
        forward = f"what {self.subject.forward_name} gives is not an argument or a parameter itself"
        self._apart(
            forward, {f"output {i}" if len(out) > 1 else "its output": a for i, a in enumerate(out)}, self._owned()
        )
        return [a.copy() for a in out]

    def gradients(self, douts: Iterable[Any], *, fresh: bool = True) -> Answer:
        """Give the subject's gradients; what was returned is not copied, the gradients are."""
        douts = [np.array(dout)[()] if np.ndim(dout) == 0 else np.array(dout, order="K") for dout in douts]
        answer: Answer = self._watched(lambda: self._gradients(douts, fresh), douts)
        return answer

    def _gradients(self, douts: list[Any], fresh: bool) -> Answer:
        if fresh or self.subject.goes_forward_itself:
            self.randomness.rewind()
        answer = self.subject.gradients(douts, fresh=fresh)
        owned = self._owned(douts)
        given = {name: np.asarray(a) for name, a in answer.returned.items() if isinstance(a, np.ndarray)}
        self._apart(f"what {self.subject.backward_name} gives is nobody else's memory", given, owned)
        answer.gradients = {name: None if a is None else np.array(a) for name, a in answer.gradients.items()}
        return answer

    def _owned(self, douts: Iterable[Any] = ()) -> dict[tuple[str, str], FloatArray]:
        """Give the arrays that are not the subject's to write into or to give away."""
        found = {("a parameter", name): a for name, a in self.subject.parameters.items()}
        found |= {("its input", n): a for n, a in self.subject.inputs.items() if isinstance(a, np.ndarray)}
        return found | {("dout", str(i)): d for i, d in enumerate(douts) if isinstance(d, np.ndarray)}

    def _watched(self, call: Callable[[], Any], douts: list[Any]) -> Any:
        """Call, then see what was written into, and put it back."""
        owned = self._owned(douts)
        before = {key: copied(a) for key, a in owned.items()}
        try:
            return call()
        finally:
            for (kind, name), array in owned.items():
                what = {"dout": "dout", "its input": "inputs", "a parameter": "parameters"}[kind]
                self.tried.setdefault(f"{what} unchanged")
                if same_bits(array, before[kind, name]):
                    continue
                if not same_numbers(array, before[kind, name]):  # -0.0 that becomes 0.0 is no other number
                    self.breaks(
                        f"{what} unchanged",
                        f"{kind} {name if kind != 'dout' else ''} is written into".replace("  ", " "),
                        f"writes into {kind}",
                    )
                np.copyto(array, before[kind, name])
            self._rebound()

    def _rebound(self) -> None:
        """Put back a parameter that the subject has replaced by another array: moving the old one shows nothing."""
        subject = self.subject
        found = [(n, place) for n, places in subject.places.items() if n not in subject.boxes for place in places]
        for (name, place), here in zip(found, list(values_at(place for _, place in found)), strict=True):
            array = subject.parameters[name]
            # A property may give a new view of the same numbers whenever it is asked.
            if here is array or not isinstance(here, np.ndarray):
                continue
            if here.__array_interface__ != array.__array_interface__:
                self.breaks("parameters unchanged", f"parameter {name} is replaced", "writes into a parameter")
                with contextlib.suppress(AttributeError):  # a property that cannot be set
                    put(place, array)

    def _apart(
        self, contract: str, results: Mapping[str, FloatArray], owned: Mapping[tuple[str, str], FloatArray]
    ) -> None:
        self.tried.setdefault(contract)
        for name, result in results.items():
            for (kind, whose), array in owned.items():
                if array.size and np.may_share_memory(result, array):
                    text = f"{name} shares memory with {kind}{'' if kind == 'dout' else ' ' + whose}; return a copy"
                    self.breaks(contract, text, f"aliases {kind}", hazard=True)

    def breaks(self, name: str, detail: str, cause: str | None, *, hazard: bool = False) -> None:
        """Note that a contract is broken; the first detail stays, but for what is worse than a hazard."""
        self.tried.setdefault(name)
        known = self.broken.get(name)
        if known is None or (known.hazard and not hazard):
            self.broken[name] = Contract(name, False, detail, cause, hazard)

    def skips(self, name: str, why: str) -> None:
        """Note that a contract could not be tried."""
        self.skipped[name] = Contract(name, None, why)

    def results(self) -> tuple[Contract, ...]:
        """Give all contracts, in the order they were first tried; those that could not be at the end."""
        tried = [self.broken.get(name, Contract(name, True)) for name in self.tried if name not in self.skipped]
        return (*tried, *self.skipped.values())


def try_contracts(
    trial: Trial, first: list[FloatArray], douts: list[Any], rng: np.random.Generator
) -> tuple[Answer, bool]:
    """Try all contracts but that of the second batch; `first` is what came out of a forward pass.

    Give the first gradients, and whether the same arrays gave the same outputs; if not, differences say nothing.
    """
    again = trial.outputs()
    trial.randomness.notice()
    repeatable = len(first) == len(again) and all(map(same_numbers, first, again))
    trial.tried.setdefault("the same again from the same arrays")
    if not repeatable:
        trial.breaks(
            "the same again from the same arrays",
            f"{trial.subject.forward_name} gives another result for the same arrays, all generators found set back: "
            + ", ".join(trial.randomness.names),
            "not deterministic",
        )
    if trial.subject.by_its_rate:
        trial.breaks(
            "parameters unchanged",
            f"{trial.subject.backward_name} takes a step of training, by the learning rate it holds",
            "writes into a parameter",
        )
    if trial.subject.resets is not None:
        trial.breaks(
            "the same again from the same arrays",
            f"{trial.subject.forward_name} goes on from where the last call has ended; it was set back before each",
            "not deterministic",
            hazard=True,
        )
    answer = trial.gradients(douts)
    trial.randomness.notice()
    trial.randomness.forget_unused()
    linear = trial.subject.takes_dout and not trial.subject.goes_forward_itself
    if repeatable:
        _second(trial, answer, douts)
        if linear:
            _linear(trial, answer, douts, first, rng)
    else:  # two calls give other numbers anyway
        for name in (_second_of(trial.subject), *((LINEAR, ZERO) if linear else ())):
            trial.skips(name, "the outputs change by themselves")
    if not trial.subject.goes_forward_itself:
        results_stay(trial, answer)
    if repeatable:
        trial.subject.try_own_contracts(trial, answer, douts)
    return answer, repeatable


def _second_of(subject: Subject) -> str:
    return f"a second {subject.backward_name} gives the same"


def results_stay(trial: Trial, answer: Answer) -> None:
    """Hold what an earlier call gave against what it was then: it is the caller's, and has not changed since.

    A layer's ``dW`` is the layer's own, which it may fill anew.
    """
    name = "results are the caller's to keep"
    if "dout unchanged" in trial.broken:
        return  # what was written into is what was given
    trial.tried.setdefault(name)
    for what, given in answer.returned.items():
        before = answer.gradients.get(what)
        own = what in trial.subject.parameters and what in trial.subject.places
        if not own and isinstance(given, np.ndarray) and before is not None and not same_numbers(before, given):
            text = (
                f"{trial.subject.called(what)} changes with the next call: keep a copy, or give a new array each time"
            )
            trial.breaks(name, text, "overwrites its last result", hazard=True)


def _second(trial: Trial, first: Answer, douts: list[Any]) -> None:
    """Call backward once more: it gives the same."""
    name = _second_of(trial.subject)
    trial.tried.setdefault(name)
    try:
        second = trial.gradients(douts, fresh=False).gradients
    except (Exception, SystemExit) as error:  # it has let go of what it remembered: it says so, and gives no numbers
        trial.skips(name, f"a second call raises {type(error).__name__}: {error}")
        return
    changed = [n for n, a in first.gradients.items() if a is not None and not same_numbers(a, second.get(n))]
    if not changed:
        return
    cause = "second backward differs"
    with contextlib.suppress(Exception, SystemExit):  # no third call, no closer word for what the second has shown
        third = trial.gradients(douts, fresh=False).gradients
        of_inputs = not trial.subject.goes_forward_itself and any(n not in trial.subject.parameters for n in changed)
        if not of_inputs and all(_grows(first.gradients[n], second.get(n), third.get(n)) for n in changed):
            cause = "accumulates"
        if trial.subject.goes_forward_itself and all(same_numbers(third[n], second.get(n)) for n in changed):
            cause = "stale batch"  # the first call gave what was left of an earlier one
    again = not trial.subject.goes_forward_itself and cause == "second backward differs"
    text = f"that of {', '.join(changed)} is another"
    if again:
        text += ": backward overwrites what forward kept, so call forward before each"
    trial.breaks(name, text, cause, hazard=again)


def _grows(first: FloatArray, second: Any, third: Any) -> bool:
    """Tell whether each call adds the same again, or a share of it: something of the earlier call was kept."""
    if any(a is None or np.shape(a) != first.shape or not np.isfinite(a).all() for a in (first, second, third)):
        return False
    first, second, third = (np.asarray(a, np.float64) for a in (first, second, third))
    size = float(np.abs(second - first).max())
    once, again = (second - first) / size, (third - second) / size  # of about 1, so that no square is lost
    share = float(np.sum(once * again)) / float(np.sum(once * once))
    if float(np.sum(once * first)) < 0:
        return False  # what shrinks from call to call is no sum
    return 0 < share <= 1 + 1e-6 and bool(np.allclose(again, share * once, rtol=1e-4, atol=1e-6))


def _linear(trial: Trial, first: Answer, douts: list[Any], outputs: list[FloatArray], rng: np.random.Generator) -> None:
    """Hold backward of 2 d - 3 e against twice that of d less three times that of e, and that of 0 against 0."""
    through = sum(float(np.abs(d * out).sum()) for d, out in zip(douts, outputs, strict=True))
    others = trial.subject.cotangents(outputs, rng)
    sent = [others, [_typed(2 * d - 3 * e, d) for d, e in zip(douts, others, strict=True)]]
    second, mixed = (_answer(trial, LINEAR, these) for these in sent)
    nothing = _answer(trial, ZERO, [_typed(0 * np.asarray(d), d) for d in douts])
    if second is None or mixed is None:
        second = mixed = None
    trial.tried.setdefault(LINEAR)
    trial.tried.setdefault(ZERO)
    for name, given in first.gradients.items():
        if (
            name in trial.subject.doubtful or given is None or not given.size or not np.isfinite(given).all()
        ):  # nan is wrong already, and not linear
            continue
        answers = [None if a is None else a.gradients.get(name) for a in (first, second, mixed, nothing)]
        if nothing is not None and answers[3] is None:
            trial.skips(ZERO, "nothing is given for it")
        if any(a is not None and a.shape != given.shape for a in answers):
            continue
        d, e, f, z = (np.zeros(given.shape) if a is None else a.astype(np.float64) for a in answers)
        if answers[1] is None or answers[2] is None:
            e, f = d, -d
        with np.errstate(invalid="ignore"):
            size = float(np.abs(d).max() + np.abs(e).max() + np.abs(f).max())
            off = float(np.abs(2 * d - 3 * e - f).max())
        digits = np.finfo(given.dtype if given.dtype.kind == "f" else np.float64)
        # What cancels on the way back, as in a softmax that is certain, leaves rounding of what went in.
        cancelled = 64 * float(digits.eps) * through / max(largest(trial.subject.arrays[name]), 1e-300)
        ignored = e is not d and same_numbers(d, e) and d.any()
        # Rounding to fewer digits is not linear either, but no mistake in the formula: no cause for that.
        cause = "dout ignored" if ignored else "not linear in dout" if not off <= size / 100 else None
        if not off <= (_LINEAR if digits.bits == 64 else _LINEAR_IN_SINGLE) * size + cancelled:
            what = "does not depend on dout" if ignored else f"is off by {off / size:.1e} of the largest"
            trial.breaks(LINEAR, f"that of {name} {what}", cause)
        if not float(np.abs(z).max()) <= 64 * float(digits.eps) * size + cancelled:  # a sum that is 0 leaves rounding
            trial.breaks(ZERO, f"that of {name} is not", cause or "not linear in dout")


def _answer(trial: Trial, contract: str, douts: list[Any]) -> Answer | None:
    """Give what comes back for gradients that only a contract asks for; None if it is not taken: it is not tried."""
    try:
        return trial.gradients(douts)
    except (Exception, SystemExit) as error:
        trial.skips(contract, f"{trial.subject.backward_name} raises {type(error).__name__}: {error}")
        return None


def _typed(values: Any, like: Any) -> Any:
    """Give `values` in the dtype of `like`; a number stays a number."""
    return np.asarray(like).dtype.type(values) if np.ndim(values) == 0 else np.asarray(values, np.asarray(like).dtype)
