"""The layers, networks, losses and pairs in a file of somebody's own: found, given something to work on, and checked.

A file may say for itself what to check with: ``CHECKS``, a dict of names to functions that are given a generator and
return the subject and its arguments:

    CHECKS = {"Conv1d": lambda rng: (Conv1d(rng.standard_normal(3)), rng.standard_normal((2, 7)))}

What is not named there is found by its name (`finding`) and handed what its names ask for (`guesses`, `making`); what
was made is told. The file is run, as ``python FILE.py`` would, but not as ``__main__``; what it prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.checking import GradientReport, check_gradients
from chainrule.checking.adjoint.in_files import Operator
from chainrule.checking.adjoint.in_files import find as adjoints
from chainrule.checking.comparison import Settings
from chainrule.checking.finding import Found, find, line_of
from chainrule.checking.guesses import ROWS, SEQUENCES, Kind
from chainrule.checking.making import CannotMakeError, Made, drawn_from, guesses, mixes_examples, quiet
from chainrule.checking.reader import Asked
from chainrule.checking.run import check
from chainrule.checking.running import Stopped, run_file

#: Given a generator, gives a subject and its arguments.
Maker = Callable[[np.random.Generator], Any]
#: Causes that a layer for single examples has if it is given several.
_OF_A_BATCH = ("no sum", "wrong shape", "broadcast")


@dataclass(frozen=True)
class FileCheck:
    """What became of one name in a file."""

    #: The class, object or function.
    name: str
    #: None if it could not be checked.
    report: GradientReport | None
    #: Why not; or why what looks right is not proved.
    reason: str = ""
    #: What it was checked with: ``Dense(n_in=4, n_out=3).forward(x (5, 4))``; the name, if the file says.
    made: str = ""
    #: The line that its backward begins in.
    at: int | None = None

    @property
    def verdict(self) -> str:
        """What it comes to: "right", "wrong", "unproven" or "skipped"."""
        if self.report is None:
            return "skipped"
        return "unproven" if self.reason and self.report.ok else self.report.verdict

    @property
    def why(self) -> str:
        """What the verdict rests on."""
        return self.reason or (reason_of(self.report) if self.report is not None else "")

    @property
    def line(self) -> str:
        """One line: the verdict, what was made, and what it rests on."""
        return f"{self.verdict:<9} {self.made or self.name}: {self.why}"


def reason_of(report: GradientReport) -> str:
    """Give the reason for a verdict in half a line."""
    reasons = []
    for a in report.arrays:
        if a.verdict == "wrong":
            why = a.note or f"analytic {a.analytic:.4g}, numeric {a.numeric:.4g}"
            reasons.append(f"{a.place}: {why}")
            break
    failing = [c for c in report.contracts if c.held is False and (report.strict or not c.hazard)]
    reasons += [f"{c.name}: {c.detail}" for c in failing][: 1 if reasons else 2]
    if report.verdict == "wrong":
        if report.layer:
            reasons.append(f"layer {report.layer}")
        if report.cause:
            reasons.append(f"cause: {report.cause}")
        return "; ".join(reasons)
    if report.verdict == "unproven":
        either = (note.partition("; if not")[0] for note in report.notes if note.startswith("right if "))
        return next(either, report.headline.partition(": ")[2])
    largest = max((a.max_relative for a in report.arrays), default=0.0)
    hazards = "".join(f"; hazard: {c.name}: {c.detail}" for c in report.hazards[:1])
    return f"{', '.join(a.name for a in report.arrays)} agree to {max(largest, 1e-16):.0e}{hazards}"


def check_file(path: str, name: str | None = None, seed: int = 0, strict: bool = False) -> Iterator[FileCheck]:
    """Check what is in a file.

    `path`: a Python file. It is run; `name`: only this class, object or function of it; `seed`: for what is handed to
    the subjects, and for the check; `strict`: whether hazards fail.

    Yields
    ------
    FileCheck
        Each as soon as it is done, in the order of the file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If running it raises before anything to check is defined, there is nothing in it to check, or nothing of that
        `name`.
    """
    with contextlib.redirect_stdout(sys.stderr):
        module, stopped = run_file(Path(path))
        subjects: dict[str, Found | Operator | Maker] = dict(_given(module))
        operators = {operator.name: operator for operator in adjoints(module) if operator.name not in subjects}
        subjects |= {found.name: found for found in find(module, (*subjects, *operators))}
        subjects |= operators
        if name is not None:
            if name not in subjects:
                known = ", ".join(subjects) or "nothing that can be checked"
                raise ValueError(f"{path} has no layer, network or pair called {name}; it has {known}")
            subjects = {name: subjects[name]}
        if not subjects and stopped is not None:
            raise ValueError(f"{path} cannot be run: {stopped}") from stopped.error
    dropped = []
    for which, subject in subjects.items():
        with contextlib.redirect_stdout(sys.stderr):
            check = _check(which, subject, seed, strict, name)
        if check is None:
            dropped.append(which)
        else:
            yield check
    if stopped is not None and name is None:
        yield _stopped(Path(path), stopped)
    elif len(dropped) == len(subjects):
        perhaps = f"; if {dropped[0]} gives a loss and its gradient, say its arguments in CHECKS" if dropped else ""
        raise ValueError(
            f"{path} has nothing to check: no class with forward and backward, no function f with grad_f, no CHECKS"
            f"{perhaps}"
        )


def _stopped(path: Path, stopped: Stopped) -> FileCheck:
    reason = f"it cannot be run to its end: {stopped}; what stands above was looked at"
    return FileCheck(path.name, None, reason, f"{path.name}:{stopped.line}" if stopped.line else "", stopped.line)


def _given(module: Any) -> Iterator[tuple[str, Maker]]:
    """Give what the file itself says to check."""
    given = getattr(module, "CHECKS", {})
    if not isinstance(given, dict):
        raise ValueError(f"CHECKS must be a dict of names to functions, got {type(given).__name__}")
    yield from given.items()


def _check_operator(name: str, operator: Operator, seed: int, strict: bool) -> FileCheck:
    """Check one operator against its adjoint."""
    at = line_of(operator.shown)
    try:
        with quiet():
            return FileCheck(name, operator.check(seed, strict), at=at)
    except Exception as error:  # anything that somebody's code may raise is a reason
        return FileCheck(name, None, _said(error), at=at)


def _check(
    name: str, subject: Found | Operator | Maker, seed: int, strict: bool, asked: str | None
) -> FileCheck | None:
    """Check one of them; None for what turns out to be nothing to check, unless it was asked for."""
    if isinstance(subject, Operator):
        return _check_operator(name, subject, seed, strict)
    if isinstance(subject, Found):
        check = _check_found(subject, seed, strict)
        return None if check.report is None and check.reason == "" and asked is None else check
    at: int | None = None
    try:
        with quiet():
            made = subject(np.random.default_rng(seed))
        if isinstance(made, GradientReport):
            return FileCheck(name, made)
        if not isinstance(made, tuple) or len(made) < 2:
            raise TypeError(
                f"an entry of CHECKS must return (subject, argument, …) or a report, got {type(made).__name__}"
            )
        at = line_of(made[0][1] if isinstance(made[0], tuple) else type(made[0]))
        return FileCheck(name, check_gradients(made[0], *made[1:], seed=seed, strict=strict), at=at)
    except Exception as error:  # anything that somebody's code may raise is a reason
        return FileCheck(name, None, _said(error), at=at or line_of(subject))


def _check_found(found: Found, seed: int, strict: bool) -> FileCheck:
    """Check with the first arguments that are taken, and that a check does not stumble over."""
    untaken: list[tuple[bool, Exception]] = []
    search = _Search(found)
    settings = Settings("auto", 3, seed, 1e-7, strict)
    try:
        for made in guesses(found, seed, lambda error, made: untaken.append((made, error))):
            if search.is_over(made):
                break
            if not search.wants(made):
                continue
            try:
                with quiet(), drawn_from(seed):  # a first forward pass may draw weights
                    asked = Asked(kind=found.kind if found.kind.by_name else None)
                    report = check(made.subject, made.arguments, settings, asked)
            except Exception as error:  # anything that somebody's code may raise is a reason
                search.stumbled.append(FileCheck(found.name, None, _said(error), made.told, found.line))
                continue
            answer = search.answer(FileCheck(found.name, report, "", made.told, found.line), made)
            if answer is not None:
                answer = _on_the_other_side(made, answer, settings) if answer.verdict == "right" else answer
                return _read_otherwise(found, made, answer, seed) if answer.verdict == "wrong" else answer
    except CannotMakeError as error:
        return FileCheck(found.name, None, str(error), at=found.line)
    if search.first is not None and _fits_nothing(search.first):
        why = f"{search.first.why}; if it is to be given something else, say so in CHECKS"
        return replace(search.first, report=None, reason=why)
    if search.first is not None or search.stumbled:
        return search.first or search.stumbled[0]
    if found.kind.gives_both or any(isinstance(error, NotImplementedError) for _, error in untaken):
        return FileCheck(found.name, None)
    told = next((error for made_one, error in untaken if made_one), untaken[0][1])
    return FileCheck(
        found.name, None, f"no arguments of common shapes fit ({_said(told)}); say which in CHECKS", at=found.line
    )


def _fits_nothing(check: FileCheck) -> bool:
    """Tell whether all that is wrong of two functions is that what was made up has not the shape of the gradient."""
    wrong = [a for a in check.report.arrays if a.verdict == "wrong"] if check.report is not None else []
    of_functions = check.report is not None and check.report.kind == "pair"
    return of_functions and bool(wrong) and all(a.cause == "wrong shape" for a in wrong)


def _on_the_other_side(made: Made, given: FileCheck, settings: Settings) -> FileCheck:
    """Give what is wrong of functions of one number below 0; else what was found, which is right.

    One number tells of one branch of a function, and most that have two change over at 0.
    """
    numbers = [a for a in made.arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if not isinstance(made.subject, tuple) or [a.size for a in numbers] != [1]:
        return given
    other = replace(made, arguments=tuple(-np.abs(a) if a is numbers[0] else a for a in made.arguments))
    try:
        with quiet():
            report = check(other.subject, other.arguments, settings, Asked())
    except Exception:  # as of a logarithm, which takes no other
        return given
    return replace(given, report=report, made=f"{given.made} below 0") if report.verdict == "wrong" else given


def _read_otherwise(found: Found, made: Made, check: FileCheck, seed: int) -> FileCheck:
    """Give what is wrong as it is usually read, or what is right if it is read in another way that names allow."""
    try:
        functions = found.function(made.subject), found.derivative(made.subject)
        with quiet(), drawn_from(seed):
            other = found.kind.otherwise(*functions, made.arguments)
            report = None if other is None else check_gradients(other[0], *made.arguments, seed=seed)
    except Exception:  # it cannot be meant that way
        return check
    return replace(check, report=report, reason=other[1]) if other is not None and report else check


class _Search:
    """The first verdict counts, but for two kinds of it.

    What is unproven may be proved by other numbers of the same shapes. What is wrong as a layer for single examples is
    when it is given several, or because a parameter that was made for it has another shape, is tried with other shapes:
    right with other parameters is right; right for one example only is told, and is no proof. So is what is right for
    sequences only: a layer that adds up over examples and steps adds up too much where there are no steps. Of each
    shape the first numbers count: others could be such as hide the fault.
    """

    def __init__(self, found: Found) -> None:
        self.found = found
        self.first: FileCheck | None = None
        self.kind: Kind | None = None
        #: Whether what is wrong is tried with single examples; and with sequences.
        self.singly = self.stepwise = False
        self.stumbled: list[FileCheck] = []
        self.seen: set[str] = set()

    def wants(self, made: Made) -> bool:
        """Tell whether these arguments could still change anything."""
        if self.first is None:
            return True
        if self.first.verdict == "unproven":
            return made.told == self.first.made and made.positive
        again = made.told in self.seen
        self.seen.add(made.told)
        other = (self.singly and made.kind.one) or (self.stepwise and made.kind is SEQUENCES)
        return not again and (made.kind is self.kind or other)

    def is_over(self, made: Made) -> bool:
        """Tell whether nothing that is still to come could."""
        return self.first is not None and self.first.verdict == "unproven" and made.kind is not self.kind

    def answer(self, check: FileCheck, made: Made) -> FileCheck | None:
        """Give what counts, if that is known now."""
        first = self.first
        if first is not None:
            if check.verdict == first.verdict or check.verdict == "unproven":
                return None
            if first.verdict == "unproven" or made.kind is self.kind:
                return check
            told = "one example, but not for several" if made.kind.one else "sequences, but not for rows"
            return replace(check, reason=f"right for {told}, {first.made}: {first.why}")
        report = check.report
        assert report is not None
        if report.arrays and len(report.vacuous) == len(report.arrays):  # as a softmax over one number: go on
            self.stumbled.insert(0, check)
            return None
        open_ = report.verdict == "unproven" and not report.not_compared
        of_one = report.verdict == "wrong" and not made.kind.one
        self.singly = of_one and (_as_of_a_batch(report) or mixes_examples(self.found, made))
        self.stepwise = of_one and made.kind is ROWS and _of_weights_alone(report)
        if not (open_ or self.singly or self.stepwise):
            return check
        self.first, self.kind, self.seen = check, made.kind, {made.told}
        return None


def _as_of_a_batch(report: GradientReport) -> bool:
    """Tell whether what is wrong is what goes wrong if a layer for one example is given several."""
    return any((a.cause or "").startswith(_OF_A_BATCH) for a in report.arrays if a.verdict == "wrong")


def _of_weights_alone(report: GradientReport) -> bool:
    """Tell whether gradients of parameters alone are wrong, and no common mistake but a wrong shape explains it."""
    inputs = {told.partition(" (")[0] for told in str(report.settings["inputs"]).split("), ")}
    wrong = [a for a in report.arrays if a.verdict == "wrong"]
    contracts = any(c.held is False and not c.hazard for c in report.contracts)
    return (
        bool(wrong)
        and not contracts
        and not any(a.cause not in (None, "wrong shape") or a.name in inputs for a in wrong)
    )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
