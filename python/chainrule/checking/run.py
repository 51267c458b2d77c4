"""The order of a check: contracts, then the numeric side against the subject's own gradients, then where and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.batches import SECOND_BATCH, other_batches
from chainrule.checking.comparison import Comparison, Settings
from chainrule.checking.contracts import Trial, keep_contracts
from chainrule.checking.report import ArrayCheck, GradientReport
from chainrule.checking.state import Arrays, Randomness, reachable
from chainrule.checking.subjects import NetworkSubject, Subject, adapt, place_not_finite
from chainrule.checking.walk import first_faulty_layer

#: No script draws its own data from this: a cotangent equal to the data would hide a mistake.
_SEED = 0x636861696E
#: What is the consequence of another mistake as often as a mistake itself is named last.
_CONSEQUENCES = ("overwrites its last result", "aliases", "not linear in dout", "wrong dtype")


def check(thing: Any, arguments: Sequence[Any], settings: Settings) -> GradientReport:
    """Check a layer, a network or a pair; see `chainrule.check_gradients`."""
    subject, things = adapt(thing, arguments), list(reachable(thing))
    arrays, randomness = Arrays(list(subject.parameters.values()), things), Randomness(things)
    rng = np.random.default_rng([settings.seed, _SEED])

    def alone(name: str, layer: Any, inputs: tuple[Any, ...], dout: float | None) -> GradientReport | None:
        try:
            part = adapt(layer, inputs)
        except (TypeError, ValueError):  # nothing to differentiate by
            return None
        part.name = name
        return _report(part, settings, Randomness(reachable(layer)), rng, dout)

    with _left_as_found(subject, arrays, randomness), np.errstate(all="ignore"):
        report = _report(subject, settings, randomness, rng)
        if report.verdict == "wrong" and isinstance(subject, NetworkSubject):
            layer, found, note = first_faulty_layer(subject, alone, randomness)
            notes = (*report.notes, note) if note else report.notes
            cause = found.cause if found is not None and found.cause else report.cause
            report = replace(report, layer=layer, cause=cause, notes=notes)
    return report


@contextmanager
def _left_as_found(subject: Subject, arrays: Arrays, randomness: Randomness) -> Iterator[None]:
    """Put every array and generator back at the end, whatever happens."""
    try:
        yield
    except Exception as error:
        error.add_note(f"raised while the gradients of {subject.name} were checked; its arrays are as before the check")
        raise
    finally:
        try:
            arrays.restore()
        finally:
            randomness.restore()


def _report(
    subject: Subject, settings: Settings, randomness: Randomness, rng: np.random.Generator, dout: float | None = None
) -> GradientReport:
    """Do it all, but for finding the layer of a network; `dout`, if given, is sent back instead of random numbers."""
    trial = Trial(subject, randomness)
    outputs = trial.outputs()
    _expect_finite(subject, outputs)
    randomness.look(reachable(subject.thing))
    douts = subject.cotangents(outputs, rng)
    if dout is not None:
        douts = [np.full_like(given, dout)[()] for given in douts]
    answer, repeatable = keep_contracts(trial, douts, rng)
    comparison = Comparison(subject, settings, randomness, rng)
    arrays: tuple[ArrayCheck, ...] = ()
    if repeatable:
        careful = not trial.broken.keys().isdisjoint(("inputs unchanged", "parameters unchanged"))
        arrays = comparison.all(answer, douts, careful)
        arrays = other_batches(comparison, trial, arrays, answer, douts)
    else:
        comparison.notes.append("nothing was compared: differences of a function that changes by itself say nothing")
        trial.skips(SECOND_BATCH, "the outputs change by themselves")
    contracts = trial.results()
    causes = [c.cause for c in contracts if c.cause] + [a.cause for a in arrays if a.cause]
    causes.sort(key=lambda cause: cause.startswith(_CONSEQUENCES))
    return GradientReport(
        subject=subject.name,
        kind=subject.kind,
        arrays=arrays,
        contracts=contracts,
        cause=causes[0] if causes else None,
        notes=tuple(comparison.notes),
        settings=_facts(subject, settings),
    )


def _facts(subject: Subject, settings: Settings) -> dict[str, Any]:
    return {
        "inputs": ", ".join(f"{n} {a.shape}" for n, a in subject.inputs.items() if isinstance(a, np.ndarray)),
        "dtype": "float32" if subject.single else "float64",
        "mode": settings.mode,
        "seed": settings.seed,
        "tolerance": settings.tolerance,
    }


def _expect_finite(subject: Subject, outputs: Sequence[FloatArray]) -> None:
    for out in outputs:
        at = place_not_finite(out)
        if at is not None:
            given = f"{out[tuple(at)]}{f' at {at}' if at else ''}"
            raise ValueError(
                f"{subject.name}: {subject.forward_name} gives {given} for these arguments; a gradient can be checked"
                " where it is finite only"
            )
