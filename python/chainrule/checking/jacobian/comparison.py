"""Compare matrices with finite differences: every row along every group of columns that is moved."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.checking.comparison import Comparison
from chainrule.checking.evaluation import NumericEvaluation, with_random_signs
from chainrule.checking.finite_differences import FIRST, Found, Slopes, scales_of
from chainrule.checking.groups import Group
from chainrule.checking.jacobian.blocks import Block, Dense, JacobianAnswer, block_of, is_operator, is_sparse, vector
from chainrule.checking.jacobian.causes import Matrices, explain
from chainrule.checking.jacobian.claims import claimed_along, claims
from chainrule.checking.jacobian.colours import colours
from chainrule.checking.jacobian.room import Room, room_of
from chainrule.checking.jacobian.rows import Compared, Rows, first_multiple, portions, weighted
from chainrule.checking.judging import Tolerance, bars_of, compare, summary, worst_of
from chainrule.checking.report import ArrayCheck
from chainrule.checking.subject import Answer, Subject
from chainrule.checking.values import is_single

if TYPE_CHECKING:
    from chainrule.checking.jacobian.subject import JacobianSubject

Mode = Literal["full", "directions", "groups"]

#: The number of columns to compare one by one to find out why a matrix is wrong, if only groups were compared.
_SAMPLE = 48


@dataclass
class JacobianComparison(Comparison):
    """The comparison of two functions: every block of the second is compared."""

    subject: JacobianSubject
    #: What is known about wrong blocks, for causes that involve several.
    known: dict[str, Matrices] = field(default_factory=dict)
    #: How far arguments with bounds can be moved.
    rooms: dict[str, Room] = field(default_factory=dict)

    def all(self, answer: Answer, douts: list[Any], careful: bool) -> tuple[ArrayCheck, ...]:
        """Compare every block."""
        assert isinstance(answer, JacobianAnswer)
        given, subject = answer, self.subject
        names = [name for name in subject.arrays if name in given.gradients and given.gradients[name] is not None]
        wide = self._to_move(names)
        opinion = self._of_wide(wide, douts)
        self._see_to_bounds(wide, names)
        numeric = self.numeric = self._evaluation(wide, names, douts, careful)
        judged = {name: opinion.get(name, block) for name, block in given.blocks.items()}
        self.taylor = None if self.rooms else numeric.taylor(weighted(judged, douts, subject.arrays))
        self.held_fixed += [name for name in subject.arrays if name not in names]
        checks: list[ArrayCheck] = []
        for name in names:
            if name in given.misshapen:
                checks.append(self._misshapen(numeric, name, given.misshapen[name]))
                continue
            block = given.blocks[name]
            checks.append(self._block(numeric, name, block, opinion.get(name)))
            if name in subject.backwards and checks[-1].verdict != "wrong":
                checks.append(self._transposed_products(numeric, name, douts, block))
        return self._swapped(tuple(checks), given)

    def _evaluation(
        self, subject: Subject, names: Iterable[str], douts: list[Any], careful: bool = False,
        like: NumericEvaluation | None = None, **how: Any,
    ) -> NumericEvaluation:  # fmt: skip
        """Give the numeric side; numbers at a bound are moved only one by one."""
        still = {n: room.beside.reshape(subject.arrays[n].shape) for n, room in self.rooms.items()}
        return super()._evaluation(subject, names, douts, careful, like, thorough=False, still=still, **how)

    def _see_to_bounds(self, subject: Subject, names: list[str]) -> None:
        """Note how far each argument with bounds can be moved."""
        self.rooms = {
            name: room_of(subject.arrays[name], bounds, scales_of(subject.arrays[name]))
            for name, bounds in self.subject.bounds.items() if name in names
        }  # fmt: skip
        for name, room in self.rooms.items():
            of_all = f"of {room.beside.size} numbers of {name}"
            fixed = int((np.maximum(room.down, room.up) == 0).sum())
            if count := int(room.beside.sum()) - fixed:
                self.notes.append(f"{count} {of_all} lie at a bound: moved to one side")
            if fixed:
                self.notes.append(f"{fixed} {of_all} cannot move: the bounds are equal")

    def _moves(self, subject: Subject, name: str) -> bool:
        """Tell whether the outputs change when an array does; with bounds, this is not tried."""
        return name in self.rooms or super()._moves(subject, name)

    def _of_wide(self, wide: Subject, douts: list[Any]) -> dict[str, Block]:
        """Give the answer of the copy in float64, if there is one."""
        if wide is self.subject:
            return {}
        self.randomness.rewind()
        try:
            answer = wide.gradients(douts)
        except Exception:  # the code insists on float32, so there is no second opinion
            return {}
        blocks: dict[str, Block] = getattr(answer, "blocks", {})
        return {name: block for name, block in blocks.items() if block.numbers.dtype == np.float64}

    # --- one block ---

    def _block(self, numeric: NumericEvaluation, name: str, block: Block, opinion: Block | None) -> ArrayCheck:
        array = self.subject.arrays[name]
        shape = (*self.subject.out, *array.shape)
        if 0 in block.shape:
            return ArrayCheck(
                self.subject.called(name), shape, "full", 0, "vacuous", note="empty: there is nothing to compare"
            )  # fmt: skip
        judged = block if opinion is None else opinion
        if self.settings.mode != "directions" and (matrix := judged.dense()) is not None:
            judged = Dense(block.shape, matrix)  # build it once if it only gives products
        mode, groups = self._groups(numeric, name, judged)
        single = opinion is None and (is_single(array) or is_single(block.numbers))
        compared = self._compared(numeric, name, judged, groups, single)
        check = self._summed_up(name, shape, mode, compared, len(groups), len(judged.numbers))
        if self._wrong_dtype(block.numbers, array):
            self._tells("dtype", f"that by {name} is {block.numbers.dtype}, and {name} is {array.dtype}")
        if check.verdict == "wrong":
            return self._why(numeric, name, judged, groups, compared, check, single)
        if opinion is not None and check.verdict == "right":
            return self._in_fewer_digits(check, block, opinion)
        return check

    def _groups(self, numeric: NumericEvaluation, name: str, block: Block) -> tuple[Mode, list[Group]]:
        """Give the mode, and the groups to move: each column, the columns of each colour, or all along directions."""
        array, mode = self.subject.arrays[name], self.settings.mode
        scales = numeric.scales[name].reshape(-1)
        if mode != "directions":
            places = block.pattern()
            if places is not None:
                colour = colours(*places, array.size)
                if (count := int(colour.max(initial=0)) + 1) < array.size and (mode == "full" or count <= 2_000):
                    columns = [np.flatnonzero(colour == c) for c in range(count)]
                    steps = [np.ones(1) if len(c) == 1 else with_random_signs(scales[c], self.rng) for c in columns]
                    return "groups", list(map(Group, columns, steps))
            if self._in_full(numeric, array) and (places is not None or isinstance(block, Dense)):
                return "full", [Group(np.array([j]), np.ones(1)) for j in range(array.size)]
        everything, count = np.arange(array.size), self.settings.directions
        return "directions", [Group(everything, with_random_signs(scales, self.rng)) for _ in range(count)]

    def _compared(
        self, numeric: NumericEvaluation, name: str, block: Block, groups: Sequence[Group], single: bool
    ) -> Compared:
        """Compare every row along every group."""
        if name in self.rooms:
            groups = [self.rooms[name].within(group) for group in groups]
        count, scales = block.shape[0], numeric.scales[name].reshape(-1)
        claimed, sizes, rounded_by = claims(block, groups, scales, numeric.here)
        stencil = numeric.of_groups(name, groups)
        own = np.array([scales[g.columns[0]] if g.alone else 1.0 for g in groups])
        longest = 1 / max(1e-300, float(scales.max(initial=0)))
        caps = np.array(
            [max(scale, 1.0 if g.alone else longest, 1.0) / 4 for g, scale in zip(groups, own, strict=True)]
        )
        relative = self._relative()
        caps = np.minimum(caps, [g.most for g in groups])
        resolution = numeric.resolutions(name, own).reshape(-1) + 4 * np.finfo(np.float64).eps * sizes
        rule = Tolerance(claimed, relative, single, sizes, resolution, stencil.epsilon, rounded_by)
        founds, wrongs = [], []
        multiple = None
        for some in portions(len(groups), count):
            numbers = np.arange(some.start * count, some.stop * count)
            whose = numbers // count
            probes = Rows(stencil, numbers, own[whose], caps[whose], resolution[numbers], claimed[numbers])
            probes.first = np.minimum(probes.scales * (multiple or FIRST), probes.caps)
            found, wrong = compare(probes, rule.at(numbers))
            founds.append(found)
            wrongs.append(wrong)
            if multiple is None and len(numbers):
                multiple = first_multiple(found, probes.scales)
        terms = ("value", "truncation", "jump", "rounding")
        slopes = Slopes(*(np.concatenate([getattr(f.slopes, term) for f in founds]) for term in terms))
        kinks, steps = (np.concatenate([getattr(f, term) for f in founds]) for term in ("kinks", "steps"))
        epsilon = max(f.epsilon for f in founds)
        return Compared(Found(slopes, kinks, steps, epsilon), np.concatenate(wrongs), rule)

    def _summed_up(
        self, name: str, shape: tuple[int, ...], mode: Mode, compared: Compared, groups: int, entries: int
    ) -> ArrayCheck:
        label, count = self.subject.called(name), math.prod(self.subject.out)
        if mode == "full":
            in_order = compared.at(np.arange(groups * count).reshape(groups, count).T.reshape(-1))
            return summary(label, shape, True, in_order.found, in_order.wrong, in_order.rule)
        check = summary(label, shape, False, compared.found, compared.wrong, compared.rule)
        if mode == "directions":
            return replace(check, checked=check.checked // count)
        all_known = check.checked == groups * count
        note = f"{entries} entries in {groups} {'groups of columns' if groups > 1 else 'group of columns'}"
        return replace(check, mode=mode, checked=entries if all_known else check.checked, note=check.note or note)

    # --- where and why ---

    def _why(
        self, numeric: NumericEvaluation, name: str, block: Block, groups: Sequence[Group], compared: Compared,
        check: ArrayCheck, single: bool,
    ) -> ArrayCheck:  # fmt: skip
        """Find the cause, and the worst entry if only groups were compared."""
        count, width = block.shape
        shape = (*self.subject.out, *self.subject.arrays[name].shape)
        if check.mode != "full":
            worst = worst_of(compared.found, compared.rule)
            group, row = divmod(worst, count)
            column = self._halved(numeric, name, block, groups[group], row)
            others = self.rng.choice(width, min(width, _SAMPLE), replace=False)
            near = [c for c in (column - 1, column + 1) if 0 <= c < width]
            columns = np.unique([column, *near, *others])
            looked = [Group(np.array([j]), np.ones(1)) for j in columns]
            compared = self._compared(numeric, name, block, looked, single)
            at = int(np.searchsorted(columns, column)) * count + row
            if not compared.wrong[at] and compared.wrong.any():
                at = worst_of(compared.found, compared.rule)
                column, row = int(columns[at // count]), at % count
            check = replace(
                check,
                where=tuple(int(i) for i in np.unravel_index(row * width + column, shape)),
                analytic=float(compared.rule.claimed[at]),
                numeric=float(compared.found.slopes.value[at]),
                bar=float(compared.found.slopes.bar[at]),
            )
        else:
            columns = np.arange(width)
        known = self._matrices(name, columns, compared, count)
        self.known[name] = known
        return replace(check, cause=explain(known) or check.cause, labels=self._labels(check.where))

    def _labels(self, where: tuple[int, ...]) -> tuple[str, ...]:
        """Give the names of the row and the column of an entry, if they have names."""
        rows, columns = self.subject.row_names, self.subject.column_names
        if not where or not (rows or columns) or len(self.subject.movable) > 1:
            return ()
        axes = len(self.subject.out)
        row, column = where[:axes], where[axes:]
        out, into = self.subject.out, next(iter(self.subject.movable.values())).shape
        i = int(np.ravel_multi_index(row, out)) if row else 0
        j = int(np.ravel_multi_index(column, into)) if column else 0
        return (
            str(rows[i]) if i < len(rows) else ", ".join(map(str, row)),
            str(columns[j]) if j < len(columns) else ", ".join(map(str, column)),
        )

    def _halved(self, numeric: NumericEvaluation, name: str, block: Block, group: Group, row: int) -> int:
        """Give the column of a group whose entry in this row is wrong, by comparing halves until one is left."""
        columns, steps = group.columns, group.steps
        while len(columns) > 1:
            half, off = len(columns) // 2, []
            for some in (slice(None, half), slice(half, None)):
                part = Group(columns[some], steps[some])
                part = self.rooms[name].within(part) if name in self.rooms else part
                slopes = numeric.of_groups(name, [part]).slopes(np.array([row]), np.array([min(FIRST, part.most)]))
                claimed = claimed_along(block, [part])
                beyond = abs(claimed[row] - slopes.value[0]) - slopes.bar[0] if np.isfinite(claimed[row]) else np.inf
                off.append(float(np.nan_to_num(beyond, nan=-np.inf)))
            some = slice(None, half) if not off[0] < off[1] else slice(half, None)
            columns, steps = columns[some], steps[some]
        return int(columns[0])

    def _matrices(self, name: str, columns: NDArray[np.int64], compared: Compared, count: int) -> Matrices:
        array, rule, found = self.subject.arrays[name], compared.rule, compared.found
        with np.errstate(invalid="ignore"):
            allowed = bars_of(found) + rule.rounded(found.epsilon)(found.slopes)
        claimed, numeric, allowed = (
            np.asarray(a).reshape(len(columns), count).T for a in (rule.claimed, found.slopes.value, allowed)
        )
        assert self.numeric is not None
        return Matrices(
            claimed, numeric, allowed, columns, array.reshape(-1).astype(np.float64), self.numeric.here,
            len(columns) == array.size, self.subject.letter,
        )  # fmt: skip

    # --- the rest ---

    def _transposed_products(self, numeric: NumericEvaluation, name: str, douts: list[Any], block: Block) -> ArrayCheck:
        """Compare the products with the transposed matrix: all of them, or one with a random vector.

        For that one, all numbers are moved at once, which is not possible with bounds.
        """
        back, (count, width) = self.subject.backwards[name], block.shape
        few = max(count, width) <= _SAMPLE**2 // 2
        if few and (self.settings.mode != "directions" or name in self.rooms):
            rows = [vector(back(w), width, "Jᵀ w") for w in np.eye(count)]
            check = self._block(numeric, name, Dense(block.shape, np.stack(rows)), None)
        elif name in self.rooms:
            note = "not compared: there are bounds, and too many numbers to move one by one"
            check = ArrayCheck(
                name, (*self.subject.out, *self.subject.arrays[name].shape), "full", 0, "unresolved", note=note
            )
        else:
            given = vector(back(np.concatenate([np.ravel(d) for d in douts])), width, "Jᵀ w")
            check = super()._compare(numeric, name, given.reshape(self.subject.arrays[name].shape), None)
        return replace(check, name=f"{self.subject.called(name)}ᵀ")

    def _misshapen(self, numeric: NumericEvaluation, name: str, value: Any) -> ArrayCheck:
        """Judge a block that does not have the shape of the derivatives: it may be transposed."""
        out, into = self.subject.out, self.subject.arrays[name].shape
        shape = tuple(int(n) for n in np.shape(value) or getattr(value, "shape", ()))
        note = f"it has shape {shape}; f gives {out} for {into}, so it should have {(*out, *into)}"
        cause = "wrong shape"
        whole = value if is_sparse(value) or is_operator(value) else np.asarray(value)
        other = None if not hasattr(whole, "T") else block_of(whole.T, out, into, "jac")
        if shape == (*into, *out) and isinstance(whole, np.ndarray):
            axes = (*range(len(into), len(shape)), *range(len(into)))
            other = block_of(whole.transpose(axes), out, into, "jac")
        if other is not None:
            check = self._block(numeric, name, other, None)
            if check.verdict != "wrong":
                cause = "transposed"
        return ArrayCheck(self.subject.called(name), (*out, *into), "full", 0, "wrong", note=note, cause=cause)

    def _in_fewer_digits(self, check: ArrayCheck, block: Block, opinion: Block) -> ArrayCheck:
        """Judge a result of float32 code by its remaining digits, if the same code is right in float64."""
        given, right = block.numbers.astype(np.float64), opinion.numbers
        if given.shape != right.shape or np.allclose(given, right, rtol=1e-4, atol=1e-5 * np.abs(right).max(initial=0)):
            return check
        return replace(
            check, verdict="unresolved", note="the same code is right in float64; float32 has lost digits here"
        )

    def _swapped(self, checks: tuple[ArrayCheck, ...], given: JacobianAnswer) -> tuple[ArrayCheck, ...]:
        """Name a block that would be right in the place of another."""
        names = [name for name in self.known if name in given.blocks]
        if len({c.cause for c in checks}) == 1 and checks[0].cause:
            return checks  # a cause for each by itself is simpler
        told: dict[str, str] = {}
        for one, other in itertools.permutations(names, 2):
            theirs = given.blocks[other].dense()
            known = self.known[one]
            if theirs is not None and theirs.shape == known.numeric.shape and known.fits(theirs):
                told[self.subject.called(one)] = f"blocks swapped: it is that by {other}"
        return tuple(replace(c, cause=told.get(c.name, c.cause)) for c in checks)

    def in_another_order(self, arrays: tuple[ArrayCheck, ...], answer: Answer) -> tuple[ArrayCheck, ...]:
        """Give them as they are: `all` has taken care of the order."""
        return arrays

    def differs_along(self, other: Subject, theirs: Answer, douts: list[Any]) -> list[str]:
        """Give the names of blocks that clearly differ along a random direction."""
        assert isinstance(theirs, JacobianAnswer)
        assert isinstance(other, type(self.subject))
        blocks = theirs.blocks
        aside = replace(self, subject=other, notes=[])
        names = [n for n, block in blocks.items() if block.shape == (math.prod(self.subject.out), other.arrays[n].size)]
        wide = aside._to_move(names)
        if wide is not other or not names or self.numeric is None or self.numeric.subject is not self.subject:
            return []  # float32 is compared only once
        aside._see_to_bounds(wide, names)
        numeric = aside._evaluation(wide, names, douts, like=self.numeric)
        differing = []
        for name in names:
            everything = np.arange(other.arrays[name].size)
            steps = with_random_signs(numeric.scales[name].reshape(-1), self.rng)
            compared = aside._compared(numeric, name, blocks[name], [Group(everything, steps)], False)
            if 0 not in blocks[name].shape and (compared.wrong & ~compared.found.kinks).any():
                differing.append(self.subject.called(name))
        return differing
