"""What a subject holds: compared, named as not compared, or no parameter; and what the caller can say of it."""

from __future__ import annotations

import argparse
import types
from typing import Any

import numpy as np
import pytest

from chainrule import check_gradients


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


X = rng(9).standard_normal((5, 3))


class Theta:
    """x @ theta; its gradient is kept where no convention looks."""

    def __init__(self, factor: float = 1.0) -> None:
        self.theta, self.factor = rng().standard_normal((3, 2)), factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.theta

    def backward(self, dout: Any) -> Any:
        self.found = {"of theta": self.factor * self.x.T @ dout}
        return dout @ self.theta.T


def test_an_array_without_a_gradient_is_named_with_what_was_looked_for() -> None:
    report = check_gradients(Theta(), X)
    assert report.verdict == "unproven"
    (unseen,) = report.not_compared
    assert (unseen.name, unseen.shape) == ("theta", (3, 2))
    assert "dtheta" in unseen.looked_for
    assert "grad_theta" in unseen.looked_for
    assert "theta not compared" in report.headline
    assert report.to_dict()["not_compared"][0]["name"] == "theta"


@pytest.mark.parametrize(
    "told",
    [
        ("theta", "found['of theta']"),
        ("theta", lambda layer: layer.found["of theta"]),
        (lambda layer: layer.theta, lambda layer: layer.found["of theta"]),
    ],
)
def test_the_caller_says_where_they_lie(told: Any) -> None:
    assert check_gradients(Theta(), X, params={"W": told}).verdict == "right"
    report = check_gradients(Theta(0.5), X, params={"W": told})
    assert report.verdict == "wrong"
    assert report.cause == "factor 1/2"
    assert report.arrays[0].name == "W"


def test_what_is_told_of_nothing_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"ignore names 'tap', and there is no such array; those that stay in place: theta"
    ):
        check_gradients(Theta(), X, ignore="tap")
    with pytest.raises(TypeError, match=r"params\['W'\]\[0\] is NoneType, and no array"):
        check_gradients(Theta(), X, params={"W": ("phi", "dphi")})
    with pytest.raises(TypeError, match=r"params\['W'\] must be a pair"):
        check_gradients(Theta(), X, params={"W": "theta"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="wrt names 'y', and the arguments are x"):
        check_gradients(Theta(), X, wrt="y")
    with pytest.raises(ValueError, match="wrt names 2, and the arguments are x"):
        check_gradients(Theta(), X, wrt=2)


def test_constants_are_named_or_read_only() -> None:
    assert check_gradients(Theta(), X, ignore="theta").verdict == "right"
    layer = Theta()
    layer.theta.flags.writeable = False
    assert check_gradients(layer, X).verdict == "right"


class Box:
    """Holds an array in one of many ways."""

    __slots__ = ("box", "x")

    def __init__(self, box: Any) -> None:
        self.box = box

    def array(self) -> Any:
        return next(a for _, a in _walk(self.box))

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.array()

    def backward(self, dout: Any) -> Any:
        return dout * self.array()


def _walk(thing: Any) -> Any:
    if isinstance(thing, np.ndarray):
        yield None, thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from _walk(value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from _walk(value)
    else:
        yield from _walk(vars(thing))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: a,
        lambda a: [a],
        lambda a: (a, "b"),
        lambda a: {"a": a},
        lambda a: {"a": [{"b": (a,)}]},
        lambda a: types.SimpleNamespace(a=a),
    ],
)
def test_wherever_it_is_held_it_is_seen(wrap: Any) -> None:
    array = rng().standard_normal(3)
    report = check_gradients(Box(wrap(array)), X)
    assert report.verdict == "unproven", str(report)
    assert [unseen.shape for unseen in report.not_compared] == [(3,)]


def test_what_all_objects_of_a_class_share_is_seen_too() -> None:
    class Shared:
        taps = np.array([1.0, 2.0, 3.0])

        def forward(self, x: Any) -> Any:
            return x * self.taps

        def backward(self, dout: Any) -> Any:
            return dout * self.taps

    assert [unseen.name for unseen in check_gradients(Shared(), X).not_compared] == ["taps"]


