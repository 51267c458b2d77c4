"""The results of a check: for each array, for each contract, and as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from chainrule._gate import FloatArray
from chainrule.checking.wording import count_of, cut, findings_of, times, title_of, verdict_of, words_of, wrapped

if TYPE_CHECKING:
    from chainrule.checking.taylor import Taylor, TaylorTable
    from chainrule.plotting.figure import Figure

Verdict = Literal["right", "wrong", "unproven"]


@dataclass(frozen=True, eq=False)
class ArrayCheck:
    """The comparison for one parameter or input.

    Attributes
    ----------
    name : str
        The name of the parameter or argument.
    shape : tuple of int
    mode : "full", "directions" or "groups"
        What was compared: single entries; slopes along random directions; or, in a sparse Jacobian, groups of columns
        of which no row has more than one entry.
    checked : int
        The number of entries or directions that were compared, without those at kinks.
    verdict : "right", "wrong", "kink", "vacuous", "unresolved"
        "kink": right except for entries that have no derivative. "vacuous": both sides are 0 everywhere, as far as can
        be seen, so nothing was proved. "unresolved": the numeric side could not tell.
    mean_difference, max_difference : float
        The mean and the largest abs(analytic - numeric); the tutorial prints the mean.
    max_relative : float
        The largest abs(analytic - numeric) / max(abs(analytic), abs(numeric)) of all entries that were compared and are
        not 0.
    error_bar : float
        The largest error bar of the numeric side.
    kinks : int
        The number of entries that were left out because the function has a corner there.
    where : tuple of int
        The index of the worst entry; empty for a number, and in mode "directions" unless the entry was found.
    analytic, numeric, bar : float
        Both sides at the worst entry, and the error bar; for an adjoint both sides may be complex.
    cause : str or None
        The mistake that explains the difference.
    note : str
        Further remarks.
    labels : tuple of str
        The names of the row and the column of the worst entry, if they were given.
    relative : ndarray or None
        The relative differences in the shape of the array, nan where nothing was compared; `plot` draws them. Not in
        `to_dict`.
    """

    name: str
    shape: tuple[int, ...]
    mode: Literal["full", "directions", "groups"]
    checked: int
    verdict: Literal["right", "wrong", "kink", "vacuous", "unresolved"]
    mean_difference: float = 0.0
    max_difference: float = 0.0
    max_relative: float = 0.0
    error_bar: float = 0.0
    kinks: int = 0
    where: tuple[int, ...] = ()
    analytic: float | complex = 0.0
    numeric: float | complex = 0.0
    bar: float = 0.0
    cause: str | None = None
    note: str = ""
    labels: tuple[str, ...] = ()
    relative: FloatArray | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the whole gradient of this array was found right."""
        return self.verdict == "right"

    @property
    def place(self) -> str:
        """The worst entry, such as ``W[3, 17]``."""
        where = f"[{', '.join(self.labels)}]" if self.labels else list(self.where)
        return f"{self.name}{where}" if self.where else self.name


@dataclass(frozen=True)
class Contract:
    """A property that every right backward pass has, tested without finite differences.

    Attributes
    ----------
    name : str
        A description, such as "dout unchanged".
    held : bool or None
        Whether the contract is kept; None if it could not be tried.
    detail : str
        If it is broken, what was seen; if it could not be tried, the reason.
    cause : str or None
        The short name of the mistake.
    hazard : bool
        Whether a caller who knows about the broken contract still gets the right numbers.
    """

    name: str
    held: bool | None
    detail: str = ""
    cause: str | None = None
    hazard: bool = False


