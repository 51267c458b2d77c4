"""The optimizers of the book's chapter 6: how a gradient changes a parameter.

Each has the book's ``update(params, grads)`` for two dicts with the same keys: arrays are changed in place, Python
floats are replaced. In `fit`, the same object runs in Rust if the network does. Its state stays in ``kept`` in both
cases, so either way continues where the other stopped.

Sources: "Deep Learning from Scratch" §6.1, ``common/optimizer.py``, whose 1e-7 all have; Nesterov: Sutskever et al.,
"On the importance of initialization and momentum in deep learning", 2013; AdaGrad: Duchi, Hazan, Singer, "Adaptive
subgradient methods", 2011; RMSprop: Tieleman, Hinton, "Lecture 6.5: RMSProp", 2012; Adam: Kingma, Ba, "Adam: a method
for stochastic optimization", 2015.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import Any, ClassVar

import numpy as np

from chainrule._gate import FloatArray, floats, positive, real, writeable
from chainrule._other_names import taking, telling
from chainrule.training.elsewhere import OPTIMIZERS_ELSEWHERE
from chainrule.training.uninterrupted import uninterrupted

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "Optimizer", "RMSprop"]

#: Keeps the quotient finite where the gradient has always been 0.
_EPSILON = 1e-7


class Optimizer:
    """The base class of all optimizers; use `SGD`, `Momentum`, `Nesterov`, `AdaGrad`, `RMSprop` or `Adam`.

    Parameters
    ----------
    lr : float
        The learning rate, > 0; by default 0.001 for `Adam` and 0.01 for the others. ``learning_rate=`` works too.
    weight_decay : float, default 0.0
        Adds ``weight_decay · p`` to the gradient of every parameter with two axes or more, that is, of weights but not
        of biases; >= 0.

    Attributes
    ----------
    lr, weight_decay : float
        The learning rate and the strength of the decay; you may change them between steps.
    iter : int
        The number of steps made.
    kept : dict of str to tuple of ndarray
        The arrays that the rule keeps for each parameter, in its shape and dtype.

    Raises
    ------
    TypeError, ValueError
        If a number has the wrong type or is out of range.
    """

    #: The number of arrays that the rule keeps for each parameter.
    arrays: ClassVar[int] = 1

    def __init__(self, lr: float, weight_decay: float = 0.0) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.iter = 0
        self.kept: dict[str, tuple[FloatArray, ...]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """Check the numbers that may be changed between steps at the moment they are changed."""
        if name == "lr":
            value = positive(value, name)
        elif name == "weight_decay":
            value = real(value, name)
            if value < 0:
                raise ValueError(f"weight_decay must be >= 0, got {value!r}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        """Give one line: the class and its numbers, except a weight decay of 0."""
        numbers = {name: value for name, value in vars(self).items() if name not in ("iter", "kept")}
        if not self.weight_decay:
            numbers.pop("weight_decay", None)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in numbers.items())})"

    def update(self, params: MutableMapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Make one step.

        Parameters
        ----------
        params : dict of str to ndarray or float
            The parameters. Arrays of any shape are changed in place; floats are replaced.
        grads : dict of str to array_like
            The gradients of these parameters, in their shapes. A parameter without a gradient stays as it is.

        Raises
        ------
        TypeError
            If a gradient does not hold real numbers.
        ValueError
            If a gradient does not have the shape of its parameter, or the parameter is read-only.
        KeyError
            If there is no parameter with the name of a gradient. After any of these errors, nothing has been changed.
        """
        grads = {name: floats(grad, f"the gradient of {name}") for name, grad in grads.items()}
        for name, grad in grads.items():
            p = params[name]
            if grad.shape != np.shape(p):
                raise ValueError(f"the gradient of {name} must have its shape {np.shape(p)}, got {grad.shape}")
            if isinstance(p, np.ndarray):
                writeable(p, f"params[{name!r}]")
        self.prepare({name: params[name] for name in grads})
        with uninterrupted():
            self.iter += 1
            for name, grad in grads.items():
                p = params[name]
                if self.weight_decay and np.ndim(p) > 1:
                    grad = grad + self.weight_decay * p
                step = self.step(grad, *self.kept[name])
                if isinstance(p, np.ndarray):
                    p += step
                else:
                    params[name] = float(p + step)

    def prepare(self, params: Mapping[str, Any]) -> None:
        """Make arrays of zeros for all `params` that have none yet; refuse parameters of another shape than before."""
        made = {}
        for name, p in params.items():
            dtype = p.dtype if isinstance(p, np.ndarray) else np.dtype(np.float64)
            kept = self.kept.get(name)
            if kept is None:
                made[name] = tuple(np.zeros(np.shape(p), dtype) for _ in range(self.arrays))
            elif any((other.shape, other.dtype) != (np.shape(p), dtype) for other in kept):
                raise ValueError(
                    f"this optimizer has kept arrays of shape {kept[0].shape} for {name}, which has shape"
                    f" {np.shape(p)} ({kept[0].dtype}, {dtype}); make a new one for another network"
                )
        self.kept.update(made)

    def step(self, grad: Any, *kept: Any) -> Any:
        """Give the change to add to a parameter, and update `kept` in place.

        Parameters
        ----------
        grad : ndarray or float
            The gradient, in the shape of the parameter, weight decay included.
        *kept : ndarray
            The arrays kept for the parameter, in its shape.

        Returns
        -------
        ndarray or float
            In the shape of the parameter.

        Raises
        ------
        NotImplementedError
            From `Optimizer` itself, which has no rule.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no rule; use SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam"
        )


class SGD(Optimizer):
    """Gradient descent: ``p ← p - lr · g``.

    Examples
    --------
    >>> params = {"x": 1.0}
    >>> SGD(lr=0.1).update(params, {"x": 2.0})
    >>> params
    {'x': 0.8}
    """

    arrays = 0

    @taking(learning_rate="lr")
    @telling(**OPTIMIZERS_ELSEWHERE)
    def __init__(self, lr: float = 0.01, *, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)

    def step(self, grad: Any, *kept: Any) -> Any:
        return -(self.lr * grad)


class Momentum(Optimizer):
    """Gradient descent with a velocity: ``v ← momentum · v - lr · g``, ``p ← p + v``.

    Parameters
    ----------
    momentum : float, default 0.9
        The share of the velocity that remains after a step, in 0..1.

    Examples
    --------
    >>> params = {"x": 1.0}
    >>> Momentum(lr=0.1).update(params, {"x": 2.0})
    >>> params
    {'x': 0.8}
    """

    @taking(learning_rate="lr")
    @telling(**OPTIMIZERS_ELSEWHERE)
    def __init__(self, lr: float = 0.01, momentum: float = 0.9, *, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = _fraction(momentum, "momentum")

    def step(self, grad: Any, *kept: Any) -> Any:
        (v,) = kept
        v[...] = self.momentum * v - self.lr * grad
        return v


class Nesterov(Momentum):
    """`Momentum` that looks ahead: ``v ← momentum · v - lr · g``, ``p ← p + momentum · v - lr · g``.

    Examples
    --------
    >>> params = {"x": 1.0}
    >>> Nesterov(lr=0.1).update(params, {"x": 2.0})
    >>> params
    {'x': 0.62}
    """

    def step(self, grad: Any, *kept: Any) -> Any:
        return self.momentum * super().step(grad, *kept) - self.lr * grad


class AdaGrad(Optimizer):
    """Steps that shrink with all gradients so far: ``h ← h + g²``, ``p ← p - lr · g / (√h + 1e-7)``.

    Examples
    --------
    >>> params = {"x": 1.0}
    >>> AdaGrad(lr=0.1).update(params, {"x": 2.0})
    >>> params
    {'x': 0.9000000049999998}
    """

    @taking(learning_rate="lr")
    @telling(**OPTIMIZERS_ELSEWHERE)
    def __init__(self, lr: float = 0.01, *, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)

    def step(self, grad: Any, *kept: Any) -> Any:
        (h,) = kept
        h += grad * grad
        return -(self.lr * grad / (np.sqrt(h) + _EPSILON))


class RMSprop(Optimizer):
    """Steps that shrink with recent gradients: ``h ← ρ h + (1 - ρ) g²``, ``p ← p - lr · g / (√h + 1e-7)``.

    Parameters
    ----------
    decay_rate : float, default 0.99
        ρ, in 0..1.

    Examples
    --------
    >>> params = {"x": 1.0}
    >>> RMSprop(lr=0.1).update(params, {"x": 2.0})
    >>> params
    {'x': 4.999997503807307e-07}
    """

    @taking(learning_rate="lr")
    @telling(**OPTIMIZERS_ELSEWHERE)
    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99, *, weight_decay: float = 0.0) -> None:
        super().__init__(lr, weight_decay)
        self.decay_rate = _fraction(decay_rate, "decay_rate")

    def step(self, grad: Any, *kept: Any) -> Any:
        (h,) = kept
        h[...] = self.decay_rate * h + (1 - self.decay_rate) * (grad * grad)
        return -(self.lr * grad / (np.sqrt(h) + _EPSILON))


class Adam(Optimizer):
    """Momentum and RMSprop combined, both corrected for their start at 0.

    ``m ← m + (1 - β₁)(g - m)``, ``v ← v + (1 - β₂)(g² - v)``,
    ``p ← p - lr √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + 1e-7)``.

    Parameters
    ----------
    beta1, beta2 : float, default 0.9 and 0.999
        The shares of the running means of g and of g² that remain after a step, in 0..1.

    Examples
    --------
    >>> params = {"x": 1.0}
    >>> Adam(lr=0.1).update(params, {"x": 2.0})
    >>> params
    {'x': 0.900000158113633}
    """

    arrays = 2

    @taking(learning_rate="lr")
    @telling(**OPTIMIZERS_ELSEWHERE)
    def __init__(
        self, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, *, weight_decay: float = 0.0
    ) -> None:
        super().__init__(lr, weight_decay)
        self.beta1, self.beta2 = _fraction(beta1, "beta1"), _fraction(beta2, "beta2")

    def step(self, grad: Any, *kept: Any) -> Any:
        m, v = kept
        rate = self.lr * ((1 - self.beta2**self.iter) ** 0.5 / (1 - self.beta1**self.iter))
        m += (1 - self.beta1) * (grad - m)
        v += (1 - self.beta2) * (grad * grad - v)
        return -(rate * m / (np.sqrt(v) + _EPSILON))


def shortened(grads: Mapping[str, Any], largest_norm: float) -> dict[str, Any]:
    """Give the gradients, all scaled by the same factor so that their common norm is at most `largest_norm`."""
    norm = math.sqrt(sum(float(np.sum(np.square(grad, dtype=np.float64))) for grad in grads.values()))
    factor = largest_norm / norm if norm > largest_norm else 1.0
    return {name: grad if factor == 1 else grad * grad.dtype.type(factor) for name, grad in grads.items()}


def _fraction(value: Any, name: str) -> float:
    number = real(value, name)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must lie in 0 <= {name} < 1, got {value!r}")
    return number
