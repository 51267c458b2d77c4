"""The adjoint check: whether ⟨Ax, y⟩ = ⟨x, A*y⟩ and, if not, where and why.

`operator` and `side` call A and A* in the form in which they were given. `contracts` tests what each must keep by
itself. `probes` compares both along random directions, with an error bar, and finds an entry where they differ. A small
operator is compared entry by entry here. `causes` says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.adjoint.causes import Matrices, explain
from chainrule.checking.adjoint.contracts import try_in_turn, try_other_ways, try_side
from chainrule.checking.adjoint.operator import Operator, Space, understand
from chainrule.checking.adjoint.probes import OWN, WIDEST, Pair, Place, Probe, unit
from chainrule.checking.adjoint.side import Contracts, Side, WrongShapeError
from chainrule.checking.comparison import Settings
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.report import ArrayCheck, GradientReport
from chainrule.checking.state import State

#: In mode "auto", an operator with at most this many entries, rows and columns is compared entry by entry,
_MOST_ENTRIES, _MOST_CALLS = 1 << 16, 1 << 10
#: … if that takes at most this long.
_MOST_SECONDS = 5.0
#: The number of differing entries whose noise is measured before the rest are believed.
_MOST_LOOKED_AT = 8
#: Causes that follow from another mistake, or are beside the point, are named last.
_LAST = ("wrong dtype", "wrong shape", "other ways")
_NO_PLACE = "single entries agree, but sums of them do not: A or A* is not linear"
_HIDDEN = "rounding hides any difference: the error bar is wider than a twentieth of what is compared"
_SMALL = (
    "the sides differ everywhere by a little: a small mistake, or each solves ill-conditioned equations in its own way"
)
#: The contract without which a comparison says nothing.
_NEEDED = "gives the same again"


def check(thing: Any, shape_in: Any, shape_out: Any, dtype: Any, settings: Settings) -> GradientReport:
    """Check an operator against its adjoint; see `chainrule.check_adjoint`."""
    operator = understand(thing, shape_in, shape_out, dtype)
    found = reach(subject=thing)
    first, randomness = State(found), Randomness(found)
    try:
        with np.errstate(all="ignore"):
            return _report(operator, settings)
    finally:
        try:
            first.restore_arrays()
        finally:
            randomness.restore()


def _report(operator: Operator, settings: Settings) -> GradientReport:
    contracts = Contracts()
    rng = np.random.default_rng([settings.seed, 0x61646A])
    forward, adjoint = _sides(operator, contracts)
    notes = operator.notes
    if _is_empty(operator.domain) or _is_empty(operator.range):
        shape = (*(operator.range.shape or ()), *(operator.domain.shape or ()))
        empty = ArrayCheck("A", shape, "full", 0, "vacuous", note="empty: there is nothing to compare")
        return _made(operator, settings, (empty,), contracts, None)
    pair = Pair(forward, adjoint, rng, settings.tolerance)
    try:
        _settle(operator, pair)
        if _is_empty(operator.range):
            shape = (*(operator.range.shape or ()), *(operator.domain.shape or ()))
            empty = ArrayCheck("A", shape, "full", 0, "vacuous", note="A gives nothing: there is nothing to compare")
            return _made(operator, settings, (empty,), contracts, None)
        seen = try_side(forward, pair.random(forward), pair.random(forward))
        seen_back = try_side(adjoint, pair.random(adjoint), pair.random(adjoint))
        try_in_turn(forward, adjoint, seen.x, seen.of_x, seen_back.z)
        try_in_turn(adjoint, forward, seen_back.x, seen_back.of_x, seen.z)
        try_other_ways(operator, (forward, adjoint), (seen, seen_back), contracts)
        if any(contracts.is_broken(f"{s.name} {_NEEDED}") and not _hazard(contracts, s) for s in (forward, adjoint)):
            notes.append("nothing was compared: a function whose result changes from call to call is not an operator")
            return _made(operator, settings, (), contracts, None)
        array, cause = _compared(pair, settings)
    except WrongShapeError as error:
        shape = (*(operator.range.shape or ()), *(operator.domain.shape or ()))
        array = ArrayCheck("A", shape, "full", 0, "wrong", cause="wrong shape", note=str(error))
        return _made(operator, settings, (array,), contracts, "wrong shape")
    return _made(operator, settings, (array,), contracts, cause)


def _hazard(contracts: Contracts, side: Side) -> bool:
    return contracts.tried[f"{side.name} {_NEEDED}"].hazard


def _sides(operator: Operator, contracts: Contracts) -> tuple[Side, Side]:
    domain, outputs = operator.domain, operator.range
    return (
        Side("A", operator.names[0], operator.forward, domain, outputs, contracts),
        Side("A*", operator.names[1], operator.adjoint, outputs, domain, contracts),
    )


def _is_empty(space: Space) -> bool:
    return space.shape is not None and math.prod(space.shape) == 0


# --- shapes and kinds of the input and output ---


def _settle(operator: Operator, pair: Pair) -> None:
    """Find what the caller has not said: the shape of the output, and whether numbers are real or complex."""
    domain, outputs, forward, adjoint = operator.domain, operator.range, pair.forward, pair.adjoint
    asked = domain.dtype
    domain.dtype = domain.dtype or np.dtype(np.float64)
    raw = forward.raw(pair.random(forward))
    if outputs.shape is None:
        outputs.shape = raw.shape
    if math.prod(outputs.shape) != raw.size:
        raise ValueError(
            f"{forward.called} gives shape {raw.shape} for an array of shape {domain.told}, but shape_out says"
            f" {outputs.told}: give another shape_out=, or leave it out"
        )
    if math.prod(outputs.shape) == 0:
        return
    if outputs.dtype is None:
        outputs.dtype = np.dtype(np.complex128 if raw.dtype.kind == "c" else np.float64)
    if asked is None and not operator.declared:
        _settle_domain(operator, pair)
    elif raw.dtype.kind == "c" and outputs.dtype.kind != "c" and raw.imag.any():
        name, given = "A gives real numbers, as it must", raw.dtype
        pair.forward.contracts.breaks(name, f"{forward.called} gives {given}", "wrong dtype")
        domain.dtype, outputs.dtype = (np.result_type(space.dtype or float, 1j) for space in (domain, outputs))
    real = [space for space in (domain, outputs) if space.dtype is not None and space.dtype.kind != "c"]
    if operator.over_complex is False or len(real) == 1:
        for space in (domain, outputs):
            space.split = space.dtype is not None and space.dtype.kind == "c"
        operator.notes.append(
            "linear over the reals only: real and imaginary parts are compared, by the real part of ⟨Ax, y⟩; the last"
            " index of a complex array is 0 for the real part and 1 for the imaginary part"
        )
    adjoint.eps = max(adjoint.eps, forward.eps)


def _settle_domain(operator: Operator, pair: Pair) -> None:
    """Find whether a pair of functions works on complex numbers: whether the adjoint gives any."""
    domain, outputs = operator.domain, operator.range
    back = pair.adjoint.raw(pair.random(pair.adjoint))
    if back.dtype.kind == "c":
        domain.dtype = outputs.dtype = np.dtype(np.complex128)
        for side in pair.sides:  # results for real numbers say nothing about its precision
            side.forget()


# --- the comparison ---


def _compared(pair: Pair, settings: Settings) -> tuple[ArrayCheck, str | None]:
    """Compare, and say why if the sides differ."""
    probes = pair.probes(settings.directions)
    m, n = pair.adjoint.takes.size, pair.forward.takes.size
    full = settings.mode == "full" or (settings.mode == "auto" and _is_short(pair, m, n))
    check, entries = _entry_by_entry(pair, probes) if full else (_along(pair, probes), None)
    if check.verdict != "wrong":
        return check, None
    cause, note = explain(pair, probes, entries)
    return replace(check, cause=cause, note="; ".join(text for text in (check.note, note) if text)), cause


def _is_short(pair: Pair, m: int, n: int) -> bool:
    """Tell whether comparing all entries is quick, by their number and the time that calls have taken."""
    took = n * pair.forward.seconds / pair.forward.calls + m * pair.adjoint.seconds / pair.adjoint.calls
    return m * n <= _MOST_ENTRIES and m + n <= _MOST_CALLS and took <= _MOST_SECONDS


def _shape(pair: Pair) -> tuple[int, ...]:
    return (*pair.adjoint.takes.seen, *pair.forward.takes.seen)


def _index(pair: Pair, place: Place) -> tuple[int, ...]:
    rows, columns = pair.adjoint.takes.seen, pair.forward.takes.seen
    found = (*np.unravel_index(place.i, rows), *np.unravel_index(place.j, columns))
    return tuple(int(k) for k in found)


def _along(pair: Pair, probes: list[Probe]) -> ArrayCheck:
    """Compare along random directions; if the sides differ, find an entry that differs."""
    off = [p.difference for p in probes]
    size = max(p.size for p in probes)
    relative = max((p.difference / p.size for p in probes if p.size), default=0.0)
    fields: dict[str, Any] = {
        "mean_difference": float(np.mean(off)),
        "max_difference": max(off),
        "max_relative": relative,
        "error_bar": max(p.bar for p in probes),
    }
    known = ("A", _shape(pair), "directions", len(probes))
    if size == 0:
        return ArrayCheck(*known, "vacuous", **fields)  # type: ignore[arg-type]
    suspects = sorted((p for p in probes if p.suspect), key=lambda p: -p.difference / p.bar)
    for probe in suspects[:2]:
        place = pair.locate(probe)
        if place.differs:
            fields |= _both(pair, place)
            if max(relative, place.relative) <= pair.small and pair.is_spread(probe):
                return ArrayCheck(*known, "unresolved", note=_SMALL, **fields)  # type: ignore[arg-type]
            return ArrayCheck(*known, "wrong", **fields)  # type: ignore[arg-type]
    if suspects:
        fields["error_bar"] = max(p.bar + p.granted for p in probes)
    if any(p.differs for p in probes):
        if relative <= pair.small:
            return ArrayCheck(*known, "unresolved", note=_SMALL, **fields)  # type: ignore[arg-type]
        return ArrayCheck(*known, "wrong", note=_NO_PLACE, **fields)  # type: ignore[arg-type]
    resolved = all(p.size == 0 or p.resolved for p in probes)
    return ArrayCheck(*known, "right" if resolved else "unresolved", note="" if resolved else _HIDDEN, **fields)  # type: ignore[arg-type]


def _both(pair: Pair, place: Place) -> dict[str, Any]:
    """Give the index of a place, with the values of both sides, complex if they are complex."""
    real = not pair.forward.takes.is_complex
    ahead, back = (z.real if real else z for z in (place.ahead, place.back))
    return {"where": _index(pair, place), "analytic": back, "numeric": ahead, "bar": place.bar}


@dataclass(frozen=True)
class Entries(Matrices):
    """All entries, each with its scale: the smaller of the largest in its row and the largest in its column."""

    beside: FloatArray


def _entry_by_entry(pair: Pair, probes: list[Probe]) -> tuple[ArrayCheck, Entries]:
    """Compare all entries: A of every unit array, and A* of every unit array."""
    m, n = pair.adjoint.takes.size, pair.forward.takes.size
    ahead = np.stack([pair.forward(unit(pair.forward, j)).reshape(-1) for j in range(n)], axis=1)
    back = np.conj(np.stack([pair.adjoint(unit(pair.adjoint, i)).reshape(-1) for i in range(m)]))
    sizes = np.maximum(np.abs(ahead), np.abs(back))
    beside = np.minimum(sizes.max(axis=1, keepdims=True), sizes.max(axis=0, keepdims=True))
    bar = pair.own * beside + OWN * pair.least
    off = np.abs(ahead - back)
    place = None
    for _ in range(_MOST_LOOKED_AT):
        excess = np.where(off > bar + pair.tolerance * beside, off / np.where(beside > 0, beside, 1), 0)
        at = int(excess.argmax())
        if not excess.reshape(-1)[at]:
            break
        place = pair.place(*divmod(at, n))
        if place.differs:
            break
        # The noise of one entry is about that of all, relative to their rows and columns.
        bar = np.maximum(bar, place.bar / beside.reshape(-1)[at] * beside)
        place = None
    entries = Entries(ahead, back, bar + pair.tolerance * beside, beside)
    return _judged(pair, entries, off, place, probes), entries


def _judged(pair: Pair, e: Entries, off: FloatArray, place: Place | None, probes: list[Probe]) -> ArrayCheck:
    sizes = np.maximum(np.abs(e.ahead), np.abs(e.back))
    seen = sizes > e.bar / WIDEST
    relative = np.where(sizes > 0, off / np.where(sizes > 0, sizes, 1), 0)
    fields: dict[str, Any] = {
        "mean_difference": float(off.mean()),
        "max_difference": float(off.max()),
        "max_relative": float(np.where(seen | (off > e.bar), relative, 0).max()),
        "error_bar": float(e.bar.max()),
        "relative": np.where(off > e.bar, relative, 0).reshape(_shape(pair)),
    }
    known = ("A", _shape(pair), "full", off.size)
    if not sizes.any():
        return ArrayCheck(*known, "vacuous", **fields)  # type: ignore[arg-type]
    if place is not None:
        fields |= _both(pair, place)
        shares = off / np.where(e.beside > 0, e.beside, 1)
        if shares.max() <= pair.small and pair.is_spread(max(probes, key=lambda p: p.difference / (p.bar or 1.0))):
            return ArrayCheck(*known, "unresolved", note=_SMALL, **fields)  # type: ignore[arg-type]
        return ArrayCheck(*known, "wrong", **fields)  # type: ignore[arg-type]
    hidden = bool((e.bar > (WIDEST + pair.tolerance) * e.beside)[e.beside > 0].any())
    if not hidden and any(p.resolved and p.differs for p in probes):
        if all(p.difference <= pair.small * p.size for p in probes):
            return ArrayCheck(*known, "unresolved", note=_SMALL, **fields)  # type: ignore[arg-type]
        return ArrayCheck(*known, "wrong", note=_NO_PLACE, **fields)  # type: ignore[arg-type]
    return ArrayCheck(*known, "unresolved" if hidden else "right", note=_HIDDEN if hidden else "", **fields)  # type: ignore[arg-type]


# --- the report ---


def _made(
    operator: Operator, settings: Settings, arrays: tuple[ArrayCheck, ...], contracts: Contracts, cause: str | None
) -> GradientReport:
    broken = [c for c in contracts.all() if c.held is False and c.cause]
    causes = [str(c.cause) for c in broken if not c.hazard] + ([cause] if cause else [])
    causes.sort(key=lambda text: text.startswith(_LAST))
    hazards = sorted((str(c.cause) for c in broken if c.hazard), key=lambda text: text == "loses digits")
    # matmat keeps one column while it makes the next, so a buffer that is filled again makes it wrong.
    causes = (
        hazards + causes
        if causes == ["other ways differ"] and "overwrites its last result" in hazards
        else causes + hazards
    )
    return GradientReport(
        subject=operator.name,
        kind="adjoint",
        arrays=arrays,
        contracts=contracts.all(),
        cause=causes[0] if causes else None,
        notes=tuple(operator.notes),
        strict=settings.strict,
        settings={
            "inputs": f"x {operator.domain.shape}, y {operator.range.shape}",
            "dtype": " to ".join(dict.fromkeys(str(space.dtype) for space in (operator.domain, operator.range))),
            "mode": settings.mode,
            "directions": settings.directions,
            "seed": settings.seed,
            "tolerance": settings.tolerance,
        },
    )
