"""What checkers say of code as the public writes it: the samples of tests/wild, right ones and their wrong versions.

Run it: ``python benchmarks/in_the_wild.py``. It prints Markdown tables and writes target/in_the_wild.json.

`check_gradients` is handed the subject as it is. The others do not take such subjects: each is handed what the sample's
own adapter gives, which knows where parameters and gradients are. They are those of checkers.py, and JAX's
`jax.test_util.check_vjp`, which is what `check_grads` calls for the way back, as it comes. The adapter freezes no
generator for them: a right dropout is called wrong.

A verdict is "right", "wrong" or none: "unproven" of our check, an error of any on a right subject, or a kind of subject
that a checker does not take. An error on a wrong subject counts as caught by the others, as in checkers.py, and as none
of ours.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
from checkers import CannotRunError, all_ones, pytorch, scipy, tutorial
from results import TARGET, pipes, wrapped, write

from chainrule import check_gradients
from wild import FAULTS, RIGHT, WRONG, Sample
from wild.sample import Run

#: What the tutorial's figure and SciPy's may be at most.
FIXED = 1e-6
#: The package that each of the others needs.
PACKAGES = {"PyTorch": "torch", "SciPy": "scipy", "JAX": "jax"}

Verdict = str | None


class Adapted:
    """A sample as checkers.py wants a subject."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.arrays: dict[str, Any] = run.arrays
        self.outputs = run.outputs
        self.kind = "layer" if run.sample.calls.seeded else "pair"

    def gradients(self, douts: Sequence[Any], **_: Any) -> Any:
        """Give the subject's own gradients; all of its arrays have one."""
        return SimpleNamespace(gradients=self.run.gradients(douts), unasked=())


