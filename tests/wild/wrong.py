"""Wrong versions of a right sample: each of its gradients halved, zeroed, negated, transposed, a mean for a sum.

The mistake is put into what the sample's own backward leaves behind, wherever its convention has it: a tuple, a dict,
an attribute of a layer in a list, a list that is written into. Nothing else changes, the class's name neither.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from wild.sample import Sample, follow, found, put
from wild.verify import weights

#: What is done to a gradient g of a batch of n.
MISTAKES: dict[str, Callable[[Any, int], Any]] = {
    "halved": lambda g, _: g * g.dtype.type(0.5),
    "zeroed": lambda g, _: np.zeros_like(g),
    "negated": lambda g, _: -g,
    "transposed": lambda g, _: g.T.copy() if g.ndim == 2 and g.shape[0] == g.shape[1] else g,
    "mean_for_sum": lambda g, n: g / g.dtype.type(n) if n > 2 else g,
}

Change = Callable[[Any], Any]


def versions(sample: Sample) -> Iterator[Sample]:
    """Give every wrong version whose gradient is another than the right one's."""
    run = sample.run()
    n = next((len(a) for a in run.arguments if isinstance(a, np.ndarray) and a.ndim), 0)
    gradients = run.gradients(weights(run))
    for array, gradient in sample.slots.items():
        for part in gradient.split("+"):
            for mistake, change in MISTAKES.items():
                right = np.asarray(gradients[array])
                if np.allclose(change(right, n), right, rtol=1e-2, atol=1e-8):
                    continue
                yield _version(sample, array, part, mistake, functools.partial(_changed, change, n))


def _changed(change: Callable[[Any, int], Any], n: int, gradient: Any) -> Any:
    return change(np.asarray(gradient), n)[()]


def _version(sample: Sample, array: str, gradient: str, mistake: str, change: Change) -> Sample:
    at = array if gradient in sample.slots.values() else gradient
    return replace(
        sample,
        name=f"{sample.name}-{at.replace('.', '_')}-{mistake}",
        make=lambda: spoiled(sample, sample.make(), array, gradient, change),
        truth="wrong",
        story=f"The gradient of {array} is {mistake.replace('_', ' ')}.",
    )


def spoiled(sample: Sample, subject: Any, array: str, gradient: str, change: Change) -> Any:
    """Give the subject with a backward that makes a mistake."""
    which = sample.calls.backward
    if isinstance(which, int):
        wrong = _after(subject[which], sample, None, array, gradient, change)
        return type(subject)(wrong if i == which else function for i, function in enumerate(subject))
    if not which:
        return _after(subject, sample, None, array, gradient, change)
    kind = type(subject)
    static = isinstance(inspect.getattr_static(kind, which), staticmethod)

    def method(self: Any, *args: Any, **options: Any) -> Any:
        right = functools.partial(getattr(kind, which), self)
        return _after(right, sample, self, array, gradient, change)(*args, **options)

    functools.update_wrapper(method, getattr(kind, which))
    replaced = staticmethod(_after(getattr(kind, which), sample, None, array, gradient, change)) if static else method
    names = {which: replaced, "__slots__": (), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    subject.__class__ = type(kind.__name__, (kind,), names)
    return subject


def _after(right: Any, sample: Sample, owner: Any, array: str, gradient: str, change: Change) -> Any:
    """Give a function that calls the right one, and changes the gradient it leaves behind."""

    def wrong(*args: Any, **options: Any) -> Any:
        if gradient == "moved":
            before = np.array(follow(owner, array))
            returned = right(*args, **options)
            moved = follow(owner, array)
            moved[...] = before - change(before - moved)
            return returned
        held = not gradient.startswith("returned")
        old = _present(owner, gradient) if held else None
        start = np.array(old) if old is not None and sample.calls.flush else 0
        returned = right(*args, **options)
        try:
            new = found(owner, returned, gradient)
        except (TypeError, IndexError, KeyError, AttributeError):  # a call for something else: scores only, perhaps
            return returned
        after = start + change(new - start)
        if not held:
            return put({"returned": returned}, gradient, after)["returned"]
        if old is not None and new is old:
            old[...] = after
        else:
            put(owner, gradient, after)
        return returned

    return functools.wraps(right)(wrong) if hasattr(right, "__name__") else wrong


def _present(owner: Any, path: str) -> Any:
    try:
        return follow(owner, path)
    except (TypeError, IndexError, KeyError, AttributeError):
        return None