def test_caches_running_means_and_buffers_are_not_meant() -> None:
    class Norm:
        def __init__(self) -> None:
            self.gamma, self.mean, self.buffer = np.ones(3), np.zeros(3), np.zeros((5, 3))
            self.moment = np.zeros(3)

        def forward(self, x: Any) -> Any:
            self.mean *= 0.9
            self.mean += 0.1 * x.mean(axis=0)
            np.copyto(self.buffer, x)
            self.last = x * 2
            return self.buffer * self.gamma

        def backward(self, dout: Any) -> Any:
            self.dgamma = (dout * self.buffer).sum(axis=0)
            return dout * self.gamma

    report = check_gradients(Norm(), X)
    assert report.verdict == "right", str(report)
    assert report.not_compared == ()


class Tied:
    """One array in two objects, each with its own gradient: they are added."""

    class Part:
        def __init__(self, W: Any, share: float) -> None:
            self.W, self.share = W, share

        def forward(self, x: Any) -> Any:
            self.x = x
            return x @ self.W

        def backward(self, dout: Any) -> Any:
            self.dW = self.share * self.x.T @ dout
            return dout @ self.W.T

    def __init__(self, share: float = 1.0) -> None:
        W = rng().standard_normal((3, 3))
        self.first, self.second = self.Part(W, 1.0), self.Part(W, share)

    def forward(self, x: Any) -> Any:
        return self.second.forward(np.tanh(self.first.forward(x)))

    def backward(self, dout: Any) -> Any:
        dout = self.second.backward(dout)
        return self.first.backward(dout * (1 - self.second.x**2))


def test_gradients_of_an_array_in_several_places_are_added() -> None:
    report = check_gradients(Tied(), X)
    assert report.verdict == "right"
    assert [a.name for a in report.arrays] == ["first.W", "x"]
    assert check_gradients(Tied(0.5), X).verdict == "wrong"


class Gain:
    """A gain that is a plain number, with its gradient beside it."""

    def __init__(self, factor: float = 1.0) -> None:
        self.alpha, self.factor, self.eps = 1.5, factor, 0.1

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.alpha * x + self.eps

    def backward(self, dout: Any) -> Any:
        self.dalpha = self.factor * float((dout * self.x).sum())
        return self.alpha * dout


def test_a_plain_number_with_a_gradient_is_a_parameter() -> None:
    layer = Gain()
    report = check_gradients(layer, X)
    assert {a.name: a.verdict for a in report.arrays} == {"alpha": "right", "x": "right"}
    assert layer.alpha == 1.5
    assert check_gradients(Gain(2.0), X).cause == "factor 2"


class Steps:
    """backward(dout, lr) takes a step of training itself."""

    def __init__(self, factor: float = 1.0) -> None:
        self.W, self.factor = rng().standard_normal((3, 2)), factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, dout: Any, lr: float) -> Any:
        dx = dout @ self.W.T
        self.W -= lr * self.factor * self.x.T @ dout
        return dx


def test_a_step_of_its_own_is_the_gradient_and_is_taken_back() -> None:
    layer = Steps()
    before = layer.W.copy()
    assert check_gradients(layer, X).verdict == "right"
    assert np.array_equal(layer.W, before)
    assert check_gradients(Steps(0.5), X).cause == "factor 1/2"


def test_data_in_the_closure_of_a_pair_is_held_fixed_and_said() -> None:
    a, b = rng().standard_normal((6, 3)), rng(1).standard_normal(6)
    report = check_gradients((lambda x: 0.5 * ((a @ x - b) ** 2).sum(), lambda x: a.T @ (a @ x - b)), X[0])
    assert report.verdict == "right"
    assert report.held_fixed == ("a", "b")
    assert "held fixed: a, b" in str(report)


# --- generators ---

CONFIG = argparse.Namespace(rng=np.random.default_rng(0))


def draw(shape: Any) -> Any:
    return (lambda: np.array([CONFIG.rng.random(shape[1]) for _ in range(shape[0])]))()


class Dropout:
    def forward(self, x: Any) -> Any:
        self.mask = draw(x.shape) > 0.5
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


