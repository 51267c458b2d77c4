"""Contracts that every operator and its adjoint must keep besides ⟨Ax, y⟩ = ⟨x, A*y⟩; each side can be tested alone.

Each side gives the same result for the same argument, whatever it was called with before; it is linear; and all other
ways to call it give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.adjoint.operator import ColumnsError, Operator
from chainrule.checking.adjoint.side import Contracts, Side
from chainrule.checking.equality import same_numbers
from chainrule.checking.finite_differences import largest

#: How far linearity may be off, relative to the largest number, in float64 and in lower precision. The remaining error
#: of a solver within an operator is noise, and widens the error bar; anything larger is a mistake.
LINEAR, LINEAR_IN_SINGLE = 1e-6, 1e-3


@dataclass
class Seen:
    """The results of a side for two arguments."""

    x: FloatArray
    z: FloatArray
    of_x: FloatArray
    of_z: FloatArray


def try_side(side: Side, x: FloatArray, z: FloatArray) -> Seen:
    """Test the contracts of one side; x and z have few digits, so that 2 x - 3 z is exact."""
    seen = Seen(x, z, side(x), side(z))
    _try_again(side, seen)
    _try_linear(side, seen)
    return seen


def _far(a: FloatArray, b: FloatArray, allowed: float, size: float | None = None) -> bool:
    """Tell whether two results differ by more than a share of their largest number."""
    size = max(largest(a), largest(b)) if size is None else size
    return not largest(a - b) <= allowed * size


def _allowed(side: Side) -> float:
    return LINEAR if side.eps < 1e-10 else LINEAR_IN_SINGLE


def _try_again(side: Side, seen: Seen) -> None:
    """Call with x after another call, and once more right away: the result must be the same."""
    name = f"{side.name} gives the same again"
    side.contracts.holds(name)
    after_another = side(seen.x)
    at_once = side(seen.x)
    if same_numbers(after_another, at_once) and same_numbers(after_another, seen.of_x):
        return
    if not _far(after_another, at_once, _allowed(side)) and not _far(after_another, seen.of_x, _allowed(side)):
        text = f"the last digits of {side.called} differ for the same argument"
        side.contracts.breaks(name, text, "not deterministic", hazard=True)
        return
    step = at_once - after_another
    side(seen.z)
    if largest(step) and not _far(after_another - seen.of_z, step, 1e-6):
        cause, text = "accumulates", f"{side.called} adds to its earlier result"
    elif same_numbers(side(seen.x), after_another):
        text = f"{side.called} gives a different result after a call with another argument"
        cause = "keeps an earlier call"
    else:
        cause, text = "not deterministic", f"{side.called} gives a different result for the same argument"
    side.contracts.breaks(name, text, cause)


def try_in_turn(first: Side, other: Side, x: FloatArray, of_x: FloatArray, y: FloatArray) -> None:
    """Call one side after the other was called with something else: the result must be the same."""
    name = f"{first.name} gives the same after {other.name}"
    if first.contracts.is_broken(f"{first.name} gives the same again"):
        return
    other(y)
    first.contracts.holds(name)
    if _far(first(x), of_x, _allowed(first)):
        text = f"{first.called} gives a different result after a call of {other.called}"
        first.contracts.breaks(name, text, "keeps an earlier call")


def _try_linear(side: Side, seen: Seen) -> None:
    """Compare A(2x - 3z) with 2 Ax - 3 Az, A(0) with 0, and A(ix) with i Ax."""
    name, zero = f"{side.name} is linear", f"{side.name} of 0 is 0"
    side.contracts.holds(name)
    side.contracts.holds(zero)
    nothing = side(np.zeros_like(seen.x))
    if same_numbers(seen.of_x, seen.of_z) and same_numbers(seen.of_x, nothing) and nothing.any():
        side.contracts.breaks(name, f"{side.called} gives the same result for all arguments", "ignores its argument")
        return
    mixed = side(2 * seen.x - 3 * seen.z)
    size = 2 * largest(seen.of_x) + 3 * largest(seen.of_z) + largest(mixed)
    should = 2 * seen.of_x - 3 * seen.of_z
    if largest(nothing) > 64 * side.eps * size:
        affine = not _far(mixed, should + 2 * nothing, _allowed(side), size)
        text = f"{side.called} of 0 is {largest(nothing):.3g} at its largest"
        side.contracts.breaks(zero, text, "adds a constant" if affine else "not linear")
        should = should + 2 * nothing if affine else should
    if _far(mixed, should, _allowed(side), size):
        off = largest(mixed - should) / size
        text = (
            f"{side.called} of 2x - 3z is not twice that of x less three times that of z: it is off by {off:.1e} of the"
            " largest"
        )
        side.contracts.breaks(name, text, "not linear")
    elif side.takes.is_complex and side.gives.is_complex:
        _try_over_complex(side, seen)


def _try_over_complex(side: Side, seen: Seen) -> None:
    name = f"{side.name} of i x is i {side.name} x"
    side.contracts.holds(name)
    turned = side(1j * seen.x)
    if not _far(turned, 1j * seen.of_x, _allowed(side)):
        return
    if not _far(turned, -1j * seen.of_x, _allowed(side)):
        cause, text = "antilinear", f"{side.called} of i x is -i times that of x: it conjugates its argument"
    elif not turned.imag.any() and not seen.of_x.imag.any():
        cause, text = "drops the imaginary part", f"{side.called} gives real numbers for complex ones"
    else:
        cause, text = "linear over the reals only", f"{side.called} of i x is not i times that of x"
    text += "; if that is intended, say so with an attribute clinear = False, or a real dtype= for one side"
    side.contracts.breaks(name, text, cause)


def try_other_ways(operator: Operator, sides: tuple[Side, Side], seen: tuple[Seen, Seen], contracts: Contracts) -> None:
    """Compare A @ x, A.H @ y, A.matmat and so on with the results of matvec and rmatvec."""
    for way, function, of_adjoint in operator.ways:
        side, known = sides[of_adjoint], seen[of_adjoint]
        name = f"{way} gives what {side.called.removeprefix('A.')} gives"
        aside = Side(side.name, way, function, side.takes, side.gives, Contracts())
        try:
            found = aside(known.x)
        except NotImplementedError:  # an operator need not have it
            contracts.skips(name, "the operator does not have it")
        except ColumnsError as error:
            contracts.breaks(name, str(error), "other ways differ")
        except Exception as error:  # matvec and rmatvec work nevertheless
            told = (str(error).splitlines() or [""])[0][:100]
            contracts.breaks(name, f"{way} raises {type(error).__name__}: {told}", "other ways fail", hazard=True)
        else:
            contracts.holds(name)
            if _far(found, known.of_x, _allowed(side)):
                contracts.breaks(name, f"{way} gives different numbers for the same argument", "other ways differ")
