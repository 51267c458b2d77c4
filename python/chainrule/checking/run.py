"""The order of a check: contracts, then the numeric side against the subject's own gradients, then where and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.batches import SECOND_BATCH, Batches
from chainrule.checking.calls import labels_wanted
from chainrule.checking.comparison import Comparison, Settings
from chainrule.checking.contracts import Trial, try_contracts
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.reader import Asked
from chainrule.checking.report import ArrayCheck, GradientReport
from chainrule.checking.state import State
from chainrule.checking.subject import Subject
from chainrule.checking.subjects import adapt, readings
from chainrule.checking.values import place_not_finite
from chainrule.checking.workers import Workers

#: No script draws its own data from this: a cotangent equal to the data would hide a mistake.
_SEED = 0x636861696E
#: What is the consequence of another mistake as often as a mistake itself is named last.
_CONSEQUENCES = ("overwrites its last result", "aliases", "not linear in dout", "wrong dtype", "not symmetric")
#: Hazards that change no number.
_NO_NUMBERS = ("aliases", "wrong shape")
#: What may be the cause of wrong numbers, and is named before what the numbers look like.
_ROOTS = ("writes into", "accumulates", "stale batch", "not deterministic")
#: Causes that another way to understand a subject would explain as well.
_PLAIN = ("factor", "zero", "transposed", "no sum")


def check(
    thing: Any, arguments: Sequence[Any], settings: Settings, asked: Asked, progress: bool = False
) -> GradientReport:
    """Check whatever it is; see `chainrule.check_gradients`."""
    if progress:
        from tqdm.auto import tqdm  # takes a third as long to import as everything else

        with tqdm(desc="checking", unit=" evaluations", delay=1, leave=False) as bar:
            return check(thing, arguments, replace(settings, tell=bar.update), asked)
    found = reach(subject=thing, arguments=list(arguments))
    first, randomness = State(found), Randomness(found)
    with _left_as_found(thing, first, randomness, settings.workers), np.errstate(all="ignore"):
        ways = readings(thing, arguments, asked, randomness)
        ready = State(reach(subject=thing)) if len(ways) > 1 else None  # with what its first forward pass makes
        reports: list[GradientReport] = []
        refusal: TypeError | None = None
        for i, subject in enumerate(ways):
            if ready is not None:
                ready.restore()
            try:
                reports.append(_whole_report(subject, settings, randomness, first))
            except Exception as error:  # as one way to call it may raise; but not all
                refusal = refusal or subject.refusal(error)
                if reports or i < len(ways) - 1:
                    continue
                if refusal is not None:
                    raise refusal from error
                raise
            if ways[0].unsure:
                continue
            if reports[0].verdict != "wrong" or reports[-1].verdict == "right":
                break
        report = chosen(reports, subject.surely or _is_nonlinear(reports[0]))
        labels = ways[0].labels  # y may be the gradient of y; but of labels nothing is linear
        if report.verdict == "wrong" and labels and (len(labels) > 1 or _is_nonlinear(reports[0])):
            raise TypeError(labels_wanted(ways[0]))
        return report


def chosen(reports: Sequence[GradientReport], sure: bool) -> GradientReport:
    """Give the report that counts, of those of a subject that can be understood in several ways.

    That is the first way, unless another agrees. If a plain mistake explains the difference in one before that, such as
    a minus or 1/N, it cannot be known which of the two was meant: then nothing is proved.
    """
    usual, last = reports[0], reports[-1]
    if usual.verdict == "right" and last.verdict == "wrong" and _is_plain(last):
        usual, last = last, usual  # as likely
    if last is usual or last.verdict != "right":
        return usual
    other_way = last.notes[0] if last.notes else "it is meant otherwise"
    usual = next((report for report in reports if report is not last and _is_plain(report)), usual)
    if sure and not _is_plain(usual):
        return last
    note = (
        f"right if {other_way}; if not, {usual.cause or 'wrong'}: say which with wrt=, or hand over a pair of functions"
    )
    arrays = tuple(replace(a, verdict="unresolved" if a.verdict == "right" else a.verdict) for a in last.arrays)
    return replace(last, arrays=arrays, notes=(note, *last.notes[1:]))


def _is_plain(report: GradientReport) -> bool:
    """Tell whether what is wrong is explained by a plain mistake."""
    return report.verdict == "wrong" and (report.cause or "").startswith(_PLAIN)


def _is_nonlinear(report: GradientReport) -> bool:
    """Tell whether what was called with dout cannot be meant to be: what comes back is not linear in it."""
    return any(c.cause == "not linear in dout" for c in report.contracts if c.held is False)


def _whole_report(subject: Subject, settings: Settings, randomness: Randomness, first: State) -> GradientReport:
    """Check one way of understanding it; of a network that is wrong, look for the layer."""
    rng = np.random.default_rng([settings.seed, _SEED])

    def alone(name: str, layer: Any, inputs: tuple[Any, ...], dout: float | None) -> GradientReport | None:
        try:
            inner = adapt(layer, inputs)
        except (TypeError, ValueError):  # nothing to differentiate by
            return None
        inner.name = name
        return _report(inner, settings, Randomness(reach(subject=layer)), rng, first, dout)

    report = _report(subject, settings, randomness, rng, first)
    searched = subject.faulty_layer(alone, randomness, first) if report.verdict == "wrong" else None
    if searched is None:
        return report
    layer, found, note = searched
    notes = (*report.notes, note) if note else report.notes
    return replace(report, layer=layer, cause=(found.cause if found is not None else None) or report.cause, notes=notes)


@contextmanager
def as_before(thing: Any, arguments: Sequence[Any]) -> Iterator[None]:
    """Put back what calls of a subject change that are made to learn about it, before its check."""
    found = reach(subject=thing, arguments=list(arguments))
    with _left_as_found(thing, State(found), Randomness(found), None):
        yield


@contextmanager
def _left_as_found(thing: Any, first: State, randomness: Randomness, workers: Workers | None) -> Iterator[None]:
    """Put every array and generator back at the end, whatever happens."""
    try:
        yield
    except Exception as error:
        if _is_ours(error):
            raise
        first_of = thing[0] if isinstance(thing, tuple) and thing else thing
        name = getattr(first_of, "__name__", type(first_of).__name__)
        error.add_note(f"raised while the derivatives of {name} were checked; its arrays are as before the check")
        if isinstance(error, AssertionError):
            error.add_note("each number is moved a little: what is asserted has to hold for numbers near by as well")
        raise
    finally:
        if workers is not None:
            workers.close()
        try:
            first.restore_arrays()
        finally:
            randomness.restore()


def _is_ours(error: Exception) -> bool:
    """Tell whether it was raised here, about what was handed over, and not by the code that is checked."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and str(frame.tb_frame.f_globals.get("__name__")).startswith("chainrule.")


