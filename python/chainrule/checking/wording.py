"""A report in words: titles, findings, verdicts, as a terminal, a notebook and a test show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.checking.report import ArrayCheck, GradientReport

#: What the two sides are called, and how it is said that they agree or not: of gradients, and of other kinds.
_GRADIENTS = ("analytic", "numeric", "gradients agree", "GRADIENTS DIFFER")
_WORDS = {
    "jacobian": ("analytic", "numeric", "derivatives agree", "DERIVATIVES DIFFER"),
    "hessian": ("analytic", "numeric", "second derivatives agree", "SECOND DERIVATIVES DIFFER"),
    "adjoint": ("A* gives", "A gives", "A* is the adjoint of A", "A* IS NOT THE ADJOINT OF A"),
}


def words_of(kind: str) -> tuple[str, str, str, str]:
    """Give what the two sides of a kind of subject are called, and how it is said that they agree, and that not."""
    return _WORDS.get(kind, _GRADIENTS)


def title_of(report: GradientReport) -> str:
    """Give the first line: what was checked."""
    shapes = report.settings.get("inputs", "")
    return cut(f"{report.kind} {report.subject}({shapes}), {report.settings.get('dtype', '')}", 100)


def findings_of(report: GradientReport) -> Iterator[str]:
    """Give what there is to say below the table, but for the headline."""
    claimed, found, *_ = words_of(report.kind)
    for a in report.arrays:
        if a.verdict == "wrong" and a.checked and (a.where or not a.shape):
            yield f"{a.place}: {claimed} {a.analytic:.6e}, {found} {a.numeric:.6e} ± {a.bar:.1e}"
        if a.verdict == "wrong" and a.cause:
            yield f"  {a.name}: {a.cause}"
        if a.note:
            yield f"{a.name}: {a.note}"
    for unseen in report.not_compared:
        yield f"NOT COMPARED: {unseen}; {unseen.why}: say {unseen.say}"
    if report.held_fixed:
        yield f"held fixed: {', '.join(report.held_fixed)}"
    for c in report.contracts:
        if c.held is not True:
            word = "not tried" if c.held is None else "hazard" if c.hazard and not report.strict else "BROKEN"
            yield f"{word}: {c.name}: {c.detail}"
    if report.contracts:
        yield f"{sum(c.held is True for c in report.contracts)} of {len(report.contracts)} contracts hold"
    if report.layer:
        yield f"first faulty layer on the way back: {report.layer}"
    if report.cause:
        yield f"cause: {report.cause}"
    yield from report.notes


def verdict_of(a: ArrayCheck) -> str:
    """Give the verdict on an array in words."""
    at_a_kink = f"{a.kinks} at a kink"
    texts = {"right": "ok", "wrong": "DIFFERS", "kink": at_a_kink, "vacuous": "VACUOUS"}
    return texts.get(a.verdict, a.verdict) + (f", {at_a_kink}" if a.kinks and a.verdict in ("right", "wrong") else "")


def count_of(n: int, what: str) -> str:
    """Give a number with what it counts."""
    return f"{n} {what}{'s' if n != 1 else ''}"


def times(shape: tuple[int, ...]) -> str:
    """Give a shape as it is written in a table."""
    return "×".join(map(str, shape)) or "number"


def cut(text: str, width: int) -> str:
    """Give a text that is no longer than so many characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def wrapped(text: str, width: int = 100) -> Iterator[str]:
    """Give the text in lines of at most `width`, those after the first indented."""
    import textwrap

    indent = " " * (len(text) - len(text.lstrip()))
    yield from textwrap.wrap(text, width, initial_indent="", subsequent_indent=indent + "  ") or [""]
