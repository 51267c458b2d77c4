"""Which checker sees which mistake: five of them on the wrong and right cases of tests/mutants.

Run it: ``python benchmarks/checkers.py``. It prints Markdown tables, writes target/checkers.json, and times nothing.

===========  ===================================================================================================
chainrule    `check_gradients`, strict: killed if the report is not ok; for a wrong case that is, or looks, vacuous or
             at a kink, "nothing proved" counts. A false alarm is a right case called wrong.
tutorial     The tutorial's figure, the mean of abs(backprop - numeric) of each array, by its `numerical_gradient`
             (h = 1e-4). It takes losses; of the outputs of a layer, the sum with random weights is one.
all ones     What DeZero's `gradient_check` does: ones are sent back, central differences with h = 1e-4 of the sum,
             `numpy.allclose` with rtol = 1e-4 and atol = 1e-5; here for parameters too.
PyTorch      `torch.autograd.gradcheck` as it comes (eps = 1e-6, atol = 1e-5, rtol = 1e-3), forward and backward
             wrapped in an `autograd.Function`. It asks for float64.
SciPy        `scipy.optimize.check_grad` as it comes, a figure too, for pairs.
===========  ===================================================================================================

A figure needs a threshold. Each is read twice: at 1e-6, and at the smallest threshold without a false alarm, for which
it may look at the right cases first. An exception on a wrong case counts as killed, on a right one as a case that
cannot be run.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from results import ROOT, TARGET, pipes, wrapped, write

from chainrule import GradientReport, check_gradients
from chainrule.checking.subjects import Subject, adapt

sys.path.insert(0, str(ROOT / "tests"))
from mutants import HAZARDS, RIGHT, WRONG, Case
from seed_reference import numerical_gradient

#: As gradients look from outside.
SEEN_AS = {"mean for sum": "factor 1/N", "sum for mean": "factor N"}
FIXED = 1e-6


class CannotRunError(Exception):
    """The checker does not take this kind of case, or it is not installed."""


@dataclass
class Checker:
    """A checker, and what it said.

    Attributes
    ----------
    name : str
    figure : callable
        Given a case and its `Subject`, gives a number: the larger, the more wrong; or raises `CannotRunError`.
    threshold : float
        What the number may be at most.
    figures : dict of str to float or None
        By the name of the case; None where it cannot run.
    """

    name: str
    figure: Callable[[Case, Subject], float]
    threshold: float = 0.5
    figures: dict[str, float | None] = field(default_factory=dict)

    def run(self, case: Case, wrong: bool) -> None:
        """Ask about one case; a verdict is 0 or 1."""
        try:
            subject = adapt(case.make(), case.arguments(np.random.default_rng(0)))
            self.figures[case.name] = float(self.figure(case, subject))
        except CannotRunError:
            self.figures[case.name] = None
        except Exception:  # whatever a checker or a mutant raises: it has been noticed
            self.figures[case.name] = np.inf if wrong else None

    def kills(self, case: Case) -> bool:
        """Tell whether it calls a case wrong; nan is not right."""
        figure = self.figures[case.name]
        return figure is not None and not figure <= self.threshold

    def charitable(self) -> Checker:
        """Give the same with the smallest threshold that raises no false alarm."""
        least = max((f for case in RIGHT if (f := self.figures[case.name]) is not None), default=0.0)
        return Checker(f"{self.name} ≤ {least:.2g}", self.figure, least, self.figures)


# --- the checkers ---


def main() -> None:
    """Run them all, print, and write the JSON."""
    reports: dict[str, GradientReport] = {}
    checkers = [
        Checker("chainrule", lambda case, _: ours(case, reports)),
        Checker(f"tutorial ≤ {FIXED:g}", tutorial, FIXED),
        Checker("all ones", all_ones),
        Checker("PyTorch", pytorch),
        Checker(f"SciPy ≤ {FIXED:g}", scipy, FIXED),
    ]
    missing = [name for name, module in (("PyTorch", "torch"), ("SciPy", "scipy")) if find_spec(module) is None]
    checkers = [c for c in checkers if not c.name.startswith(tuple(missing))]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for checker in checkers:
            for case in WRONG + RIGHT:
                checker.run(case, case in WRONG)
    for name in ("tutorial", "SciPy"):
        at = next((i for i, c in enumerate(checkers) if c.name.startswith(name)), None)
        if at is not None:
            charitable = checkers[at].charitable()
            charitable.name = charitable.name.replace(f" ≤ {FIXED:g}", "", 1)
            checkers.insert(at + 1, charitable)
    found = {"overall": overall(checkers), "by cause": by_cause(checkers), "chainrule": precision(reports)}
    print(f"### {len(WRONG)} wrong and {len(RIGHT)} right cases\n\n{pipes(found['overall'])}\n")
    print(f"### Killed, by kind of mistake\n\n{pipes(found['by cause'])}\n")
    print(f"### What `check_gradients` says beside wrong or right\n\n{pipes(found['chainrule'])}\n")
    for name in missing:
        print(wrapped(f"{name} is not installed and was left out."))
    cases = {c.name: {n: f if f is None or np.isfinite(f) else str(f) for n, f in c.figures.items()} for c in checkers}
    write({**found, "missing": missing, "figures": cases}, TARGET / "checkers.json")


def ours(case: Case, reports: dict[str, GradientReport]) -> float:
    """Give 1 if our check says what a checker should: not ok for a wrong case, wrong for a right one."""
    report = check_gradients(case.make(), *case.arguments(np.random.default_rng(0)), strict=True)
    reports[case.name] = report
    if case in RIGHT or case.expect == "fails":
        return report.verdict == "wrong"
    return report.verdict != "right"


def tutorial(case: Case, subject: Subject) -> float:
    """Give the largest mean of abs(backprop - numeric) of any array."""
    weights = [_typed(np.random.default_rng(1).standard_normal(out.shape), out) for out in subject.outputs()]
    if subject.kind != "layer":
        weights = [np.float64(1)]

    def f(_: Any) -> float:
        return sum(float((w * out).sum()) for w, out in zip(weights, subject.outputs(), strict=True))

    return max(
        float(np.abs(claimed - numerical_gradient(f, array)).mean()) if array.size else 0.0
        for claimed, array in claims(subject, weights)
    )


def all_ones(case: Case, subject: Subject) -> float:
    """Send back ones; give 1 if any gradient is not close to the differences of the sum of the outputs."""
    ones = [np.ones_like(out)[()] for out in subject.outputs()]

    def f(_: Any) -> float:
        return sum(float(out.sum()) for out in subject.outputs())

    for claimed, array in claims(subject, ones):
        numeric = central(f, array, 1e-4)
        if claimed.shape != array.shape or not np.allclose(claimed, numeric, rtol=1e-4, atol=1e-5):
            return 1.0
    return 0.0


def pytorch(case: Case, subject: Subject) -> float:
    """Give 1 if gradcheck returns False or raises."""
    import torch

    arrays = list(subject.arrays.values())
    if any(array.dtype != np.float64 for array in arrays):
        raise CannotRunError
    unasked = subject.gradients([np.ones_like(out)[()] for out in subject.outputs()]).unasked
    names = [name for name in subject.arrays if name not in unasked]

    def put(tensors: Sequence[Any]) -> None:
        for name, tensor in zip(names, tensors, strict=True):
            np.copyto(subject.arrays[name], tensor.detach().numpy())

    class Wrapped(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            ctx.save_for_backward(*tensors)
            put(tensors)
            return tuple(torch.from_numpy(np.array(out, np.float64)) for out in subject.outputs())

        @staticmethod
        def backward(ctx: Any, *douts: Any) -> Any:
            put(ctx.saved_tensors)
            given = [np.array(dout.numpy())[()] for dout in douts]
            if subject.kind != "layer":  # its gradient takes no dout: that of the loss is multiplied by it
                found = subject.gradients([np.float64(1)]).gradients
                return tuple(torch.from_numpy(np.array(given[0] * found[name], np.float64)) for name in names)
            found = subject.gradients(given).gradients
            return tuple(torch.from_numpy(np.array(found[name], np.float64)) for name in names)

    tensors = [torch.from_numpy(np.array(subject.arrays[name])).requires_grad_() for name in names]
    return not torch.autograd.gradcheck(Wrapped.apply, tensors, raise_exception=False)


def scipy(case: Case, subject: Subject) -> float:
    """Give check_grad's figure for a pair, its arguments put end to end."""
    from scipy.optimize import check_grad

    if case.kind != "pair" or any(a.dtype != np.float64 for a in subject.arrays.values()):
        raise CannotRunError
    arrays = list(subject.arrays.values())

    def put(x: Any) -> None:
        start = 0
        for array in arrays:
            array[...] = x[start : start + array.size].reshape(array.shape)
            start += array.size

    def f(x: Any) -> float:
        put(x)
        return float(subject.outputs()[0])

    def gradient(x: Any) -> Any:
        put(x)
        return np.concatenate([np.ravel(claimed) for claimed, _ in claims(subject, [np.float64(1)])])

    return float(check_grad(f, gradient, np.concatenate([a.ravel() for a in arrays])))


