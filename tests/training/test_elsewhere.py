"""Arguments by the names that other libraries have for them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop, TwoLayerNet, fit
from chainrule._other_names import taking, telling
from chainrule.training.elsewhere import FIT_ELSEWHERE, OPTIMIZERS_ELSEWHERE

KINDS: list[type[Optimizer]] = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam]


def data(n: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.random((n, 4)), rng.integers(3, size=n)


def bits(**options: Any) -> list[bytes]:
    net = TwoLayerNet(4, 5, 3, 0.5, seed=0)
    fit(net, *data(), epochs=3, seed=1, **options)
    return [array.tobytes() for array in net.params.values()]


@pytest.mark.parametrize("name", FIT_ELSEWHERE)
def test_fit_says_what_an_argument_is_called_here_and_does_nothing(name: str) -> None:
    assert name not in inspect.signature(fit).parameters
    net = TwoLayerNet(4, 5, 3, seed=0)
    before = net.params["W1"].copy()
    with pytest.raises(TypeError, match=f"^fit has no argument {name}: "):
        fit(net, *data(), **{name: 1})  # type: ignore[arg-type]
    assert (net.params["W1"] == before).all()


@pytest.mark.parametrize("text", sorted(set(FIT_ELSEWHERE.values())))
def test_what_is_said_to_be_called_so_is(text: str) -> None:
    """It works: after "it is called", or before "=", stands an argument."""
    told = text.removeprefix("it is called ").partition(",")[0] if text.startswith("it is called") else ""
    names = [told] if told else [part.split()[-1].split("(")[-1] for part in text.split("=")[:-1]]
    names = [name for name in names if name in inspect.signature(fit).parameters]
    assert names or "sample_weight" in text or "network" in text or "history" in text


def test_another_wrong_name_is_pythons_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        fit(TwoLayerNet(4, 5, 3), *data(), wrong=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_takes_its_learning_rate_by_the_longer_name(kind: Any) -> None:
    assert kind(learning_rate=0.25).lr == 0.25
    for given in ({"lr": 0.1}, {}):
        with pytest.raises(TypeError, match="learning_rate is another name for lr: give one of them"):
            kind(*([] if given else [0.1]), learning_rate=0.25, **given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPTIMIZERS_ELSEWHERE)
def test_an_optimizer_says_what_an_argument_is_called_here(kind: Any, name: str) -> None:
    if name in inspect.signature(kind).parameters:
        assert getattr(kind(**{name: 0.5}), name) == 0.5
    else:
        with pytest.raises(TypeError, match=rf"^{kind.__name__} has no argument {name}: "):
            kind(**{name: 0.5})


@pytest.mark.parametrize("kind", KINDS)
def test_fit_knows_the_optimizers_by_name(kind: Any) -> None:
    assert bits(optimizer=kind.__name__.lower()) == bits(optimizer=kind())
    assert bits(optimizer=kind.__name__, learning_rate=0.02) == bits(optimizer=kind(0.02))
    schedule = chainrule.cosine(0.05, 3)
    assert bits(optimizer=kind.__name__, schedule=schedule) == bits(optimizer=kind(0.05), schedule=schedule)


def test_a_name_that_no_optimizer_has_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"one of sgd, momentum, .*, adam, or an Optimizer, got 'lion'"):
        fit(TwoLayerNet(4, 5, 3), *data(), optimizer="lion")


# --- the size of a batch ---


@pytest.mark.parametrize(("n", "steps"), [(60, 1), (100, 1), (101, 2), (250, 3)])
@pytest.mark.parametrize("replace", [False, True])
def test_a_batch_has_100_examples_or_all_that_there_are(n: int, steps: int, replace: bool) -> None:
    nets = [TwoLayerNet(4, 5, 3, 0.5, seed=0) for _ in range(2)]
    history = fit(nets[0], *data(n), seed=1, replace=replace)
    assert len(history.losses) == steps
    fit(nets[1], *data(n), seed=1, replace=replace, batch_size=min(n, 100))
    assert [a.tobytes() for a in nets[0].params.values()] == [a.tobytes() for a in nets[1].params.values()]


def test_those_that_are_held_out_do_not_count() -> None:
    assert len(fit(TwoLayerNet(4, 5, 3), *data(120), validation=0.5).losses) == 1


def test_a_number_that_was_given_stays_an_error() -> None:
    with pytest.raises(ValueError, match="batch_size is 100, but there are 60 examples"):
        fit(TwoLayerNet(4, 5, 3), *data(), batch_size=100)


# --- the decorators ---


def test_a_decorated_function_is_itself_in_all_else() -> None:
    def add(self: int, a: int, b: int = 2) -> int:
        """Add."""
        return self + a + b

    told = taking(c="b")(telling(a="never", d="no d")(add))
    assert (told.__doc__, told.__name__, inspect.signature(told)) == ("Add.", "add", inspect.signature(add))
    assert [told(1, 2), told(1, a=2), told(1, a=2, c=5)] == [5, 5, 8]  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no argument d: no d"):
        told(1, 2, d=3)  # type: ignore[call-arg]
