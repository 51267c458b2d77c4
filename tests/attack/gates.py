"""The public functions, layers and networks, given what is no array, or one that lies in an odd place.

What comes is an error of a class that fits, or what comes of the same numbers in a plain array, bit for bit; and no
argument has been written to.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule
from attack import odd
from attack.target import Target, Wrong, kind, number_of

#: A shape of numbers, a shape of classes below some number, or a number by itself.
Argument = tuple[str, Any]
NUMBERS: list[Any] = [
    0, -1, 1, 2, 3, 0.5, -0.0, float("nan"), float("inf"), True, None, "1", b"1", 2**31, 2**63, 2**70, 1e308, 1e-320,
    np.int8(3), np.float32(0.5), np.uint64(2**63), 1j, [], [1], np.array(2), np.array([2]), np.ma.masked, (), 1.0,
    np.float64("nan"), np.longdouble(0.5),
]  # fmt: skip


@dataclass(frozen=True)
class Door:
    """A way into the package, and what it takes."""

    call: Callable[..., Any]
    arguments: tuple[Argument, ...]


def x(*shape: int) -> Argument:
    return "numbers", shape


def ids(*shape: int, classes: int = 3) -> Argument:
    return "classes", (shape, classes)


def number(usual: Any) -> Argument:
    return "number", usual


def there_and_back(make: Callable[[], Any], into: tuple[int, ...], out: tuple[int, ...]) -> Door:
    """Give the way forward and back through a new layer."""

    def call(x: Any, dout: Any) -> Any:
        layer = make()
        return (
            layer.forward(x),
            layer.backward(dout),
            {name: getattr(layer, name, None) for name in ("dW", "db", "dgamma")},
        )

    return Door(call, (x(*into), x(*out)))


def taught(make: Callable[[], Any]) -> Door:
    def call(x: Any, t: Any) -> Any:
        loss = make()
        return loss.forward(x, t), loss.backward()

    return Door(call, (x(5, 3), ids(5)))


def numerical_gradient(x: Any) -> Any:
    """Take it of a sum in one order, and of an array that may be moved: of what is none it takes a copy in float64."""
    x = np.array(x) if hasattr(x, "__array__") and not isinstance(x, np.ma.MaskedArray) else x
    return chainrule.numerical_gradient(lambda v: float(np.ascontiguousarray(v).sum()), x)


W, B, F = np.arange(12.0).reshape(4, 3) / 7, np.arange(3.0), np.arange(18.0).reshape(2, 1, 3, 3) / 9


def net() -> Any:
    return chainrule.TwoLayerNet(4, 6, 3, seed=0)


def filled(name: str) -> Callable[[Any], Any]:
    """Put something into a parameter."""

    def call(value: Any) -> Any:
        made = net()
        made.params[name] = value
        return made.params[name]

    return call


def fitted(x: Any, t: Any, weights: Any, size: Any, rate: Any) -> Any:
    made = net()
    history = chainrule.fit(
        made, x, t, epochs=2, batch_size=size, learning_rate=rate, sample_weight=weights, seed=0, on_nonfinite="ignore"
    )
    return history.losses, dict(made.params)


def of_images(stride: Any = 1, pad: Any = 1) -> Any:
    return chainrule.Convolution(F, np.zeros(2), stride, pad)


DOORS = {
    **{
        name: Door(getattr(chainrule, name), (x(5, 3),))
        for name in (
            "relu", "relu_grad", "sigmoid", "sigmoid_grad", "softmax", "log_softmax", "step_function",
            "identity_function", "smooth_curve",
        )
    },
    **{
        name: Door(getattr(chainrule, name), (x(5, 3), ids(5)))
        for name in ("cross_entropy_error", "mean_squared_error", "sum_squared_error", "softmax_loss")
    },
    "numerical_gradient": Door(numerical_gradient, (x(2, 3),)),
    "im2col": Door(chainrule.im2col, (x(2, 1, 5, 5), number(3), number(3), number(1), number(0))),
    "col2im": Door(
        lambda x, h, w, stride, pad: chainrule.col2im(x, (2, 1, 5, 5), h, w, stride, pad),
        (x(18, 9), number(3), number(3), number(1), number(0)),
    ),
    "conv_output_size": Door(chainrule.conv_output_size, (number(5), number(3), number(1), number(0))),
    "shuffle_dataset": Door(lambda x, t: (np.random.seed(0), chainrule.shuffle_dataset(x, t))[1], (x(5, 3), ids(5))),
    "Affine": there_and_back(lambda: chainrule.Affine(W, B), (5, 4), (5, 3)),
    "Affine(W, b)": Door(lambda W, b: chainrule.Affine(W, b).forward(np.ones((2, 4))), (x(4, 3), x(3))),
    "Convolution": there_and_back(of_images, (2, 1, 5, 5), (2, 2, 5, 5)),
    "Convolution(W, b, stride, pad)": Door(
        lambda W, b, stride, pad: chainrule.Convolution(W, b, stride, pad).forward(np.ones((1, 1, 5, 5))),
        (x(2, 1, 3, 3), x(2), number(1), number(0)),
    ),
    "Pooling(height, width, stride, pad)": Door(
        lambda h, w, stride, pad: chainrule.Pooling(h, w, stride, pad).forward(np.ones((1, 1, 5, 5))),
        (number(2), number(2), number(2), number(0)),
    ),
    "Pooling": there_and_back(lambda: chainrule.Pooling(2, 2, 2), (2, 1, 4, 4), (2, 1, 2, 2)),
    "AveragePooling": there_and_back(lambda: chainrule.AveragePooling(2, 2, 2), (2, 1, 4, 4), (2, 1, 2, 2)),
    "BatchNormalization": there_and_back(lambda: chainrule.BatchNormalization(np.ones(3), B.copy()), (5, 3), (5, 3)),
    "BatchNormalization(gamma, beta)": Door(
        lambda gamma, beta, momentum: chainrule.BatchNormalization(gamma, beta, momentum).forward(W),
        (x(3), x(3), number(0.9)),
    ),
    "LayerNormalization": there_and_back(lambda: chainrule.LayerNormalization(np.ones(3), B.copy()), (5, 3), (5, 3)),
    "Dropout": there_and_back(lambda: chainrule.Dropout(0.5, seed=0), (5, 3), (5, 3)),
    "Dropout(ratio)": Door(
        lambda ratio, seed: chainrule.Dropout(ratio, seed=seed).forward(np.ones((2, 3))), (number(0.5), number(3))
    ),
    "Reshape": there_and_back(lambda: chainrule.Reshape((3, 1)), (5, 3), (5, 3, 1)),
    "Flatten": there_and_back(chainrule.Flatten, (5, 1, 3), (5, 3)),
    **{
        name: there_and_back(getattr(chainrule, name), (5, 3), (5, 3))
        for name in ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Identity", "Rescaling")
    },
    **{name: taught(getattr(chainrule, name)) for name in ("SoftmaxWithLoss", "SigmoidWithLoss", "IdentityWithLoss")},
    "predict": Door(lambda x: net().predict(x), (x(5, 4),)),
    "loss": Door(lambda x, t: net().loss(x, t), (x(5, 4), ids(5))),
    "gradient": Door(lambda x, t: dict(net().gradient(x, t)), (x(5, 4), ids(5))),
    "accuracy": Door(lambda x, t: net().accuracy(x, t), (x(5, 4), ids(5))),
    "params[W1]": Door(filled("W1"), (x(4, 6),)),
    "fit": Door(fitted, (x(5, 4), ids(5), x(5), number(2), number(0.1))),
    "step": Door(
        lambda rate, decay: chainrule.SGD(rate, weight_decay=decay).lr, (number(0.1), number(0.0))
    ),
    "check_gradients": Door(
        lambda x: chainrule.check_gradients(chainrule.Tanh(), x, seed=0).ok, (x(2, 3),)
    ),
    "Variable": Door(lambda a, b: (chainrule.Variable(a) * chainrule.Variable(b) + 1).value, (x(2, 3), x(2, 3))),
    "TwoLayerNet": Door(
        lambda a, b, c, std, seed: dict(chainrule.TwoLayerNet(a, b, c, std, seed=seed).params),
        (number(4), number(3), number(2), number(0.01), number(0)),
    ),
}  # fmt: skip


def bits(result: Any) -> Any:
    """Give something that is equal for the same bits only."""
    if isinstance(result, np.ndarray | np.generic):
        return result.dtype.str, np.shape(result), np.asarray(result).tobytes()
    if isinstance(result, Mapping):
        return [(name, bits(value)) for name, value in result.items()]
    if isinstance(result, tuple | list):
        return [bits(value) for value in result]
    return repr(result)


class Gates(Target):
    """A random door, and random arguments."""

    def judge(self, case: bytes) -> str:
        rng = random.Random(number_of(case))
        name = rng.choice(list(DOORS))
        door = DOORS[name]
        plain, given = zip(*(self._argument(rng, argument) for argument in door.arguments), strict=True)
        before = [copy.deepcopy(a) if type(a) is np.ndarray else None for a in given]
        said, come = self._through(name, door, given)
        for argument, was in zip(given, before, strict=True):
            if was is not None and not was.dtype.hasobject and argument.tobytes() != was.tobytes():
                raise Wrong(f"{name} has written into an argument")
        if all(one is other for one, other in zip(plain, given, strict=True)):
            return said
        said_of_plain, expected = self._through(name, door, plain)
        if bits(come) != bits(expected) or said.split()[:2] != said_of_plain.split()[:2]:
            raise Wrong(
                f"{name} gives {said} {come!r}, and of the same numbers in plain arrays {said_of_plain} {expected!r}"
            )
        return said

    @staticmethod
    def _argument(rng: random.Random, argument: Argument) -> tuple[Any, Any]:
        """Draw an argument: as plain as can be, and as it is given."""
        what, like = argument
        if what == "number":
            value = like if rng.random() < 0.6 else rng.choice(NUMBERS)
            return value, value
        if rng.random() < 0.1:
            value = odd.nothing(rng)
            return value, value
        plain: NDArray[Any] = odd.plain(rng, like) if what == "numbers" else odd.plain(rng, like[0], like[1])
        return plain, odd.another(rng, plain)

    @staticmethod
    def _through(name: str, door: Door, given: tuple[Any, ...]) -> tuple[str, Any]:
        """Go through a door; an error that is allowed is a result too."""
        try:
            with np.errstate(all="ignore"):
                return f"{name} went", door.call(*given)
        except (TypeError, ValueError) as error:
            if type(error) not in (TypeError, ValueError) or "internal error" in str(error):
                raise
            return f"{name} {kind(error)}", None
