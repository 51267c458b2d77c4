"""The Taylor test: what is left of f along a line when value and slope are taken away falls with the square of h.

It is how people who write adjoints look at a derivative: a rate of 2 is right, one of 1 is a slope that is not that of
f. It sees one direction, and needs an eye for where rounding begins; the verdict of a check rests on neither.
Source: the tests of pyadjoint and its relatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from chainrule.plotting.figure import Figure


@dataclass(frozen=True)
class TaylorTable:
    """f along one direction v through all that was compared, from the longest step to the shortest.

    Attributes
    ----------
    along : tuple of str
        The arrays that were moved together.
    h : tuple of float
        The steps, in sizes of what was moved.
    change : tuple of float
        abs(f(x + h v) - f(x)): falls with h.
    remainder : tuple of float
        abs(f(x + h v) - f(x) - h g·v), with the gradient g that was checked: falls with h² if it is right.
    rounding : float
        What a remainder may be by rounding alone.
    """

    along: tuple[str, ...]
    h: tuple[float, ...]
    change: tuple[float, ...]
    remainder: tuple[float, ...]
    rounding: float

    @property
    def rates(self) -> tuple[float, ...]:
        """From each step to the next, the power of h that the remainder falls with; nan where it is rounding."""
        found = []
        for i in range(1, len(self.h)):
            before, now = self.remainder[i - 1], self.remainder[i]
            known = min(before, now) > self.rounding and self.h[i] != self.h[i - 1]
            found.append(math.log(before / now) / math.log(self.h[i - 1] / self.h[i]) if known else math.nan)
        return tuple(found)

    def __str__(self) -> str:
        lines = [f"{'h':>9} {'change':>10} {'remainder':>10} {'rate':>6}   along {', '.join(self.along)}"]
        for h, change, remainder, rate in zip(
            self.h, self.change, self.remainder, (math.nan, *self.rates), strict=True
        ):
            told = "" if h == self.h[0] else "round" if math.isnan(rate) else f"{rate:.2f}"
            lines.append(f"{h:>9.1e} {change:>10.2e} {remainder:>10.2e} {told:>6}")
        return "\n".join([*lines, f"remainders below {self.rounding:.1e} are rounding"])

    def plot(self) -> Figure:
        """Draw the remainder by h, beside lines of rates 1 and 2.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed: it comes with the extra ``plot``.
        """
        from chainrule.checking.pictures import taylor_lines  # which imports this

        return taylor_lines(self)


#: A table, or what makes one when it is asked for.
Taylor: TypeAlias = TaylorTable | Callable[[], TaylorTable | None] | None


def table(
    along: Sequence[str], steps: Sequence[float], values: Sequence[float], here: float, slope: float, noise: float
) -> TaylorTable:
    """Give the table of f at some steps along a line, from its value and slope at 0."""
    rows = sorted(zip(steps, values, strict=True), reverse=True)
    change = tuple(abs(value - here) for _, value in rows)
    remainder = tuple(abs(value - here - h * slope) for h, value in rows)
    return TaylorTable(tuple(along), tuple(h for h, _ in rows), change, remainder, noise)
