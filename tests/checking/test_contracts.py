"""What the check asks beside differences, what it leaves behind, and what it refuses."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from chainrule import Affine, GradientReport, Relu, Sigmoid, Tanh, TwoLayerNet, check_gradients
from chainrule.testing import assert_gradients
from mutants import parts
from mutants.case import weights
from mutants.layers import AffineJ, AffineK, AffineL, AffineU, AffineV, Identity, ReluA, SigmoidC, SigmoidD, TanhC

X = np.random.default_rng(0).standard_normal((5, 4))


def broken(report: GradientReport) -> dict[str, str | None]:
    return {c.name: c.cause for c in report.contracts if c.held is False}


def test_a_right_layer_keeps_all_contracts() -> None:
    report = check_gradients(parts.Affine(*weights(4, 3)), X)
    assert [c.held for c in report.contracts] == [True] * 11


@pytest.mark.parametrize(
    ("layer", "contract", "cause"),
    [
        (ReluA(), "dout unchanged", "writes into dout"),
        (TanhC(), "dout unchanged", "writes into dout"),
        (AffineL(*weights(4, 3)), "parameters unchanged", "writes into a parameter"),
        (Identity(), "what backward gives is nobody else's memory", "aliases dout"),
        (AffineJ(*weights(4, 3)), "a second backward gives the same", "accumulates"),
        (SigmoidD(), "a second backward gives the same", "second backward differs"),
        (SigmoidC(), "backward is linear in dout", "dout ignored"),
        (SigmoidC(), "backward of 0 is 0", "dout ignored"),
        (AffineV(*weights(4, 3)), "backward is linear in dout", "not linear in dout"),
        (AffineU(*weights(4, 3)), "results are the caller's to keep", "overwrites its last result"),
        (AffineK(*weights(4, 3)), "a second batch is not mistaken for the first", "stale batch"),
    ],
)
def test_each_contract_is_seen_broken(layer: Any, contract: str, cause: str) -> None:
    report = check_gradients(layer, X, strict=True)
    assert report.verdict == "wrong"
    assert str(broken(report)[contract]).partition(":")[0] == cause


class Overheating:
    """Gives warmer outputs with every call."""

    def __init__(self) -> None:
        self.heat = 0.0

    def forward(self, x: Any) -> Any:
        self.heat += 1
        return x * self.heat

    def backward(self, dout: Any) -> Any:
        return dout * self.heat


def test_a_forward_that_goes_on_from_its_last_call_is_a_hazard() -> None:
    report = check_gradients(Overheating(), X)
    assert report.verdict == "right", str(report)
    assert broken(report)["the same again from the same arrays"] == "not deterministic"
    assert check_gradients(Overheating(), X, strict=True).verdict == "wrong"


class Clock:
    """Gives other outputs with every call, by a clock that nothing sets back."""

    ticks = iter(range(1, 10_000))

    def forward(self, x: Any) -> Any:
        self.heat = next(self.ticks)
        return x * self.heat

    def backward(self, dout: Any) -> Any:
        return dout * self.heat


def test_a_forward_that_changes_by_itself_is_reported_and_nothing_compared() -> None:
    report = check_gradients(Clock(), X)
    assert broken(report)["the same again from the same arrays"] == "not deterministic"
    assert "NumPy's global generator" in str(report)
    assert report.arrays == ()
    assert report.cause == "not deterministic"


def test_a_batch_the_subject_refuses_is_said_to_be_untried() -> None:
    class Only:
        def forward(self, x: Any) -> Any:
            if not np.allclose(x, X, atol=0.01, rtol=0.01):
                raise LookupError("never seen")
            return x * 2

        def backward(self, dout: Any) -> Any:
            return dout * 2

    report = check_gradients(Only(), X)
    assert report.ok
    untried = next(c for c in report.contracts if c.held is None)
    assert "LookupError: never seen" in untried.detail
    assert "not tried" in str(report)


# --- what it leaves behind ---


@pytest.mark.parametrize("layer", [AffineL, AffineJ, parts.Affine])
def test_parameters_are_as_before_bit_for_bit(layer: Any) -> None:
    W, b = weights(4, 3)
    subject = layer(W, b)
    before = W.tobytes(), b.tobytes()
    check_gradients(subject, X)
    assert (W.tobytes(), b.tobytes()) == before
    assert subject.W is W


class Interrupted(parts.Affine):
    """Raises from that call on: in the middle of a check, when an array has been moved."""

    def __init__(self, error: BaseException, calls: int) -> None:
        super().__init__(*weights(4, 3))
        self.error, self.left = error, calls

    def forward(self, x: Any) -> Any:
        self.left -= 1
        if self.left <= 0:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 10, 13, 20, 50, 100])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ArithmeticError("midway")])
def test_arrays_and_generators_are_as_before_after_an_exception_and_after_ctrl_c(
    error: BaseException, calls: int
) -> None:
    layer, x = Interrupted(error, calls), X.copy()
    before = layer.W.tobytes(), layer.b.tobytes()
    np.random.seed(5)
    random.seed(5)
    with pytest.raises(type(error)) as raised:
        check_gradients(layer, x)
    assert isinstance(error, KeyboardInterrupt) or "its arrays are as before" in raised.value.__notes__[-1]
    assert (layer.W.tobytes(), layer.b.tobytes()) == before
    assert x.tobytes() == X.tobytes()
    assert np.random.random() == np.random.RandomState(5).random_sample()
    assert random.random() == random.Random(5).random()


def test_what_the_subject_keeps_in_arrays_is_as_before() -> None:
    class Counting(parts.Tanh):
        def __init__(self) -> None:
            self.calls = np.zeros(1)

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return super().forward(x)

    layer = Counting()
    assert check_gradients(layer, X).ok
    assert layer.calls[0] == 0


@pytest.mark.parametrize("source", ["global", "generator", "legacy", "python"])
def test_noise_is_frozen_and_the_generators_are_as_before(source: str) -> None:
    rng: Any = {"generator": np.random.default_rng(1), "legacy": np.random.RandomState(1)}.get(source)

    class Noise:
        def __init__(self) -> None:
            self.rng = rng

        def draw(self, shape: Any) -> Any:
            if source == "global":
                return np.random.random(shape)
            if source == "python":
                return np.full(shape, 0.5 + random.random())
            return self.rng.random(shape)

        def forward(self, x: Any) -> Any:
            self.x, self.mask = x, self.draw(x.shape) > 0.4
            return np.sin(x) * self.mask

        def backward(self, dout: Any) -> Any:
            return dout * self.mask * np.cos(self.x)

    np.random.seed(1)
    random.seed(1)
    layer = Noise()
    report = check_gradients(layer, X)
    assert report.arrays[0].verdict == "right", str(report)
    first = layer.draw((3,))
    np.random.seed(1)
    random.seed(1)
    if source == "generator":
        layer.rng = np.random.default_rng(1)
    if source == "legacy":
        layer.rng = np.random.RandomState(1)
    np.testing.assert_array_equal(first, layer.draw((3,)))


def test_the_library_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    check_gradients(Tanh(), X)
    check_gradients(TanhC(), X)
    assert capfd.readouterr() == ("", "")


def test_two_checks_give_the_same_report() -> None:
    net = TwoLayerNet(4, 5, 3, weight_init_std=0.5, seed=1)
    t = np.array([0, 1, 2, 0, 1])
    assert check_gradients(net, X, t).to_dict() == check_gradients(net, X, t).to_dict()
    one, other = (check_gradients(net, X, t, mode="directions", seed=seed) for seed in (0, 1))
    assert one.arrays != other.arrays


# --- what it refuses ---


class NoBackward:
    def forward(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("subject", "arguments", "error", "message"),
    [
        (NoBackward(), (X,), TypeError, r"^NoBackward has forward but no backward; a layer has forward and backward, "),
        (Relu, (X,), TypeError, r"^Relu is a class, not an object: call it first"),
        (np.sin, (X,), TypeError, r"^sin is one function, without its gradient"),
        (3, (X,), TypeError, r"^int cannot be checked"),
        (Tanh(), (np.arange(4),), TypeError, r"^Tanh has nothing to differentiate by \(x is int64\); pass arrays"),
        (Tanh(), (X.astype(np.float16),), TypeError, r"^x is float16, whose three digits leave nothing"),
        (Tanh(), (X.astype(complex),), TypeError, r"complex128; chainrule computes in float32 or float64$"),
        (Tanh(), (np.where(X > 2, np.nan, X),), None, ""),
        (Tanh(), (np.full((2, 2), np.nan),), ValueError, r"^x\[0, 0\] is nan; a gradient can be checked"),
        (Tanh(), (np.array(np.inf),), ValueError, r"^x is inf; "),
        (parts.Affine(np.ones((4, 3), int), np.ones(3)), (X,), TypeError, r"^W is int64, which cannot be moved"),
        (parts.Affine([[1.0]], np.ones(1)), (np.ones((2, 1)),), TypeError, r"^W is a list; make it a float array"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(subject: Any, arguments: Any, error: Any, message: str) -> None:
    if error is None:
        check_gradients(subject, *arguments)
        return
    with pytest.raises(error, match=message):
        check_gradients(subject, *arguments)


def test_a10_a_read_only_parameter_is_refused_by_name() -> None:
    W, b = weights(4, 3)
    W.flags.writeable = False
    with pytest.raises(ValueError, match=r"^W is read-only, and a check moves it in place; give it a copy"):
        check_gradients(parts.Affine(W, b), X)


def test_an_output_that_is_not_finite_is_refused_by_place() -> None:
    pair = (lambda x: np.log(x).sum(), lambda x: 1 / x)
    with pytest.raises(
        ValueError, match=r"f gives -inf for these arguments; a gradient can be checked where it is finite"
    ):
        check_gradients(pair, np.array([0.0, 1.0]))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "quick"}, ValueError, "mode must be 'auto', 'full' or 'directions', got 'quick'"),
        ({"directions": 0}, ValueError, r"directions must lie in 1\.\."),
        ({"seed": -1}, ValueError, "seed must lie in 0"),
        ({"tolerance": 0}, ValueError, "tolerance must be"),
        ({"tolerance": "small"}, TypeError, "tolerance must be"),
    ],
)
def test_bad_options_are_refused(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        check_gradients(Tanh(), X, **options)


def test_too_many_gradients_are_refused() -> None:
    class Two(parts.Tanh):
        def backward(self, dout: Any) -> Any:
            return dout, dout

    with pytest.raises(ValueError, match=r"^Two\.backward gives 2 gradients for 1 inputs \(x\)"):
        check_gradients(Two(), X)


# --- several inputs and outputs, and other ways to be a layer ---


def test_inputs_go_by_the_names_of_the_arguments() -> None:
    class Product:
        def forward(self, left: Any, right: Any) -> Any:
            self.left, self.right = left, right
            return left * right

        def backward(self, dout: Any) -> Any:
            return dout * self.right, dout * self.left

    assert [a.name for a in check_gradients(Product(), X, X + 1).arrays] == ["left", "right"]


def test_a_large_layer_is_compared_along_directions_and_the_wrong_entry_found() -> None:
    class Halved(Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.dW[17, 3] /= 2
            return dx

    rng = np.random.default_rng(1)
    layer = Halved(rng.standard_normal((100, 50)), np.zeros(50))
    report = check_gradients(layer, rng.standard_normal((3, 100)))
    W = report.arrays[0]
    assert (W.mode, W.verdict, W.place) == ("directions", "wrong", "W[17, 3]")
    assert W.numeric == pytest.approx(2 * W.analytic, rel=1e-6)
    assert [a.verdict for a in report.arrays[1:]] == ["right", "right"]


def test_a_cause_is_found_along_directions_too() -> None:
    class Doubled(Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.dW *= 2
            return dx

    rng = np.random.default_rng(1)
    layer = Doubled(rng.standard_normal((100, 50)), np.zeros(50))
    assert check_gradients(layer, rng.standard_normal((3, 100))).cause == "factor 2"


# --- assert_gradients ---


def test_assert_gradients_gives_the_report() -> None:
    assert assert_gradients(Sigmoid(), X).ok


def test_assert_gradients_fails_with_the_report() -> None:
    with pytest.raises(AssertionError, match=r"(?s)layer SigmoidC.*cause: dout ignored.*GRADIENTS DIFFER"):
        assert_gradients(SigmoidC(), X)


def test_assert_gradients_wants_all_proved_unless_told() -> None:
    x = np.array([[1.0, 0.0, -2.0]])
    with pytest.raises(AssertionError, match="1 at a kink"):
        assert_gradients(Relu(), x)
    assert assert_gradients(Relu(), x, allow_unproven=True).kinks == 1


def test_assert_gradients_in_unittest() -> None:
    import unittest

    class Case(unittest.TestCase):
        def test_right(self) -> None:
            assert_gradients(Tanh(), X)

        def test_wrong(self) -> None:
            assert_gradients(SigmoidC(), X)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (result.testsRun, len(result.failures), len(result.errors)) == (2, 1, 0)
