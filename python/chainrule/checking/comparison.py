"""The two sides held against each other: a subject's own gradients, and the numeric ones, array by array."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations
from typing import Any, Literal

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.conventions import is_target
from chainrule.checking.diagnosis import examples, located, misshapen, why
from chainrule.checking.effect import by_effect, effect_of
from chainrule.checking.evaluation import Directions, NumericEvaluation, Probes
from chainrule.checking.finite_differences import Found, largest
from chainrule.checking.holdings import moves
from chainrule.checking.judging import Tolerance, compare, excess, left_by_an_eps, rule_for, summary
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.report import ArrayCheck, Unseen
from chainrule.checking.results import is_float, long_axes, places_of_input
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject
from chainrule.checking.taylor import Taylor
from chainrule.checking.values import is_choice, is_single
from chainrule.checking.workers import Workers

Mode = Literal["auto", "full", "directions"]

#: In mode "auto" an array is compared entry by entry if it has no more entries than this, where Python evaluates …
_MOST_ENTRIES = 2_000
#: … and if entries times all numbers that an evaluation reads and gives, or Rust's rows, are no more than this.
_MOST_WORK, _MOST_WORK_IN_RUST = 50_000_000, 40_000_000
#: Of so many wrong gradients and no more it is asked whether they stand in another order.
_MOST_IN_ANOTHER_ORDER = 4


@dataclass(frozen=True)
class Settings:
    """What the caller asked for."""

    mode: Mode
    directions: int
    seed: int
    tolerance: float
    strict: bool = False
    #: What evaluates ahead; what is told of evaluations, how many were made.
    workers: Workers | None = None
    tell: Callable[[int], object] | None = None


@dataclass
class Comparison:
    """One subject, its gradients compared."""

    subject: Subject
    settings: Settings
    randomness: Randomness
    rng: np.random.Generator
    #: What there is to say beside the arrays.
    notes: list[str] = field(default_factory=list)
    held_fixed: list[str] = field(default_factory=list)
    not_compared: list[Unseen] = field(default_factory=list)
    #: The numeric side of the first batch, once it has been made.
    numeric: NumericEvaluation | None = None
    #: What is not as it should be with gradients whose numbers are right: a contract, what was seen, its short name.
    hazards: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: What is left of the outputs along a line, or what finds that out.
    taylor: Taylor = None

    def all(self, answer: Answer, douts: list[Any], careful: bool) -> tuple[ArrayCheck, ...]:
        """Compare every array that has a gradient; `careful` puts back what a forward pass writes into."""
        names = [name for name in self.subject.arrays if name not in answer.unasked]
        wide, second_opinion = self._in_float64(names, douts)
        numeric = self.numeric = self._evaluation(wide, names, douts, careful)
        given = {**answer.gradients, **second_opinion}
        # Rust evaluates without leaving a trace, so what few ask for can wait.
        self.taylor = numeric.taylor(given) if numeric.engine is None else partial(numeric.taylor, given)
        checks = []
        for name in self.subject.arrays:
            if name in names:
                if answer.gradients.get(name) is None and not self._left_out(answer):
                    self.not_compared.append(self._not_found(name))
                    continue
                check = self._compare(numeric, name, answer.gradients.get(name), second_opinion.get(name))
                if check.verdict == "wrong" and name in self.subject.doubtful:
                    why_not = f" ({check.cause})" if check.cause else ""
                    told = f"what backward takes off: but that is not its learning rate times the gradient{why_not}"
                    self.not_compared.append(Unseen(name, check.shape, (told,)))
                    continue
                checks.append(check)
            elif not self._needs_none(name) and self._moves(self.subject, name):
                if not answer.of_inputs:
                    self.not_compared.append(self._not_found(name))
                    continue
                note = f"{self.subject.backward_name} gives no gradient for it, though the output depends on it"
                checks.append(ArrayCheck(name, self.subject.arrays[name].shape, "full", 0, "unresolved", note=note))
            else:
                self.held_fixed.append(name)
        checks = self._without_effect(checks, answer)
        others = self.subject.inputs if self.subject.wrt is not None else ()
        self.held_fixed += [n for n in others if is_float(self.subject.inputs[n]) and n not in self.subject.arrays]
        return tuple(checks)

    def _evaluation(
        self, subject: Subject, names: Iterable[str], douts: list[Any], careful: bool = False,
        like: NumericEvaluation | None = None, **how: Any,
    ) -> NumericEvaluation:  # fmt: skip
        """Give the numeric side of a subject."""
        workers, tell = self.settings.workers, self.settings.tell
        return NumericEvaluation(
            subject, names, self.randomness, douts, careful=careful, like=like, workers=workers, tell=tell, **how
        )

    def _without_effect(self, checks: list[ArrayCheck], answer: Answer) -> list[ArrayCheck]:
        """Take for right a parameter's gradient of 0 beside others, if it cancels with whatever numbers.

        So is what rounding leaves of 0, which is nothing beside other gradients: where norms divide by small roots, it
        is much more than the last digits of the loss.
        """
        subject = self.subject if self.numeric is None else self.numeric.subject
        sizes = {n: float(np.abs(g).max(initial=0)) for n, g in answer.gradients.items() if g is not None}
        least = self.settings.tolerance * max(sizes.values(), default=0.0)
        left = {
            c.name for c in checks
            if c.verdict == "wrong" and abs(c.numeric) <= c.bar and sizes.get(c.name, np.inf) <= least
        }  # fmt: skip
        nothing = [
            c.name for c in checks if (c.verdict == "vacuous" or c.name in left) and c.name in subject.parameters
        ]
        if not nothing or not any(c.verdict == "right" for c in checks):
            return checks
        state = State(reach(subject=subject.thing))
        inputs = [a for a in subject.inputs.values() if not is_choice(a)]
        movable = [a for a in (*subject.parameters.values(), *inputs) if is_float(a)]
        effects = {n: effect_of(subject.arrays[n], movable, lambda: self._outputs(subject)) for n in nothing}
        state.restore()
        return [by_effect(c, effects.get(c.name), left_over=c.name in left) for c in checks]

    def in_another_order(self, arrays: tuple[ArrayCheck, ...], answer: Answer) -> tuple[ArrayCheck, ...]:
        """Say so if gradients that are wrong are right in another order; if their order was a guess, none is wrong.

        What stands in the place of an argument is its gradient, in code that follows a convention; where shapes have
        already told that this one does not, that of those of equal shape is not known.
        """
        wrong = [a.name for a in arrays if a.verdict == "wrong" and a.name in answer.placed and a.checked]
        if self.numeric is None or not 2 <= len(wrong) <= _MOST_IN_ANOTHER_ORDER:
            return arrays
        given, known = answer.gradients, dict[tuple[str, str], bool]()

        def is_that_of(name: str, other: str) -> bool:
            if (name, other) not in known:
                known[name, other] = self._is_right(name, given[other])
            return known[name, other]

        orders = (order for order in permutations(wrong) if all(map(operator.ne, wrong, order)))
        found = next((order for order in orders if all(map(is_that_of, wrong, order))), None)
        if found is None:
            return arrays
        of = dict(zip(found, wrong, strict=True))
        order = [of.get(name, name) for name in answer.placed]
        told = f"{self.subject.backward_name} gives the gradients of {', '.join(order)}, in this order"
        if not answer.guessed:
            self.notes.append(f"the numbers are right if {told}: if that is meant, say wrt=")
            return arrays
        self.notes.append(f"right if {told}; of arrays of the same shape nothing says which is which")
        notes = {name: f"right if it is what was taken for that of {o}" for name, o in zip(wrong, found, strict=True)}
        return tuple(
            replace(a, verdict="unresolved", cause=None, note=notes[a.name]) if a.name in notes else a for a in arrays
        )

    def _is_right(self, name: str, claimed: Any) -> bool:
        """Tell whether a gradient could be that of an array: whether the two sides agree."""
        array, numeric = self.subject.arrays[name], self.numeric
        if numeric is None or claimed is None or claimed.shape != array.shape:
            return False
        full = self._in_full(numeric, array)
        probes = (
            numeric.entries(name, claimed) if full else Directions(numeric, [name], self.settings.directions, self.rng)
        )
        single = is_single(array) or is_single(claimed)
        return not compare(probes, self._rule(probes, {name: claimed}, single))[1].any()

    def _left_out(self, answer: Answer) -> bool:
        """Tell whether what has no gradient has been left out among others: of nothing at all, nothing is known."""
        subject = self.subject
        others = [n for n, g in answer.gradients.items() if g is not None and n in subject.parameters]
        return bool(others) and subject.goes_forward_itself

    def _not_found(self, name: str) -> Unseen:
        """Say where the gradient of an array was looked for, and not found."""
        subject = self.subject
        shape = subject.arrays[name].shape
        if name in subject.parameters:
            places = subject.places.get(name, ())
            told = places[0].names() if places else [f"what {subject.backward_name} gives"]
            return Unseen(name, shape, tuple(told))
        return Unseen(name, shape, (f"what {subject.backward_name} returns", *places_of_input([name])[1:4]), "wrt=")

    def _needs_none(self, name: str) -> bool:
        """Tell whether an input that no gradient is given for may be one that needs none.

        Any of a pair; what a loss is measured against; options, in a dict or plain numbers; and numbers that are a
        choice: a mask, signs, shares that add up to 1.
        """
        subject = self.subject
        plain = any(slot.scalar and name in slot.inputs.values() for slot in subject.slots)
        if subject.gradients_optional or plain or "[" in name:
            return True
        return self._is_target(name) or is_choice(subject.inputs[name])

    def _is_target(self, name: str) -> bool:
        """Tell whether an input is what a loss is measured against: by its name, or any but the first.

        Of a loss that has parameters and gives no gradient of any input, all are data.
        """
        if self.numeric is None or self.numeric.noise.size != 1:
            return False
        names = [n for n, a in self.subject.inputs.items() if isinstance(a, np.ndarray)]
        if self.subject.parameters and not any(n in self.numeric.scales for n in names):
            return True
        told = [n for n in names if is_target(n, names)]
        return name in told if told else name != names[0]

    def _in_float64(self, names: list[str], douts: list[Any]) -> tuple[Subject, dict[str, FloatArray]]:
        """Give the subject that the numeric side moves, and what that one's own backward gives, if it is a copy."""
        wide = self._to_move(names)
        if wide is self.subject:
            return wide, {}
        self.randomness.rewind()
        try:
            answer = wide.gradients([np.asarray(dout, np.float64)[()] for dout in douts])
        except Exception:  # a layer that insists on float32 in backward: then there is no second opinion
            return wide, {}
        # Copies: what sets gradients to nothing in place, before the next forward pass, is not to empty these.
        given = {name: np.array(a) for name, a in answer.gradients.items() if a is not None}
        return wide, {n: a for n, a in given.items() if a.dtype == np.float64 and a.shape == wide.arrays[n].shape}

    def _to_move(self, names: list[str]) -> Subject:
        """Give the subject that the numeric side moves: of one in float32 a copy in float64, if it can be had."""
        if not self.subject.single:
            return self.subject
        wide = self.subject.widened()
        if wide is None or not self._moves_alike(wide, names):
            self.notes.append(
                "float32: no copy in float64 could be had, so the differences are float32's, with wide bars"
            )
            return self.subject
        return wide

    def _moves_alike(self, wide: Subject, names: list[str]) -> bool:
        """Tell whether the copy's outputs follow its arrays as the original's do; not if a function has hold of one."""
        return all(self._moves(wide, name) or not self._moves(self.subject, name) for name in names)

    def _moves(self, subject: Subject, name: str) -> bool:
        """Tell whether the outputs change when an array does by a hundredth."""
        return moves(lambda: self._outputs(subject), subject.arrays[name])

    def _outputs(self, subject: Subject) -> list[FloatArray]:
        self.randomness.rewind()
        return [out.copy() for out in subject.outputs()]

    def _compare(
        self, numeric: NumericEvaluation, name: str, claimed: Any, second_opinion: FloatArray | None
    ) -> ArrayCheck:
        array = self.subject.arrays[name]
        if claimed is None:
            return ArrayCheck(
                name, array.shape, "full", 0, "wrong", note=f"{self.subject.backward_name} gives none for it"
            )
        if claimed.shape != array.shape:
            return self._in_its_shape(numeric, name, claimed)
        if array.size == 0:
            return ArrayCheck(name, array.shape, "full", 0, "vacuous", note="empty: there is nothing to compare")
        full = self._in_full(numeric, array)
        probes = (
            numeric.entries(name, claimed) if full else Directions(numeric, [name], self.settings.directions, self.rng)
        )
        # float32 code is judged by what it gives in float64, if it could be had: there its formula shows.
        judged = claimed if second_opinion is None else second_opinion
        rule = self._rule(probes, {name: judged}, second_opinion is None and (is_single(array) or is_single(claimed)))
        found, wrong = compare(probes, rule)
        check = summary(name, array.shape, full, found, wrong, rule, probes)
        if second_opinion is not None and check.verdict not in ("wrong", "vacuous"):
            check = self._in_ulps(probes, check, claimed, second_opinion, found)
        # Numbers of float64 beside float32 may be rounded on the way back alone.
        elif (
            second_opinion is not None and check.verdict == "wrong"
            and any(is_float(a) and not is_single(a) for a in self.subject.inputs.values())
            and np.all(excess(found, self._rule(probes, {name: judged}, True)) <= 0)
        ):  # fmt: skip
            return replace(check, verdict="unresolved", note="agrees to float32's digits and no further")
        if self._wrong_dtype(claimed, array):
            self._tells("dtype", f"that of {name} is {claimed.dtype}, and {name} is {array.dtype}")
        if check.verdict != "wrong":
            return check
        if full and (note := left_by_an_eps(found, wrong, rule, self.settings.tolerance)):
            return replace(check, verdict="unresolved", note=note)
        if check.numeric == 0 == check.bar and not self._moves(numeric.subject, name):
            check = replace(check, note="moving it changes nothing that comes out: is another array used?")
        if full:
            return why(self.subject, check, judged, found, rule)
        return located(self.subject, numeric, check, judged, self.settings.tolerance, self.rng)

    def _in_its_shape(self, numeric: NumericEvaluation, name: str, claimed: FloatArray) -> ArrayCheck:
        """Judge a gradient of another shape: right numbers that broadcast to the array's are a hazard, others wrong.

        So are axes of length 1 in front of an input's; not of a parameter's, for ``b -= db`` would raise. One number in
        the place of many is wrong for an input: the layer before, which it is sent on to, would add up too little.
        """
        array, spread = self.subject.arrays[name], None
        with contextlib.suppress(ValueError):
            shape = np.broadcast_shapes(claimed.shape, array.shape)
            short = self.subject.takes_dout and name not in self.subject.parameters and claimed.size < array.size
            if shape == array.shape and not (short and claimed.ndim):
                spread = np.broadcast_to(claimed, shape).copy()
            elif shape == claimed.shape and claimed.size == array.size and name not in self.subject.parameters:
                spread = claimed.reshape(array.shape)
        if spread is not None:
            check = self._compare(numeric, name, spread, None)
            if check.verdict != "wrong" or long_axes(claimed.shape) == long_axes(array.shape):
                self._tells("shape", f"that of {name} has shape {claimed.shape}, and {name} has {array.shape}")
                return check
        return misshapen(self.subject, numeric, name, claimed, self.settings.tolerance, self.rng)

    def _tells(self, what: str, seen: str) -> None:
        name = f"gradients have the {what} of their arrays"
        before, _ = self.hazards.get(name, ("", ""))
        self.hazards[name] = f"{before}; {seen}" if before else seen, f"wrong {what}"

    def _wrong_dtype(self, claimed: FloatArray, array: FloatArray) -> bool:
        """Tell whether a gradient has another dtype than its array; where those are mixed, one with fewer digits."""
        given, own = claimed.dtype.newbyteorder("="), array.dtype.newbyteorder("=")
        mixed = len({a.dtype.newbyteorder("=") for a in self.subject.arrays.values()}) > 1
        return given != own and (not mixed or given.kind != "f" or given.itemsize < own.itemsize)

    def _in_ulps(
        self, probes: Probes, check: ArrayCheck, claimed: FloatArray, second_opinion: FloatArray, found: Found
    ) -> ArrayCheck:
        """Judge float32's own gradient, where the same code in float64 is right: by the digits that are left."""
        wrong = excess(found, self._rule(probes, {check.name: claimed}, True)) > 0
        if not wrong.any():
            return check
        some_left = float(np.abs(claimed - second_opinion).max()) <= largest(second_opinion) / 8
        note = f"the same code is right in float64; float32 has lost {'digits' if some_left else 'all digits'} here"
        return replace(check, verdict=check.verdict if some_left else "unresolved", note=note)

    def _in_full(self, numeric: NumericEvaluation, array: FloatArray) -> bool:
        if self.settings.mode != "auto":
            return self.settings.mode == "full"
        if numeric.engine is not None:
            return array.size * examples(self.subject) <= _MOST_WORK_IN_RUST
        inputs = sum(a.size for a in self.subject.inputs.values() if isinstance(a, np.ndarray))
        numbers = inputs + sum(a.size for a in self.subject.parameters.values()) + numeric.noise.size
        return array.size <= _MOST_ENTRIES and array.size * numbers <= _MOST_WORK

    def _rule(self, probes: Probes, gradients: dict[str, FloatArray], single: bool) -> Tolerance:
        return rule_for(probes, gradients, self._relative(), single)

    def _relative(self) -> float:
        """Give what entries may differ by beside their bars, relative to their size."""
        fixed = (a for n, a in self.subject.inputs.items() if is_float(a) and n not in self.subject.arrays)
        if any(map(is_single, fixed)):  # shares that add up to 1 in float32 do so to seven digits only
            return max(self.settings.tolerance, 8 * float(np.finfo(np.float32).eps))
        return self.settings.tolerance

    def differs_along(self, other: Subject, theirs: Answer, douts: list[Any]) -> list[str]:
        """Give the names of arrays whose gradients differ along a random direction, beyond doubt."""
        aside = replace(self, subject=other, notes=[])
        given = {n: a for n, a in theirs.gradients.items() if a is not None and a.shape == other.arrays[n].shape}
        wide, second_opinion = aside._in_float64(list(given), douts)
        widened = self.numeric is not None and self.numeric.subject is not self.subject
        if widened and wide is other:
            return []  # the first batch could be looked at in float64, this one cannot
        numeric = self._evaluation(wide, given, douts, like=self.numeric)
        judged = {name: second_opinion.get(name, a) for name, a in given.items() if a.size}
        if not judged or not self._doubtless(numeric, list(judged), judged, 1):
            return []
        return [name for name in judged if self._doubtless(numeric, [name], judged, 2)]

    def _doubtless(
        self, numeric: NumericEvaluation, names: list[str], gradients: dict[str, FloatArray], count: int
    ) -> bool:
        probes = Directions(numeric, names, count, self.rng)
        single = any(is_single(gradients[name]) for name in names)
        found, wrong = compare(probes, self._rule(probes, gradients, single))
        return bool((wrong & ~found.kinks).any())
