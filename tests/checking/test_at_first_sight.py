"""Kinds of code met in public repositories by a check that had not seen them: re-created, each with a wrong version.

`SIGN` in the text of a case is 1; with -1, or 0.5, its gradient is wrong and must be called so, or proved by nothing.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients, check_hessian
from chainrule.checking.files import check_file
from chainrule.cli import main

X = np.random.default_rng(0).standard_normal((5, 4))
V = np.random.default_rng(1).standard_normal(3)


def a_step_beside(sign: float) -> tuple[Any, ...]:
    class Dense:
        def __init__(self) -> None:
            self.weights = np.random.default_rng(1).standard_normal((4, 2))

        def forward(self, x: Any) -> Any:
            self.x = x
            return x @ self.weights

        def gradient(self, eta: Any) -> Any:
            self.w_gradient = self.x.T @ eta
            return sign * eta @ self.weights.T

        def backward(self, alpha: float = 0.1) -> None:
            self.weights -= alpha * self.w_gradient

    return Dense(), X


def a_gradient_of_another_name(sign: float) -> tuple[Any, ...]:
    class Pool:
        def forward(self, x: Any) -> Any:
            return x.reshape(len(x), -1, 2).mean(axis=2)

        def gradient(self, eta: Any) -> Any:
            return sign * np.repeat(eta, 2, axis=1) / 2

    return Pool(), X


def a_step_that_takes_nothing(sign: float) -> tuple[Any, ...]:
    class Dense:
        def __init__(self) -> None:
            self.w = np.random.default_rng(1).standard_normal((4, 2))

        def forward(self, x: Any) -> Any:
            self.input = x
            return x @ self.w

        def gradient(self, grad: Any) -> Any:
            self.grad_w = sign * self.input.T @ grad
            return grad @ self.w.T

        def backward(self) -> None:
            self.w -= 0.1 * self.grad_w

    return Dense(), X


def one_argument_more(sign: float) -> tuple[Any, ...]:
    class Tanh:
        def forward(self, x: Any) -> Any:
            return np.tanh(x)

        def gradient(self, input: Any, previous: Any) -> Any:
            return sign * previous * (1 - np.tanh(input) ** 2)

    return Tanh(), X


def other_capitals(sign: float) -> tuple[Any, ...]:
    class Tanh:
        def forwardPass(self, X: Any, training: bool = True) -> Any:
            self.y = np.tanh(X)
            return self.y

        def backwardPass(self, accumGrad: Any) -> Any:
            return sign * accumGrad * (1 - self.y**2)

    return Tanh(), X


def of_another_module_of_ours(sign: float) -> tuple[Any, ...]:
    class Sphere:
        def f(self, x: Any) -> float:
            return float(x @ x)

        def g(self, x: Any) -> Any:
            return sign * 2 * x

    return Sphere(), V


def val_and_deriv(sign: float) -> tuple[Any, ...]:
    class Tanh:
        def val(self, x: Any) -> Any:
            return np.tanh(x)

        def deriv(self, x: Any) -> Any:
            return sign * (1 - np.tanh(x) ** 2)

    return Tanh(), V


def left_to_subclasses(sign: float) -> tuple[Any, ...]:
    class Loss:
        def gradient(self, y: Any, y_pred: Any) -> Any:
            raise NotImplementedError

    class Square(Loss):
        def loss(self, y: Any, y_pred: Any) -> Any:
            return 0.5 * (y - y_pred) ** 2

        def grad(self, y: Any, y_pred: Any) -> Any:
            return sign * -(y - y_pred)

    return Square(), V, V + 1


def called_with_the_function(sign: float) -> tuple[Any, ...]:
    def quartic(x: Any) -> Any:
        return (x**4).sum()

    def grad_quartic(f: Any, x: Any) -> Any:
        return sign * 4 * x**3

    return (quartic, grad_quartic), V


def a_list_of_numbers(sign: float) -> tuple[Any, ...]:
    def cost(theta: Any, x: Any, y: Any, lam: float) -> Any:
        return ((x @ theta - y) ** 2).sum() + lam * (theta**2).sum()

    def compute_grad(theta: Any, x: Any, y: Any, lam: float) -> Any:
        r = x @ theta - y
        return [sign * (2 * (r @ x[:, j]) + 2 * lam * theta[j]) for j in range(len(theta))]

    return (cost, compute_grad), V, X[:, :3].copy(), X[:, 3].copy(), 0.5


D2 = (X[:, None, :2] - X[None, :, :2]) ** 2


def covariance(theta: Any) -> Any:
    return np.exp(2 * theta[0] - 0.5 * (D2 / np.exp(2 * theta[1:])).sum(axis=2))


def one_matrix_for_each_entry(sign: float) -> tuple[Any, ...]:
    def gradients(theta: Any) -> Any:
        k = covariance(theta)
        return [sign * 2 * k, *(k * D2[:, :, i] / np.exp(2 * theta[1 + i]) for i in range(2))]

    return (covariance, gradients), V


def a_matrix_in_front_of_those(sign: float) -> tuple[Any, ...]:
    _, gradients = one_matrix_for_each_entry(sign)[0]
    return (covariance, lambda theta: (covariance(theta), gradients(theta))), V


def both_in_one_function(sign: float) -> tuple[Any, ...]:
    _, gradients = one_matrix_for_each_entry(sign)[0]

    def covariance_and_gradients(theta: Any) -> Any:
        return covariance(theta), gradients(theta)

    return covariance_and_gradients, V


def a_hessian_if_asked_for(sign: float) -> tuple[Any, ...]:
    def bowl(x: Any, hessian: bool) -> Any:
        return x @ x, sign * 2 * x, 2 * np.eye(3) if hessian else None

    return bowl, V, False


def as_many_arguments_as_forward(sign: float) -> tuple[Any, ...]:
    def pad(x: Any, size: int) -> Any:
        return np.pad(x, ((0, 0), (size, size)))

    def pad_back(dout: Any, size: int) -> Any:
        return sign * dout[:, size:-size]

    return (pad, pad_back), X, 1


def numbered_names(sign: float) -> tuple[Any, ...]:
    def up(X: Any, W: Any, stride: int) -> Any:
        return X @ W * stride

    def up_dx(dZ1: Any, W1: Any, X1: Any, stride: int) -> Any:
        return sign * dZ1 @ W1.T * stride + 0 * X1

    return (up, up_dx), X, X[:4, :3].copy(), 2


def one_array_given_twice(sign: float) -> tuple[Any, ...]:
    class Cross:
        def forward(self, query: Any, key: Any, value: Any) -> Any:
            self.q, self.k, self.v = query, key, value
            e = np.exp(query @ key.T)
            self.p = e / e.sum(axis=-1, keepdims=True)
            return self.p @ value

        def backward(self, dout: Any) -> Any:
            dp = dout @ self.v.T
            ds = self.p * (dp - (dp * self.p).sum(axis=-1, keepdims=True))
            return ds @ self.k, sign * (ds.T @ self.q + self.p.T @ dout)

    memory = X[:3].copy()
    return Cross(), X, memory, memory


def a_step_after_the_gradient(sign: float) -> tuple[Any, ...]:
    class Net:
        def __init__(self) -> None:
            self.weight = {"W": np.random.default_rng(2).standard_normal((2, 4))}

        def forward(self, x: Any) -> Any:
            self.x = x
            self.y = x @ self.weight["W"].T
            return self.y

        def loss(self, output: Any, label: Any) -> Any:
            return 0.5 * ((output - label) ** 2).sum()

        def back_prop(self, y: Any) -> None:
            self.grad = {"W": sign * (self.y - y).T @ self.x}

        def backward(self, y: Any) -> None:
            self.back_prop(y)
            self.weight["W"] -= 0.01 * self.grad["W"]

    return Net(), X, X[:, :2].copy()


def weights_beside_gradient(sign: float) -> tuple[Any, ...]:
    class Net:
        def __init__(self) -> None:
            rng = np.random.default_rng(2)
            self.weights, self.bias = {"wx": rng.standard_normal((4, 2))}, {"bh": rng.standard_normal(2)}

        def forward(self, x: Any) -> Any:
            self.x = x
            self.y = np.tanh(x @ self.weights["wx"] + self.bias["bh"])
            return self.y

        def calculate_loss(self, y_pred: Any, label: Any) -> Any:
            return 0.5 * ((y_pred - label) ** 2).sum()

        def backprop(self, label: Any) -> None:
            d = sign * (self.y - label) * (1 - self.y**2)
            self.gradient = {"wx": self.x.T @ d, "bh": d.sum(axis=0)}

    return Net(), X, X[:, :2].copy()


def through_time(sign: float) -> tuple[Any, ...]:
    class Model:
        def __init__(self) -> None:
            rng = np.random.default_rng(3)
            self.U, self.V = rng.standard_normal((3, 4)), rng.standard_normal((4, 5))

        def calculate_loss(self, x: Any, y: Any) -> Any:
            out = np.tanh(self.U[x]) @ self.V
            return 0.5 * ((out - np.eye(5)[y]) ** 2).sum()

        def bptt(self, x: Any, y: Any) -> Any:
            h = np.tanh(self.U[x])
            d, dU = h @ self.V - np.eye(5)[y], np.zeros_like(self.U)
            np.add.at(dU, x, d @ self.V.T * (1 - h**2))
            return sign * dU, h.T @ d

    return Model(), np.array([0, 2, 1, 2]), np.array([1, 0, 3, 4])


W_IN, W_HH = np.random.default_rng(4).standard_normal((4, 3)), np.random.default_rng(5).standard_normal((4, 4))


def in_the_module(sign: float) -> tuple[Any, ...]:
    def loss_of(inputs: Any, targets: Any, before: Any) -> Any:
        hs, loss, back = {-1: before}, 0.0, np.zeros_like(before)
        dW_IN, dW_HH = np.zeros_like(W_IN), np.zeros_like(W_HH)
        for i, which in enumerate(inputs):
            hs[i] = np.tanh(W_IN[:, [which]] + W_HH @ hs[i - 1])
            loss += ((hs[i] - targets[i]) ** 2).sum() / 2
        for i in reversed(range(len(inputs))):
            d = (hs[i] - targets[i] + back) * (1 - hs[i] ** 2)
            dW_IN[:, [inputs[i]]] += d
            dW_HH += sign * d @ hs[i - 1].T
            back = W_HH.T @ d
        return loss, dW_IN, dW_HH, hs[len(inputs) - 1]

    targets, before = np.random.default_rng(6).standard_normal((3, 4, 1)), np.full((4, 1), 0.3)
    return loss_of, [0, 2, 1], targets, before


CASES: list[Callable[[float], tuple[Any, ...]]] = [
    a_step_beside, a_step_that_takes_nothing,
    a_gradient_of_another_name, one_argument_more, other_capitals, of_another_module_of_ours,
    val_and_deriv, left_to_subclasses, called_with_the_function, a_list_of_numbers, one_matrix_for_each_entry,
    a_matrix_in_front_of_those, both_in_one_function, a_hessian_if_asked_for, as_many_arguments_as_forward,
    numbered_names, one_array_given_twice, a_step_after_the_gradient, weights_beside_gradient, through_time,
    in_the_module,
]  # fmt: skip


def name_of(case: Callable[[float], tuple[Any, ...]]) -> str:
    return case.__name__


def report_of(case: Callable[[float], tuple[Any, ...]], sign: float, seed: int = 0) -> GradientReport:
    subject, *arguments = case(sign)
    return check_gradients(subject, *arguments, seed=seed)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_right_is_right(case: Callable[[float], tuple[Any, ...]], seed: int) -> None:
    report = report_of(case, 1.0, seed)
    assert report.verdict == "right", report


@pytest.mark.parametrize("sign", [-1.0, 0.5, 0.0])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_wrong_is_not_called_right(case: Callable[[float], tuple[Any, ...]], sign: float) -> None:
    report = report_of(case, sign)
    assert report.verdict == "wrong", report


def test_a_hessian_that_is_given_is_not_compared_and_that_is_said() -> None:
    def bowl(x: Any) -> Any:
        return x @ x, 2 * x, 3 * np.eye(3)  # which is wrong, and nobody has looked

    report = check_gradients(bowl, V)
    assert report.verdict == "unproven"
    assert "check_hessian" in str(report)


def test_columns_or_rows_of_a_square_matrix_is_not_known() -> None:
    m = np.random.default_rng(7).standard_normal((3, 3))
    for given in (list(m), list(m.T)):
        report = check_gradients((lambda t: m @ t, lambda t, given=given: given), V)
        assert report.verdict in ("right", "unproven"), report
    assert check_gradients((lambda t: m @ t, lambda t: list(2 * m)), V).verdict == "wrong"


@pytest.mark.parametrize("share", ["1 / 4", "1"])
def test_one_loss_an_example_whose_gradient_may_be_of_their_mean(share: str) -> None:
    class SoftmaxLoss:
        def forward(self, x: Any, y: Any) -> Any:
            e = np.exp(x - x.max(axis=1, keepdims=True))
            self.output = e / e.sum(axis=1, keepdims=True)
            return -np.log(self.output[np.arange(len(y)), y])

        def backward(self, output: Any, y: Any) -> Any:
            return (output - np.eye(3)[y]) * (0.25 if share == "1 / 4" else 1)

    report = check_gradients(SoftmaxLoss(), X[:4, :3].copy(), np.array([0, 2, 1, 1]))
    assert report.verdict == ("unproven" if share == "1 / 4" else "right")


@pytest.mark.parametrize("activated", [True, False])
def test_which_of_two_arrays_comes_out_is_not_known(activated: bool) -> None:
    class Dense:
        def __init__(self) -> None:
            self.W = np.random.default_rng(1).standard_normal((4, 3))

        def forward(self, x: Any) -> None:
            self.x, self.z = x, x @ self.W
            self.output, self.activatedOutput = (self.z, np.tanh(self.z)) if activated else (np.tanh(self.z), self.z)

        def backward(self, dout: Any) -> Any:
            dz = dout * (1 - np.tanh(self.z) ** 2) if activated else dout  # which is forgotten
            self.dW = self.x.T @ dz
            return dz @ self.W.T

    report = check_gradients(Dense(), X)
    assert report.verdict == "unproven"
    assert "what comes out is read from" in str(report)


def test_one_number_in_each_column_is_off_by_a_factor_whatever_it_is() -> None:
    report = check_hessian(lambda x: x**3, lambda x: np.diag(np.exp(x)), np.abs(V))
    assert (report.verdict, report.cause) == ("wrong", None)


def test_an_identity_says_that_its_argument_is_read_as_what_is_sent_back() -> None:
    class Blank:
        def forward(self, x: Any) -> Any:
            return x.copy()

        def backward(self, x: Any) -> Any:
            return x.copy()

    assert "the x of backward is read as the gradient of what comes out" in str(check_gradients(Blank(), X))


def test_a_cause_that_changes_no_number_is_not_the_cause_of_wrong_ones() -> None:
    class Softmax:
        def forward(self, x: Any) -> Any:
            e = np.exp(x)
            return e / e.sum()

        def backward(self, dout: Any) -> Any:
            return dout  # "the loss does the rest"

    report = check_gradients(Softmax(), X[0])
    assert (report.verdict, report.cause) == ("wrong", None)
    assert any("shares memory" in hazard.detail for hazard in report.hazards)


def test_wrong_numbers_in_another_shape_are_explained_by_what_is_wrong_with_them() -> None:
    x = X[:, :3].copy()

    def cost(theta: Any) -> Any:
        return (x @ theta).sum() ** 2

    def gradient(theta: Any, sign: float = -1.0) -> Any:
        return sign * 2 * (x @ theta).sum() * x.sum(axis=0)[None]

    assert check_gradients((cost, gradient), V).cause == "factor -1"
    right = check_gradients((cost, lambda theta: gradient(theta, 1.0)), V)
    assert (right.verdict, [hazard.cause for hazard in right.hazards]) == ("right", ["wrong shape"])


def test_a_jacobian_that_may_be_by_what_comes_out() -> None:
    class Softmax:
        def __init__(self, times: float) -> None:
            self.times = times

        def __call__(self, z: Any) -> Any:
            e = np.exp(z)
            return e / e.sum()

        def gradient(self, z: Any) -> Any:
            return self.times * (np.diag(z) - np.outer(z, z))  # of y, not of z

    report = check_gradients(Softmax(1), V)
    assert report.verdict == "unproven"
    assert "right if Softmax.gradient is given what Softmax.__call__ gives" in str(report)
    assert check_gradients(Softmax(2), V).verdict == "wrong"


def test_an_option_that_is_a_plain_number_needs_no_gradient() -> None:
    class Norm:
        def _forward(self, x: Any, epsilon: float) -> Any:
            size = np.sqrt((x * x).sum(axis=1, keepdims=True) + epsilon)
            return x / size, (x / size, size)

        def _backward(self, dout: Any, caches: Any) -> Any:
            y, size = caches
            return (dout - y * (dout * y).sum(axis=1, keepdims=True)) / size

    report = check_gradients(Norm(), X, 0.1)
    assert (report.verdict, report.held_fixed) == ("right", ("epsilon",))


def test_labels_beside_the_examples_are_asked_for() -> None:
    class Network:
        def __init__(self) -> None:
            self.W = np.random.default_rng(2).standard_normal((3, 4))

        def feedforward(self, a: Any) -> Any:
            return np.tanh(self.W @ a)

        def backprop(self, x: Any, y: Any) -> Any:
            a = np.tanh(self.W @ x)
            return ((a - y) * (1 - a * a)) @ x.T

    with pytest.raises(TypeError, match="takes y, and was given the gradient"):
        check_gradients(Network(), X[:4].copy().T)


def test_what_is_nothing_known_says_how_it_is_called() -> None:
    class Rnn:
        def __call__(self, x: Any) -> Any:
            return np.tanh(x)

        def bppt(self, dout: Any) -> Any:
            return dout

    with pytest.raises(TypeError, match=r"Rnn can be called, but no method of it is known to go back.*backward="):
        check_gradients(Rnn(), X, X)
    with pytest.raises(TypeError, match=r"Rnn can be called, but no method of it is known to go back.*backward="):
        check_gradients(Rnn(), X)


def test_what_an_assertion_has_to_allow_is_said() -> None:
    def entropy(p: Any) -> Any:
        assert abs(p.sum() - 1) < 1e-9
        return -(p * np.log(p)).sum()

    with pytest.raises(AssertionError) as caught:
        check_gradients((entropy, lambda p: -np.log(p) - 1), np.array([0.2, 0.3, 0.5]))
    assert any("numbers near by" in note for note in caught.value.__notes__)


def test_a_function_of_one_number_is_tried_below_0_too(tmp_path: Path) -> None:
    path = tmp_path / "act.py"
    path.write_text(
        "import numpy as np\n"
        "def relu(x):\n    return np.max(x, 0)\n"  # the largest along an axis
        "def drelu(x):\n    if x < 0:\n        return 0\n    return 1\n"
    )
    (check,) = check_file(str(path))
    assert check.verdict == "wrong"
    assert "below 0" in check.made
    path.write_text(path.read_text().replace("np.max(x, 0)", "np.maximum(x, 0)"))
    (check,) = check_file(str(path))
    assert check.verdict == "right"


def test_a_file_beside_a_package_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "relus.py").write_text("def relu(x):\n    return x * (x > 0)\n")
    (tmp_path / "layers" / "names.py").write_text("NAME = 1\n")
    (tmp_path / "layers" / "relus.py").write_text(
        "from .names import NAME\nfrom relus import relu\n"
        "def relu_grad(x):\n    return NAME * (x > 0)\n"
        "def act(x):\n    return relu(x)\n"
        "def act_grad(x):\n    return relu_grad(x)\n"
    )
    before = list(sys.path)
    found = {check.name: check.verdict for check in check_file(str(tmp_path / "layers" / "relus.py"))}
    assert found == {"act": "right"}
    assert sys.path == before


def test_a_file_in_a_folder_with_a_module_of_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "Layer"
    folder.mkdir()
    (folder / "Layer.py").write_text("class Layer:\n    pass\n")
    (folder / "Relu.py").write_text(
        "import numpy as np\nfrom .Layer import Layer\n"
        "class Relu(Layer):\n"
        "    def forward(self, x):\n        self.on = x > 0\n        return x * self.on\n"
        "    def backward(self, dout):\n        return dout * self.on\n"
    )
    (check,) = check_file(str(folder / "Relu.py"))
    assert check.verdict == "right", check.line


def test_a_loss_that_nothing_could_be_made_for_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cost.py"
    path.write_text("def softmaxCost(theta, sizes, decay, data, labels, more):\n    raise ValueError(theta)\n")
    assert main(["check", str(path)]) == 2
    assert "if softmaxCost gives a loss and its gradient, say its arguments in CHECKS" in capsys.readouterr().err


def test_a_gradient_that_fits_nothing_that_could_be_made_up_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "line.py"
    path.write_text(
        "import numpy as np\n"
        "def loss(x, y, w):\n    return np.sum((w[0] + w[1] * x - y) ** 2)\n"
        "def loss_grad(x, y, w):\n"
        "    r = 2 * (w[0] + w[1] * x - y)\n    return np.array([np.sum(r), np.sum(r * x)])\n"
    )
    (check,) = check_file(str(path))
    assert check.verdict == "skipped"
    assert "say so in CHECKS" in check.why


def test_lines_come_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    pair = "def f{n}(x): return (x ** 2).sum()\ndef f{n}_grad(x): return 2 * x\n"
    path.write_text(pair.format(n=1) + pair.format(n=2) + "log = []\n")
    checks = check_file(str(path))
    assert next(checks).name == "f1"
    assert [check.name for check in checks] == ["f2"]
