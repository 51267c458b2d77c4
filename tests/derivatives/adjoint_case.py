"""An operator with its adjoint as somebody wrote it, and wrong versions of that: the cases of `derivatives.adjoint`.

In a `Subject` of these ``f`` is A, ``jac`` is A*, ``args`` is the shape of x. A wrong ``jac`` that is a pair of
functions stands for both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import GradientReport, check_adjoint
from derivatives.case import Case, Subject

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class AdjointCase(Case):
    """One of the right or wrong adjoints of a subject."""

    kind: str = "adjoint"

    @property
    def pair(self) -> tuple[Function, Function]:
        """A and A*; made anew, if they keep something."""
        jac = self.jac
        return jac if isinstance(jac, tuple) else (self.subject.f, jac)

    def check(self, **options: Any) -> GradientReport:
        """Ask our check."""
        return check_adjoint(self.pair, *self.subject.args, **{**self.subject.options, **options})

    @property
    def dtypes(self) -> tuple[Any, Any]:
        """Those of x and y."""
        given = self.subject.options.get("dtype")
        if isinstance(given, tuple):
            return given
        ahead, back = self.pair
        x = np.zeros(self.subject.args[0], given or float)
        y = ahead(x)
        if given is None and np.iscomplexobj(y):
            return (complex if np.iscomplexobj(back(y)) else float), complex
        return given or float, given or float

    def matrices(self) -> tuple[Any, Any]:
        """Give A, and the conjugate transpose of A*, as dense matrices; over the reals if one side is real."""
        of_x, of_y = self.dtypes
        mixed = np.dtype(of_x).kind != np.dtype(of_y).kind
        ahead = [_parts(self.pair[0](e), of_y, mixed) for e in _units(self.subject.args[0], of_x, mixed)]
        shape = np.shape(self.pair[0](np.zeros(self.subject.args[0], of_x)))
        back = [_parts(self.pair[1](e), of_x, mixed) for e in _units(shape, of_y, mixed)]
        return np.stack(ahead, axis=1), np.conj(np.stack(back))

    def off(self) -> Any:
        """Give the entries where A and A* differ."""
        ahead, back = self.matrices()
        close = 1e-5 if np.dtype(self.dtypes[0]) in (np.float32, np.complex64) else 1e-10
        size = np.maximum(np.abs(ahead), np.abs(back))
        beside = np.minimum(size.max(axis=1, keepdims=True), size.max(axis=0, keepdims=True))
        return np.abs(ahead - back) > close * beside

    def told(self, report: GradientReport) -> bool | None:
        """Tell whether the worst place of a report is one of those; None if there is none to be told."""
        if self.wrong is None or self.wrong.nowhere:
            return None
        array = next((a for a in report.arrays if a.verdict == "wrong"), None)
        off = self.off()
        if array is None or not array.where or int(np.prod(array.shape)) != off.size:
            return False
        return bool(off.reshape(array.shape)[array.where])


def _units(shape: Any, dtype: Any, mixed: bool) -> Iterator[Any]:
    for at in np.ndindex(*np.atleast_1d(np.asarray(shape, int))) if shape != () else [()]:
        for number in (1, 1j) if mixed and np.dtype(dtype).kind == "c" else (1,):
            unit = np.zeros(shape, dtype)
            unit[at] = number
            yield unit


def _parts(result: Any, dtype: Any, mixed: bool) -> Any:
    flat = np.ravel(np.asarray(result))
    if not mixed:
        return flat
    return np.stack([flat.real, flat.imag], axis=1).ravel() if np.dtype(dtype).kind == "c" else flat.real


def adjoint_cases(subjects: Sequence[Subject]) -> Iterator[AdjointCase]:
    """Give the right adjoint of each subject, where there is one, and its wrong ones."""
    for subject in subjects:
        if subject.jac is not None:
            yield AdjointCase(subject)
        for wrong in subject.wrong:
            yield AdjointCase(subject, wrong=wrong)