def main() -> None:
    """Ask all checkers about all samples, print, and write the JSON."""
    others: dict[str, Callable[[Any, Any], float]] = {
        f"tutorial ≤ {FIXED:g}": lambda case, subject: tutorial(case, subject) > FIXED,
        "all ones": all_ones,
        "PyTorch": pytorch,
        f"SciPy ≤ {FIXED:g}": lambda case, subject: scipy(case, subject) > FIXED,
        "JAX": jax_grads,
    }
    missing = [name for name, package in PACKAGES.items() if find_spec(package) is None]
    others = {name: figure for name, figure in others.items() if not name.startswith(tuple(missing))}
    asked: dict[str, Callable[[Sample], Verdict]] = {"chainrule": ours}
    asked |= {name: lambda sample, figure=figure: other(sample, figure) for name, figure in others.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        verdicts = {name: {s.name: ask(s) for s in (*RIGHT, *WRONG, *FAULTS)} for name, ask in asked.items()}
    tables = {"overall": overall(verdicts), "by convention": by_convention(verdicts["chainrule"])}
    tables["caught, by convention"] = caught(verdicts)
    print(f"### In the wild: {len(RIGHT)} right subjects, {len(WRONG) + len(FAULTS)} wrong ones\n")
    print(f"{pipes(tables['overall'])}\n")
    print(f"### `check_gradients`, by convention\n\n{pipes(tables['by convention'])}\n")
    print(f"### Wrong versions caught, by convention\n\n{pipes(tables['caught, by convention'])}\n")
    for name in missing:
        print(wrapped(f"{name} is not installed and was left out."))
    write({**tables, "missing": missing, "verdicts": verdicts}, TARGET / "in_the_wild.json")


# --- the checkers ---


def ours(sample: Sample) -> Verdict:
    """Give the verdict of `check_gradients` on the subject as it is; None if it is unproven or refused."""
    try:
        report = check_gradients(sample.make(), *sample.arguments(np.random.default_rng(0)), **sample.options)
    except Exception:  # a refusal, or a subject's own error
        return None
    return report.verdict if report.verdict != "unproven" else None


def other(sample: Sample, figure: Callable[[Any, Any], float]) -> Verdict:
    """Give the verdict of another checker on the adapted subject."""
    try:
        subject = Adapted(sample.run(frozen=False))
        wrong = figure(SimpleNamespace(name=sample.name, kind=subject.kind), subject)
    except CannotRunError:
        return None
    except Exception:  # as in checkers.py: an error has been noticed
        return "wrong" if sample.truth == "wrong" else None
    return "wrong" if wrong else "right"


def jax_grads(case: Any, subject: Adapted) -> float:
    """Give 1 if check_vjp raises AssertionError."""
    import jax
    from jax.test_util import check_vjp

    arrays = subject.arrays.values()
    if any(array.dtype != np.float64 for array in arrays):
        raise CannotRunError
    jax.config.update("jax_enable_x64", True)

    def f(*values: Any) -> Any:
        for array, value in zip(arrays, values, strict=True):
            np.copyto(array, value)
        return tuple(np.asarray(out, np.float64) for out in subject.outputs())

    def f_vjp(*values: Any) -> Any:
        def back(douts: Any) -> Any:
            f(*values)  # other values have been put since
            given = [np.asarray(dout) for dout in douts] if subject.kind == "layer" else [np.float64(1)]
            scale = 1.0 if subject.kind == "layer" else np.asarray(douts[0])
            found = subject.gradients(given).gradients
            return tuple(np.asarray(scale * found[name], np.float64) for name in subject.arrays)

        return f(*values), back

    try:
        check_vjp(f, f_vjp, tuple(np.array(array) for array in arrays))
    except AssertionError:
        return 1.0
    return 0.0


# --- tables ---


def counted(samples: Sequence[Sample], verdicts: dict[str, Verdict]) -> Counter[Verdict]:
    """Count the verdicts on these samples."""
    return Counter(verdicts[sample.name] for sample in samples)


def overall(verdicts: dict[str, dict[str, Verdict]]) -> list[dict[str, str]]:
    """Give a row for each checker."""
    rows = []
    for checker, found in verdicts.items():
        row = {"checker": checker}
        right, wrong, faults = (counted(samples, found) for samples in (RIGHT, WRONG, FAULTS))
        row |= {"right: understood": str(right["right"]), "no verdict": str(right[None])}
        row |= {"called wrong": str(right["wrong"])}
        row |= {f"caught of {len(WRONG)}": str(wrong["wrong"]), "none": str(wrong[None]), "passed": str(wrong["right"])}
        row |= {f"faults caught of {len(FAULTS)}": str(faults["wrong"]), "faults passed": str(faults["right"])}
        rows.append(row)
    return rows


def by_convention(verdicts: dict[str, Verdict]) -> list[dict[str, str]]:
    """Give a row for each convention, the most frequent first; faults have conventions of their own."""
    rows = []
    for convention, number in Counter(sample.convention for sample in RIGHT).most_common():
        right = counted([s for s in RIGHT if s.convention == convention], verdicts)
        wrong = counted([s for s in WRONG if s.convention == convention], verdicts)
        rows.append(
            {
                "convention": convention,
                "subjects": str(number),
                "understood": str(right["right"]),
                "unproven": str(right[None]),
                "called wrong": str(right["wrong"]),
                "wrong versions": str(wrong.total()),
                "caught": str(wrong["wrong"]),
                "unproven ": str(wrong[None]),
                "passed": str(wrong["right"]),
            }
        )
    for kind, number in Counter(f"fault: {sample.convention}" for sample in FAULTS).most_common():
        wrong = counted([s for s in FAULTS if f"fault: {s.convention}" == kind], verdicts)
        row = {"convention": kind, "wrong versions": str(number), "caught": str(wrong["wrong"])}
        rows.append(row | {"unproven ": str(wrong[None]), "passed": str(wrong["right"])})
    return rows


def caught(verdicts: dict[str, dict[str, Verdict]]) -> list[dict[str, str]]:
    """Give how many wrong versions each checker caught, and called right: "caught, passed"."""
    rows = []
    for convention in dict.fromkeys(sample.convention for sample in (*WRONG, *FAULTS)):
        samples = [s for s in (*WRONG, *FAULTS) if s.convention == convention]
        row = {"convention": convention, "wrong": str(len(samples))}
        for checker, found in verdicts.items():
            counts = counted(samples, found)
            row[checker] = f"{counts['wrong']}, {counts['right']}"
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
