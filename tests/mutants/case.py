"""What a case is: a subject for a gradient checker, arguments for the check, and what the checker must say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

#: Given a generator, gives the arguments of one check.
Arguments: TypeAlias = Callable[[np.random.Generator], tuple[Any, ...]]

Kind: TypeAlias = Literal["layer", "network", "pair"]

#: "vacuous": all gradients in question are 0, right or not. "kink": the loss has a corner right at the arguments.
Expect: TypeAlias = Literal["fails", "vacuous", "kink", "passes"]

#: The short causes. Seen from outside, "mean for sum" is "factor 1/N", and "sum for mean" is "factor N".
CAUSES: tuple[str, ...] = (
    "zero",
    "factor 2",
    "factor 1/2",
    "factor -1",
    "factor N",
    "factor 1/N",
    "factor C",
    "factor 1/C",
    "transposed",
    "no sum over the batch",
    "mean for sum",
    "sum for mean",
    "zero rows",
    "zero columns",
    "proportional to the parameter",
    "stale batch",
    "dout ignored",
    "writes into dout",
    "writes into its input",
    "writes into a parameter",
    "aliases dout",
    "aliases its input",
    "aliases a parameter",
    "overwrites its last result",
    "accumulates",
    "second backward differs",
    "not deterministic",
    "wrong shape",
    "wrong dtype",
    "not linear in dout",
)


@dataclass(frozen=True)
class Case:
    """One subject, right or with one mistake in it.

    Attributes
    ----------
    name : str
        Unique, in snake_case.
    kind : "layer", "network" or "pair"
        What `make` gives.
    make : callable
        Gives a fresh subject each time.
    arguments : callable
        Given a generator, gives the arguments for the check.
    story : str
        One sentence, for people: what was done wrong, or why it looks wrong though it is right.
    expect : "fails", "vacuous", "kink" or "passes"
        What the checker must say.
    layer : str, optional
        For a network: the name, in its ``layers``, of the faulty layer; "last_layer" for the loss.
    parameter : str, optional
        The first gradient that is wrong, parameters in their order before inputs in theirs. A parameter has its own
        name; inputs are "x" and "y", and "x0", "x1", … where there are more than two. None if no gradient is wrong
        when it is first asked for, but a contract is broken.
    cause : str, optional
        One of `CAUSES`; None if no short cause explains it.
    also : tuple of str
        The other gradients that are wrong by the same mistake.
    """

    name: str
    kind: Kind
    make: Callable[[], Any]
    arguments: Arguments
    story: str
    expect: Expect
    layer: str | None = None
    parameter: str | None = None
    cause: str | None = None
    also: tuple[str, ...] = ()


def normal(*shapes: tuple[int, ...], scale: float = 1.0, offset: float = 0.0) -> Arguments:
    """Give one array of normal numbers for each shape."""
    return lambda rng: tuple(offset + scale * rng.standard_normal(shape) for shape in shapes)


def uniform(low: float, high: float, *shapes: tuple[int, ...]) -> Arguments:
    """Give one array of numbers between `low` and `high` for each shape."""
    return lambda rng: tuple(rng.uniform(low, high, shape) for shape in shapes)


def clear(*shapes: tuple[int, ...], low: float = 0.1, high: float = 2.0) -> Arguments:
    """Give one array for each shape, of numbers of both signs whose sizes lie between `low` and `high`."""
    return lambda rng: tuple(rng.choice([-1.0, 1.0], shape) * rng.uniform(low, high, shape) for shape in shapes)


def spread(shape: tuple[int, ...], gap: float = 0.3) -> Arguments:
    """Give one array of numbers in random order, about `gap` apart."""

    def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
        size = int(np.prod(shape))
        x = gap * (rng.permutation(size) - size / 2) + rng.uniform(0, gap / 3, size)
        return (x.reshape(shape),)

    return arguments


def labelled(*shape: int, classes: int, scale: float = 1.0) -> Arguments:
    """Give normal examples of `shape`, and the labels 0, 1, …, `classes` - 1, 0, 1, …"""
    return lambda rng: (scale * rng.standard_normal(shape), np.arange(shape[0]) % classes)


def fixed(*arrays: Any) -> Arguments:
    """Give copies of these arrays, whatever the generator."""
    return lambda _: tuple(np.array(array) for array in arrays)


def weights(*shape: int, seed: int = 0, scale: float = 1.0) -> tuple[Any, Any]:
    """Give weights of `shape` and as many biases as the last axis is long; no seed of arguments gives the same."""
    rng = np.random.default_rng([seed, 1])
    return scale * rng.standard_normal(shape), scale * rng.standard_normal(shape[-1])
