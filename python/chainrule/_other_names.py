"""Arguments with names from other libraries: accept them, or tell the user the name here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def taking(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a method accept an argument by another name too: ``taking(learning_rate="lr")``.

    Giving both names at once raises a TypeError. The first argument of the method is `self`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for other, ours in names.items():
                if other in kwargs:
                    if ours in kwargs or len(args) > 1:
                        raise TypeError(f"{other} is another name for {ours}: give one of them")
                    kwargs[ours] = kwargs.pop(other)
            return function(*args, **kwargs)

        return call

    return decorate


def telling(**sentences: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function raise a TypeError that explains what to use for an argument with another library's name.

    Names that the function has itself are accepted as usual.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        code = function.__code__
        foreign = sentences.keys() - code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for other in kwargs:
                if other in foreign:
                    name = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
                    raise TypeError(f"{name} has no argument {other}: {sentences[other]}")
            return function(*args, **kwargs)

        return call

    return decorate