@dataclass(frozen=True)
class Unseen:
    """An array that affects the output and was not compared.

    Attributes
    ----------
    name : str
        Its place, such as ``layers[0].theta``.
    shape : tuple of int
    looked_for : tuple of str
        The names under which the check looked for its gradient.
    say : str
        The option with which to name its gradient, or to ignore the array.
    why : str
        The reason why it should have been compared.
    """

    name: str
    shape: tuple[int, ...]
    looked_for: tuple[str, ...] = ()
    say: str = "params= or ignore="
    why: str = "it moves what comes out"

    def __str__(self) -> str:
        looked = f" (looked for {', '.join(self.looked_for)} …)" if self.looked_for else ""
        return f"{self.name}{looked}"


@dataclass(frozen=True, eq=False, repr=False)
class GradientReport:
    """What `check_gradients` or `check_adjoint` found.

    Attributes
    ----------
    subject : str
        What was checked.
    kind : "layer", "network", "pair", "jacobian", "hessian" or "adjoint"
    arrays : tuple of ArrayCheck
        Parameters, then inputs.
    contracts : tuple of Contract
    layer : str or None
        In a wrong network, the name of the first faulty layer of the backward pass; ``last_layer`` is the loss.
    cause : str or None
        The first cause that explains the differences.
    notes : tuple of str
        How the subject was understood, if that is not obvious; what was left out, and why.
    not_compared : tuple of Unseen
        Arrays of the subject that affect the output and were not compared.
    held_fixed : tuple of str
        Arguments, and data in a pair's closure, for which there is no gradient.
    strict : bool
        Whether hazards fail.
    settings : dict
        Mode, seed, tolerance and dtype.
    line : TaylorTable, callable or None
        The Taylor table that `taylor` returns, or a function that makes it. Not in `to_dict`.
    """

    subject: str
    kind: str
    arrays: tuple[ArrayCheck, ...]
    contracts: tuple[Contract, ...]
    layer: str | None = None
    cause: str | None = None
    notes: tuple[str, ...] = ()
    not_compared: tuple[Unseen, ...] = ()
    held_fixed: tuple[str, ...] = ()
    strict: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    line: Taylor = None

    @property
    def verdict(self) -> Verdict:
        """The overall verdict: wrong if anything is; unproven if something, or everything, was not compared."""
        failing = any(c.held is False and (self.strict or not c.hazard) for c in self.contracts)
        if failing or any(a.verdict == "wrong" for a in self.arrays):
            return "wrong"
        proved = bool(self.arrays) and all(a.ok for a in self.arrays) and not self.not_compared
        return "right" if proved else "unproven"

    @property
    def hazards(self) -> tuple[Contract, ...]:
        """Broken contracts that change no number for a caller who knows about them."""
        return tuple(c for c in self.contracts if c.held is False and c.hazard)

    @property
    def ok(self) -> bool:
        """Whether everything was compared and found right."""
        return self.verdict == "right"

    @property
    def kinks(self) -> int:
        """The number of entries that were left out because the function has a corner there."""
        return sum(a.kinks for a in self.arrays)

    @property
    def vacuous(self) -> tuple[str, ...]:
        """The names of the arrays where both sides are 0, so that nothing was proved."""
        return tuple(a.name for a in self.arrays if a.verdict == "vacuous")

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_failed(self, *, allow_unproven: bool = False) -> None:
        """Raise unless everything is right.

        Parameters
        ----------
        allow_unproven : bool, default False
            Accept kinks, arrays whose gradient is 0 everywhere, and entries about which the numeric side cannot tell.

        Raises
        ------
        AssertionError
            With the whole report as its message.
        """
        if self.verdict == "wrong" or (self.verdict == "unproven" and not allow_unproven):
            raise AssertionError(f"\n{self}")

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain numbers, strings, lists and dicts, ready for ``json.dumps``.

        Returns
        -------
        dict
            Numbers that are not finite are strings, "nan" or "inf", as JSON has none; complex ones are lists of two.
        """
        found = asdict(replace(self, line=None))
        for array in found["arrays"]:
            del array["relative"]
        names = ("layer", "cause", "arrays", "contracts", "notes", "not_compared", "held_fixed")
        plain: dict[str, Any] = _plain(
            {
                "subject": self.subject,
                "kind": self.kind,
                "verdict": self.verdict,
                **{name: found[name] for name in names},
                "hazards": [asdict(hazard) for hazard in self.hazards],
                "strict": self.strict,
                "settings": self.settings,
            }
        )
        return plain

    def __repr__(self) -> str:
        return f"GradientReport({title_of(self)}: {self.headline})"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield title_of(self)
        heads = f"{'compared':>14} {'mean |diff|':>12} {'max relative':>13} {'error bar':>10}  verdict"
        yield f"{'array':<12} {'shape':<10} {heads}"
        for a in self.arrays:
            what = {"full": f"{a.checked} of {math.prod(a.shape)}", "groups": f"{a.checked} entries"}.get(
                a.mode, f"{a.checked} directions"
            )
            relative = "-" if a.verdict in ("vacuous", "unresolved") else f"{a.max_relative:.1e}"
            yield (
                f"{cut(a.name, 12):<12} {cut(times(a.shape), 10):<10} {what:>14} {a.mean_difference:>12.1e}"
                f" {relative:>13} {a.error_bar:>10.1e}  {verdict_of(a)}"
            )
        for text in findings_of(self):
            yield from wrapped(text)
        yield self.headline

    @property
    def headline(self) -> str:
        """One line: the verdict, and what it rests on."""
        *_, agree, differ = words_of(self.kind)
        if self.verdict == "right":
            return agree + (f", {count_of(len(self.hazards), 'hazard')}" if self.hazards else "")
        if self.verdict == "wrong":
            wrong = [a for a in self.arrays if a.verdict == "wrong"]
            if wrong and all(a.cause == "wrong dtype" for a in wrong):
                return "GRADIENTS HAVE THE WRONG DTYPE"
            return differ if wrong else "A CONTRACT IS BROKEN"
        reasons = [f"{unseen.name} not compared" for unseen in self.not_compared]
        reasons += [f"{self.kinks} at a kink"] if self.kinks else []
        reasons += [f"{name} has no effect that shows" for name in self.vacuous]
        reasons += [f"{a.name} unresolved" for a in self.arrays if a.verdict == "unresolved"]
        return cut("nothing wrong found, but not all proved: " + (", ".join(reasons) or "nothing was compared"), 100)

    def _repr_html_(self) -> str:
        """Give the report as a table for a notebook."""
        from chainrule.checking.pictures import table  # which imports this

        return table(self)

    def taylor(self) -> TaylorTable:
        """Give the Taylor test: the remainder of f along a line, and how fast it falls with the step.

        Returns
        -------
        TaylorTable
            Printed, a table; ``plot()`` draws it.

        Raises
        ------
        ValueError
            If there is no line through everything that was compared: a gradient is missing or has the wrong shape, f
            refuses long steps, there are bounds, or a network has been trained since.
        """
        found = self.line() if callable(self.line) else self.line
        if found is None:
            raise ValueError(
                f"{self.subject} has no Taylor table: a gradient is missing or misshapen, f refuses long steps,"
                " arguments have bounds, or parameters have changed since the check"
            )
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what would make the Taylor table: it needs what was checked."""
        return {**self.__dict__, "line": None if callable(self.line) else self.line}

    def plot(self) -> Figure:
        """Draw a heat map of the relative difference for each array that was compared entry by entry.

        Returns
        -------
        matplotlib.figure.Figure
            Green below 1e-7, red from 1e-2 on; grey where nothing was compared.

        Raises
        ------
        ImportError
            If matplotlib is not installed: it comes with the extra ``plot``.
        ValueError
            If no array was compared entry by entry.
        """
        from chainrule.checking.pictures import heat_map  # which imports this

        return heat_map(self)


def _plain(value: Any) -> Any:
    """Give a value as JSON knows it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, complex):
        return [_plain(value.real), _plain(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