# --- what they share ---


def claims(subject: Subject, douts: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Give, for each array that has one, a copy of the subject's own gradient, and the array."""
    answer = subject.gradients([np.array(dout)[()] for dout in douts])
    names = [name for name in subject.arrays if name not in answer.unasked]
    return [(np.array(answer.gradients[name], np.float64), subject.arrays[name]) for name in names]


def central(f: Callable[[Any], float], x: Any, h: float) -> Any:
    """Give (f(x + h) - f(x - h)) / 2h for each entry."""
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        before = x[index]
        x[index] = before + h
        above = f(x)
        x[index] = before - h
        slopes[index] = (above - f(x)) / (2 * h)
        x[index] = before
    return slopes


def _typed(values: Any, like: Any) -> Any:
    return np.asarray(values, like.dtype)


# --- tables ---


def overall(checkers: Sequence[Checker]) -> list[dict[str, str]]:
    """Give a row for each checker."""
    rows = []
    for c in checkers:
        unable = [sum(c.figures[case.name] is None for case in cases) for cases in (WRONG, RIGHT)]
        rows.append(
            {
                "checker": c.name,
                f"killed of {len(WRONG)}": str(sum(map(c.kills, WRONG))),
                f"false alarms on {len(RIGHT)}": str(sum(map(c.kills, RIGHT))),
                "cannot run (wrong)": str(unable[0]),
                "cannot run (right)": str(unable[1]),
            }
        )
    return rows


def by_cause(checkers: Sequence[Checker]) -> list[dict[str, str]]:
    """Give a row for each kind of mistake, the most frequent first."""
    counts = Counter(case.cause for case in WRONG)
    rows = []
    for cause, number in counts.most_common():
        cases = [case for case in WRONG if case.cause == cause]
        killed = {c.name: str(sum(map(c.kills, cases))) for c in checkers}
        rows.append({"mistake": cause or "no short cause", "cases": str(number), **killed})
    return rows


def precision(reports: dict[str, GradientReport]) -> list[dict[str, str]]:
    """Give how often the place and the cause were right, and what was found vacuous or at a kink."""
    known = [case for case in WRONG if case.name in reports]
    networks = [case for case in known if case.layer is not None]
    caused = [case for case in known if case.cause is not None]
    flagged = [case for case in WRONG + RIGHT if case.expect in ("vacuous", "kink")]
    proved = [case for case in RIGHT if case.expect == "passes"]
    counts = {
        "first wrong array": (sum(_array(case, reports[case.name]) for case in known), known),
        "faulty layer": (sum(reports[case.name].layer == case.layer for case in networks), networks),
        "cause, where there is a short one": (sum(_cause(case, reports[case.name]) for case in caused), caused),
        "vacuous or kink, where it is": (sum(_flagged(reports, case) for case in flagged), flagged),
        "ok, where right and provable": (sum(bool(reports.get(case.name)) for case in proved), proved),
    }
    return [{"right": what, "cases": f"{n} of {len(cases)}"} for what, (n, cases) in counts.items()]


def _array(case: Case, report: GradientReport) -> bool:
    wrong = [a.name for a in report.arrays if a.verdict == "wrong"]
    if case.name in HAZARDS:
        return not wrong  # its numbers are right
    if case.parameter is None or not wrong:
        return (case.parameter is None and not wrong) or case.expect != "fails"
    subject = adapt(case.make(), case.arguments(np.random.default_rng(0)))
    names = list(subject.inputs)
    aliases = {name: ("xy"[i] if len(names) <= 2 else f"x{i}") for i, name in enumerate(names)}
    return case.parameter in (wrong[0], aliases.get(wrong[0]))


def _cause(case: Case, report: GradientReport) -> bool:
    return SEEN_AS.get(case.cause or "", case.cause or "") in (report.cause or "")


def _flagged(reports: dict[str, GradientReport], case: Case) -> bool:
    verdicts = {a.verdict for a in reports[case.name].arrays} if case.name in reports else set()
    return case.expect in verdicts


if __name__ == "__main__":
    main()
