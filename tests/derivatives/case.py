"""A function with its derivatives as somebody wrote them, and wrong versions of these."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import GradientReport, check_hessian, check_jacobian


@dataclass(frozen=True)
class Wrong:
    """A wrong way to write the derivatives.

    `cause`: what the check should say of why, or part of it; "" if there is no short word for it. `source`: the public
    report of such a mistake, as owner/repository#number; the code here is written anew and smaller.
    """

    name: str
    jac: Any
    cause: str = ""
    source: str = ""
    #: Whether the mistake shows in no entry: a wrong shape, a buffer that grows.
    nowhere: bool = False


@dataclass(frozen=True)
class Subject:
    """A function, its derivatives and its arguments. Of a Hessian, `f` is the gradient."""

    name: str
    f: Callable[..., Any]
    jac: Any
    args: tuple[Any, ...]
    wrong: tuple[Wrong, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One of the right or wrong derivatives of a subject."""

    subject: Subject
    kind: str
    wrong: Wrong | None = None

    @property
    def name(self) -> str:
        """Of the subject, and of the mistake."""
        return self.subject.name + (f"-{self.wrong.name}" if self.wrong else "")

    @property
    def jac(self) -> Any:
        """What is checked; made anew, if it keeps something."""
        jac = self.wrong.jac if self.wrong else self.subject.jac
        return jac.made() if isinstance(jac, Stateful) else jac

    def check(self, **options: Any) -> GradientReport:
        """Ask our check."""
        options = {**self.subject.options, **options}
        args = copy.deepcopy(self.subject.args)
        if self.kind != "hessian":
            return check_jacobian(self.subject.f, self.jac, *args, **options)
        if isinstance(self.jac, Products):
            return check_hessian(self.subject.f, None, *args, hessp=self.jac.product, **options)
        return check_hessian(self.subject.f, self.jac, *args, **options)

    def places(self) -> list[set[tuple[int, int]]]:
        """Give, for each argument, the entries where the wrong derivatives differ from the right ones."""
        pairs = zip(matrices(self.subject, self.jac), matrices(self.subject, self.subject.jac), strict=True)
        found = []
        for wrong, right in pairs:
            rounding = 1e-14 * np.abs(right).max(axis=1, keepdims=True, initial=0)
            off = ~(np.abs(wrong - right) <= 1e-9 * np.abs(right) + rounding)
            found.append({(int(i), int(j)) for i, j in zip(*np.nonzero(off), strict=True)})
        return found

    def told(self, report: GradientReport) -> bool | None:
        """Tell whether the worst place of a report is one of those; None if there is none to be told."""
        if self.wrong is None or self.wrong.nowhere:
            return None
        array = next((a for a in report.arrays if a.verdict == "wrong"), None)
        if array is None:
            return False
        which = report.arrays.index(array) if len(report.arrays) == len(self.places()) else 0
        m, n = matrices(self.subject, self.subject.jac)[which].shape
        at = int(np.ravel_multi_index(array.where, array.shape)) if array.where else 0
        return divmod(at, n) in self.places()[which] if m else False

    def named(self, report: GradientReport) -> bool | None:
        """Tell whether the cause is named; None if it has no short name."""
        if self.wrong is None or not self.wrong.cause:
            return None
        causes = [report.cause or "", *((a.cause or "") for a in report.arrays)]
        return any(self.wrong.cause in cause for cause in causes)


@dataclass(frozen=True)
class Stateful:
    """Derivatives that keep something from call to call: made anew for each check."""

    made: Callable[[], Any]


@dataclass(frozen=True)
class Products:
    """A Hessian by its products: ``product(x, p)``."""

    product: Callable[..., Any]


def matrices(subject: Subject, jac: Any) -> list[Any]:
    """Give derivatives as dense matrices, one for each argument."""
    args = copy.deepcopy(subject.args)
    if isinstance(jac, Products):
        return [np.stack([jac.product(*args, e) for e in np.eye(np.size(args[0]))], axis=1)]
    given = jac(*args) if callable(jac) else jac
    blocks = given if isinstance(given, tuple) else (given,)
    count = np.size(subject.f(*copy.deepcopy(subject.args)))
    if subject.options.get("local"):
        y = subject.f(*copy.deepcopy(subject.args))
        count = np.size(subject.options["local"](y, y))
    dense = [np.asarray(b.todense()) if hasattr(b, "todense") else np.asarray(b) for b in blocks]
    if [b.shape for b in dense] == [np.shape(args[0])] == [(count,)] and count > 1:  # one for each entry
        dense = [np.diag(dense[0])]
    return [np.asarray(b, np.float64).reshape(count, -1) for b in dense]


def cases(kind: str, subjects: Sequence[Subject]) -> Iterator[Case]:
    """Give the right one of each subject, and its wrong ones."""
    for subject in subjects:
        yield Case(subject, kind)
        for wrong in subject.wrong:
            yield Case(subject, kind, wrong)


def at(jac: Callable[..., Any], *changes: tuple[Any, Any]) -> Callable[..., Any]:
    """Give derivatives that are changed: for each pair of an index and a function, the entries there go through it."""

    def changed(*args: Any) -> Any:
        matrix = np.array(jac(*args), float)
        for index, change in changes:
            matrix[index] = change(matrix[index])
        return matrix

    changed.__name__ = getattr(jac, "__name__", "jac")
    return changed