def _report(
    subject: Subject, settings: Settings, randomness: Randomness, rng: np.random.Generator, first: State,
    dout: float | None = None,
) -> GradientReport:  # fmt: skip
    """Do it all, but for finding the layer of a network; `dout`, if given, is sent back instead of random numbers."""
    trial = Trial(subject, randomness)
    outputs = trial.outputs()
    _expect_finite(subject, outputs)
    if randomness.look(reach(subject=subject.thing)):
        outputs = trial.outputs()  # from the states that all others will see
    douts = subject.cotangents(outputs, rng)
    if dout is not None:
        douts = [np.full_like(given, dout)[()] for given in douts]
    answer, repeatable = try_contracts(trial, outputs, douts, rng)
    comparison = (subject.comparison() or Comparison)(subject, settings, randomness, rng)
    arrays: tuple[ArrayCheck, ...] = ()
    if repeatable:
        careful = not trial.broken.keys().isdisjoint(("inputs unchanged", "parameters unchanged"))
        arrays = comparison.all(answer, douts, careful)
        if subject.at_one_point:
            trial.skips(SECOND_BATCH, "the derivatives are given for these numbers alone")
        else:
            arrays = Batches(comparison, trial, answer, douts, first).tried(arrays)
        arrays = comparison.in_another_order(arrays, answer)
        for contract, (detail, cause) in comparison.hazards.items():
            trial.breaks(contract, detail, cause, hazard=True)
    else:
        comparison.notes.append("nothing was compared: differences of a function that changes by itself say nothing")
        trial.skips(SECOND_BATCH, "the outputs change by themselves")
    contracts = trial.results()
    hazards = [c.cause for c in contracts if c.cause and c.hazard]
    causes = [c.cause for c in contracts if c.cause and not c.hazard] + [a.cause for a in arrays if a.cause]
    if dout is not None and any(a.verdict == "wrong" for a in arrays):  # what is true, and explains nothing here
        causes = [cause for cause in causes if cause != "dout ignored"]
    causes.sort(key=lambda cause: 2 * cause.startswith(_CONSEQUENCES) + cause.startswith(_ROOTS) * -1)
    differs = any(a.verdict == "wrong" for a in arrays)
    causes += [cause for cause in hazards if not (differs and cause.startswith(_NO_NUMBERS))]
    return GradientReport(
        subject=subject.name,
        kind=subject.kind,
        arrays=arrays,
        contracts=contracts,
        cause=causes[0] if causes else None,
        notes=(*subject.read_as, *_order_of(subject), *comparison.notes),
        not_compared=(*subject.unseen, *comparison.not_compared),
        held_fixed=(*comparison.held_fixed, *subject.held_fixed),
        strict=settings.strict,
        settings=_facts(subject, settings),
        line=comparison.taylor,
    )


def _order_of(subject: Subject) -> tuple[str, ...]:
    """Say in which order the gradients are read that were returned in another than the arguments'."""
    order = subject.told_order
    if not order or subject.read_as:
        return ()
    return (f"what {subject.backward_name} gives is read as the gradients of {', '.join(order)}, in this order",)


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
