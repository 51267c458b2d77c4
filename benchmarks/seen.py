"""Who sees what: our check and others, asked about right and wrong derivatives, counted in rows of one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def ours(cases: Sequence[Any]) -> dict[str, str]:
    """Count what our check says of cases, as those of ``tests/derivatives``."""
    wrong, right = [c for c in cases if c.wrong], [c for c in cases if not c.wrong]
    reports = {c.name: c.check() for c in cases}
    places = [c.told(reports[c.name]) for c in wrong]
    causes = [c.named(reports[c.name]) for c in wrong]
    return row(
        "chainrule",
        (sum(reports[c.name].verdict == "wrong" for c in wrong), len(wrong)),
        (sum(reports[c.name].verdict == "wrong" for c in right), len(right)),
        unproven=str(sum(reports[c.name].verdict == "unproven" for c in right)),
        place=f"{places.count(True)} of {len(places) - places.count(None)}",
        cause=f"{causes.count(True)} of {len(causes) - causes.count(None)}",
    )


def other(name: str, calls_wrong: Callable[[Any], Any], cases: Sequence[Any]) -> dict[str, str]:
    """Count what another checker says of them; `calls_wrong` tells it of one."""
    counts = {"wrong": 0, "right": 0, "unable": 0}
    for case in cases:
        try:
            counts["wrong" if case.wrong else "right"] += bool(calls_wrong(case))
        except Exception:  # whatever it raises about a wrong one: it has been noticed
            counts["wrong" if case.wrong else "unable"] += 1
    wrong = sum(c.wrong is not None for c in cases)
    return row(name, (counts["wrong"], wrong), (counts["right"], len(cases) - wrong), unable=counts["unable"])


def row(
    name: str, killed: tuple[int, int], alarms: tuple[int, int], *, refused: int | None = None, unable: int = 0,
    unproven: str = "", place: str = "", cause: str = "",
) -> dict[str, str]:  # fmt: skip
    """Give a row: how many of how many were killed and were false alarms, and what else there is to say."""
    return {
        "checker": name,
        f"killed of {killed[1]}": str(killed[0]),
        **({} if refused is None else {"does not take": str(refused)}),
        f"false alarms on {alarms[1]}": str(alarms[0]),
        "cannot run": str(unable),
        "unproven": unproven,
        "place": place,
        "cause, where there is a short one": cause,
    }