def test_a_generator_in_a_configuration_named_in_a_comprehension_of_a_helper_is_frozen() -> None:
    state = CONFIG.rng.bit_generator.state
    assert check_gradients(Dropout(), X).verdict in ("right", "unproven")
    assert CONFIG.rng.bit_generator.state == state


# --- arguments without a gradient mean something as they are ---


@pytest.mark.parametrize("factor", [1.0, 1.1])
@pytest.mark.parametrize("kind", ["rotation", "signs", "unit", "mask"])
def test_arguments_are_not_moved_where_their_meaning_may_not_survive(kind: str, factor: float) -> None:
    """Each gradient uses what the argument means: Rᵀ R = 1, s² = 1, |u| = 1, m² = m."""
    q, _ = np.linalg.qr(rng(3).standard_normal((3, 3)))
    signs, mask = np.array([1.0, -1.0, 1.0]), np.array([1.0, 0.0, 1.0])
    unit = np.array([0.6, 0.0, 0.8])
    kinds: dict[str, Any] = {
        "rotation": (lambda x, q: 0.5 * ((q @ x) ** 2).sum(), lambda x, q: x, q),
        "signs": (lambda x, s: 0.5 * ((s * x) ** 2).sum(), lambda x, s: x, signs),
        "unit": (lambda x, u: 0.5 * ((x @ u) * u @ ((x @ u) * u)), lambda x, u: (x @ u) * u, unit),
        "mask": (lambda x, m: 0.5 * ((m * x) ** 2).sum(), lambda x, m: m * x, mask),
    }
    f, g, data = kinds[kind]
    report = check_gradients((f, lambda x, d: factor * g(x, d)), rng(4).standard_normal(3), data)
    assert report.verdict == ("right" if factor == 1.0 else "wrong"), str(report)
    assert len(report.held_fixed) == 1


# --- what is said to shapes of subject that people hand in ---


@pytest.mark.parametrize(
    ("subject", "arguments", "message"),
    [
        (lambda x: x**2, (X,), "is one function, without its gradient, and gives an array of shape"),
        (types.SimpleNamespace(forward=lambda x: x), (X,), "has forward but no backward"),
        (
            types.SimpleNamespace(forward=lambda x: x, backward=lambda d: d),
            (X, X),
            "cannot be called with the 2 arguments",
        ),
        (types.SimpleNamespace(forward=lambda x: None, backward=lambda d: d), (X,), "gives None, and leaves nothing"),
        (
            types.SimpleNamespace(forward=lambda x: x, backward=lambda d, state, what: d),
            (X,),
            "asks for d, state, what",
        ),
    ],
)
def test_messages_say_what_was_got_and_what_to_do(subject: Any, arguments: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check_gradients(subject, *arguments)


def test_an_object_that_refuses_to_be_asked_stops_nothing() -> None:
    class Refuses:
        __slots__ = ("__weakref__", "value")

        def __getattr__(self, name: str) -> Any:
            raise TypeError(f"descriptor {name!r} for type 'X' doesn't apply")

    class Holds:
        def __init__(self) -> None:
            self.foreign = Refuses()

        def forward(self, x: Any) -> Any:
            return 2 * x

        def backward(self, dout: Any) -> Any:
            return 2 * dout

    assert check_gradients(Holds(), X).verdict == "right"


def test_an_exit_in_a_second_backward_leaves_that_contract_untried() -> None:
    class Once:
        def forward(self, x: Any) -> Any:
            self.left = 1
            return 2 * x

        def backward(self, dout: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise SystemExit("called twice")
            return 2 * dout

    report = check_gradients(Once(), X)
    assert report.verdict == "right"
    assert any(c.held is None and "second" in c.name for c in report.contracts)


def test_outputs_in_a_dict_are_sent_back_in_one() -> None:
    class Both:
        def forward(self, x: Any) -> Any:
            self.x = x
            return {"sine": np.sin(x), "square": x**2}

        def backward(self, douts: Any) -> Any:
            return douts["sine"] * np.cos(self.x) + douts["square"] * 2 * self.x

    assert check_gradients(Both(), X).verdict == "right"
