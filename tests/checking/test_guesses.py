"""What ``chainrule check FILE.py`` finds by name, what it hands over, and that this hides no fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chainrule.checking import guesses
from chainrule.checking.files import FileCheck, check_file

Check = Callable[[str], dict[str, FileCheck]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check a text as a file; give what became of each name in it."""

    def check(text: str) -> dict[str, FileCheck]:
        path = tmp_path / "theirs.py"
        path.write_text("import numpy as np\n" + text, encoding="utf-8")
        return {found.name: found for found in check_file(str(path))}

    return check


#: A name, a right file with one part that a mistake replaces, what is made of it, the part, and the mistake.
CASES = [
    (
        "Dense",
        """
class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(0)
        return dout @ self.W.T
""",
        "Dense(n_in=4, n_out=3).forward(x (5, 4))",
        "dout.sum(0)",
        "dout.mean(0)",
    ),
    (
        "Columns",
        """
class Columns:
    def __init__(self, input_size, units):
        self.weights, self.bias = np.random.randn(units, input_size), np.zeros((units, 1))
    def forward_pass(self, inputs):
        self.inputs = inputs
        return self.weights @ inputs + self.bias
    def backward_pass(self, grad):
        self.dweights, self.dbias = grad @ self.inputs.T, grad.sum(1, keepdims=True)
        return self.weights.T @ grad
""",
        "Columns(input_size=4, units=3).forward_pass(inputs (4, 5))",
        "grad @ self.inputs.T",
        "grad @ self.inputs.T / 5",
    ),
    (
        "Torch",
        """
class Torch:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W.T + self.b
    def backward(self, dout):
        self.dW, self.db = dout.T @ self.x, dout.sum(0)
        return dout @ self.W
""",
        "Torch(W (3, 4), b (3,)).forward(x (5, 4))",
        "dout.T @ self.x",
        "0 * dout.T @ self.x",
    ),
    (
        "Conv",
        """
class Conv:
    def __init__(self, in_channels, num_filters, kernel_size, stride, padding):
        self.W = np.random.randn(num_filters, in_channels, kernel_size, kernel_size)
        self.k, self.s, self.p = kernel_size, stride, padding
    def forward(self, x):
        self.x = np.pad(x, ((0, 0), (0, 0), (self.p, self.p), (self.p, self.p)))
        n, _, h, w = self.x.shape
        out = np.zeros((n, len(self.W), (h - self.k) // self.s + 1, (w - self.k) // self.s + 1))
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                part = self.x[:, :, i * self.s : i * self.s + self.k, j * self.s : j * self.s + self.k]
                out[:, :, i, j] = np.tensordot(part, self.W, ((1, 2, 3), (1, 2, 3)))
        return out
    def backward(self, dout):
        dx, self.dW = np.zeros_like(self.x), np.zeros_like(self.W)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                rows, columns = slice(i * self.s, i * self.s + self.k), slice(j * self.s, j * self.s + self.k)
                self.dW += np.tensordot(dout[:, :, i, j], self.x[:, :, rows, columns], ((0,), (0,)))
                dx[:, :, rows, columns] += np.tensordot(dout[:, :, i, j], self.W, ((1,), (0,)))
        return dx[:, :, self.p : -self.p, self.p : -self.p].copy()
""",
        "Conv(in_channels=3, num_filters=5, kernel_size=3, stride=1, padding=1).forward(x (2, 3, 4, 4))",
        "self.dW +=",
        "self.dW =",
    ),
    (
        "MaxPool",
        """
class MaxPool:
    def __init__(self, pool_size, stride):
        self.size = pool_size
        assert stride == pool_size
    def forward(self, x):
        n, h, w, c = x.shape
        parts = x.reshape(n, h // self.size, self.size, w // self.size, self.size, c)
        out = parts.max(axis=(2, 4))
        self.mask = parts == out[:, :, None, :, None]
        return out
    def backward(self, dout):
        spread = self.mask * dout[:, :, None, :, None]
        return spread.reshape(len(dout), spread.shape[1] * self.size, -1, dout.shape[-1])
""",
        "MaxPool(pool_size=2, stride=2).forward(x (2, 4, 4, 3))",
        "self.mask * dout",
        "2 * self.mask * dout",
    ),
    (
        "Dropout",
        """
class Dropout:
    def __init__(self, rate):
        self.rate = rate
    def forward(self, x, training):
        self.mask = np.random.rand(*x.shape) > self.rate if training else 1
        return x * self.mask / (1 - self.rate)
    def backward(self, dout):
        return dout * self.mask / (1 - self.rate)
""",
        "Dropout(rate=0.3).forward(x (5, 4), training=True)",
        "return dout * self.mask / (1 - self.rate)",
        "return dout * self.mask",
    ),
    (
        "RNN",
        """
class RNN:
    def __init__(self, Wx, Wh, b):
        self.Wx, self.Wh, self.b = Wx, Wh, b
    def forward(self, x, h_prev):
        self.cache = x, h_prev, np.tanh(x @ self.Wx + h_prev @ self.Wh + self.b)
        return self.cache[2].copy()
    def backward(self, dh):
        x, h_prev, h = self.cache
        dt = dh * (1 - h**2)
        self.dWx, self.dWh, self.db = x.T @ dt, h_prev.T @ dt, dt.sum(0)
        return dt @ self.Wx.T, dt @ self.Wh.T
""",
        "RNN(Wx (4, 3), Wh (3, 3), b (3,)).forward(x (5, 4), h_prev (5, 3))",
        "dt @ self.Wh.T",
        "dt @ self.Wh",
    ),
    (
        "Embedding",
        """
class Embedding:
    def __init__(self, vocab_size, embedding_dim):
        self.W = np.random.randn(vocab_size, embedding_dim)
    def forward(self, ids):
        self.ids = ids
        return self.W[ids]
    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.ids, dout)
""",
        "Embedding(vocab_size=7, embedding_dim=4).forward(ids int (5,))",
        "np.add.at(self.dW, self.ids, dout)",
        "np.add.at(self.dW, self.ids, 2 * dout)",
    ),
    (
        "affine_forward",
        """
def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)
def affine_backward(dout, cache):
    x, w, b = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)
""",
        "affine_forward(x (5, 4), w (4, 3), b (3,))",
        "x.T @ dout, d",
        "-x.T @ dout, d",
    ),
    (
        "forward_bn",
        """
def forward_bn(x, gamma, beta, bn_param):
    assert bn_param["mode"] == "train"
    xhat = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    return gamma * xhat + beta, (xhat, gamma, np.sqrt(x.var(0) + 1e-5))
def backward_bn(dout, cache):
    xhat, gamma, std = cache
    d = dout * gamma
    return (d - d.mean(0) - xhat * (d * xhat).mean(0)) / std, (dout * xhat).sum(0), dout.sum(0)
""",
        "forward_bn(x (5, 4), gamma (4,), beta (4,), bn_param={'mode': 'train'})",
        "d - d.mean(0) - xhat",
        "d - xhat",
    ),
    (
        "relu_fwd",
        "def relu_fwd(Z): return np.maximum(Z, 0), Z\ndef relu_bwd(dA, cache): return dA * (cache > 0)\n",
        "relu_fwd(Z (5, 4))",
        "dA * (cache > 0)",
        "dA * (cache > -1)",
    ),
    (
        "softmax_loss",
        """
def softmax_loss(x, y):
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    dx = p.copy()
    dx[np.arange(len(y)), y] -= 1
    return -np.log(p[np.arange(len(y)), y]).mean(), dx / len(y)
""",
        "softmax_loss(x (5, 4), y int (5,))",
        "dx / len(y)",
        "dx",
    ),
    (
        "svm_cost",
        """
def svm_cost(W, X, y, reg):
    margins = np.maximum(0, X @ W - (X @ W)[np.arange(len(y)), y][:, None] + 1)
    margins[np.arange(len(y)), y] = 0
    m = (margins > 0) * 1.0
    m[np.arange(len(y)), y] = -m.sum(axis=1)
    return margins.sum() / len(y) + reg * (W**2).sum(), X.T @ m / len(y) + 2 * reg * W
""",
        "svm_cost(W (4, 3), X (5, 4), y int (5,), reg=0.1)",
        "2 * reg * W",
        "reg * W",
    ),
    (
        "mse",
        "def mse(y_true, y_pred): return np.mean((y_true - y_pred) ** 2)\n"
        "def mse_prime(y_true, y_pred): return 2 * (y_pred - y_true) / y_true.size\n",
        "mse(y_true (5, 4), y_pred (5, 4))",
        "y_true.size",
        "len(y_true)",
    ),
    (
        "BinaryCrossEntropy",
        """
class BinaryCrossEntropy:
    def loss(self, y_true, y_pred):
        p = np.clip(y_pred, 1e-15, 1 - 1e-15)
        return -np.mean(y_true * np.log(p) + (1 - y_true) * np.log(1 - p))
    def gradient(self, y_true, y_pred):
        return ((1 - y_true) / (1 - y_pred) - y_true / y_pred) / y_true.size
""",
        "BinaryCrossEntropy().loss(y_true (5, 4), y_pred (5, 4))",
        "/ y_true.size",
        "",
    ),
    (
        "Tanh",
        "class Tanh:\n    def __call__(self, z): return np.tanh(z)\n"
        "    def gradient(self, z): return 1 - np.tanh(z) ** 2\n",
        "Tanh()(z (4,))",
        "1 - np.tanh(z)",
        "2 - np.tanh(z)",
    ),
    (
        "sigmoid",
        "def sigmoid(z): return 1 / (1 + np.exp(-z))\ndef sigmoidDerivative(z): return sigmoid(z) * (1 - sigmoid(z))\n",
        "sigmoid(z (4,))",
        "(1 - s",
        "(2 - s",
    ),
    (
        "cube",
        "def cube(x, deriv=False): return 3 * x**2 if deriv else x**3\n",
        "cube(x (4,))",
        "3 * x**2",
        "2 * x**2",
    ),
    (
        "softmax",
        """
def softmax(x):
    return np.exp(x) / np.exp(x).sum()
def softmax_grad(x):
    s = softmax(x)
    return np.diag(s) - np.outer(s, s)
""",
        "softmax(x (4,))",
        "np.diag(s) -",
        "np.diag(s) +",
    ),
    (
        "Net",
        """
class Net:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std):
        self.params = {"W1": np.random.randn(input_size, hidden_size) * weight_init_std,
                       "W2": np.random.randn(hidden_size, output_size) * weight_init_std}
    def predict(self, x):
        self.h = np.tanh(x @ self.params["W1"])
        return self.h @ self.params["W2"]
    def loss(self, x, t):
        return ((self.predict(x) - t) ** 2).sum() / 2
    def gradient(self, x, t):
        d = self.predict(x) - t
        back = (d @ self.params["W2"].T) * (1 - self.h**2)
        return {"W1": x.T @ back, "W2": self.h.T @ d}
""",
        "Net(input_size=4, hidden_size=6, output_size=3, weight_init_std=0.5).loss(x (5, 4), t (5, 3))",
        "1 - self.h**2",
        "1 - self.h",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "made", "part", "mistake"), CASES, ids=[case[0] for case in CASES])
def test_the_right_one_is_right_the_wrong_one_wrong_and_what_was_made_is_told(
    name: str, text: str, made: str, part: str, mistake: str, check: Check
) -> None:
    found = check(text)
    assert list(found) == [name]
    assert (found[name].verdict, found[name].made) == ("right", made), found[name].line
    assert text.count(part) == 1
    wrong = check(text.replace(part, mistake))[name]
    assert (wrong.verdict, wrong.made) == ("wrong", made), wrong.line


def test_a_pair_has_a_second_way_back(check: Check) -> None:
    text = CASES[8][1] + "def affine_backward_alt(dout, cache):\n    return affine_backward(2 * dout, cache)\n"
    assert {name: c.verdict for name, c in check(text).items()} == {
        "affine_forward": "right",
        "affine_backward_alt": "wrong",
    }


def test_the_line_is_that_of_backward(check: Check) -> None:
    found = check(CASES[0][1] + CASES[8][1] + CASES[11][1])
    lines = {name: c.at for name, c in found.items()}
    text = ("import numpy as np\n" + CASES[0][1] + CASES[8][1] + CASES[11][1]).splitlines()
    assert [text[(at or 0) - 1].strip() for at in lines.values()] == [
        "def backward(self, dout):",
        "def affine_backward(dout, cache):",
        "def softmax_loss(x, y):",
    ]


def test_what_is_abstract_imported_or_no_gradient_is_left_out(check: Check) -> None:
    found = check(
        """
from abc import ABC, abstractmethod
from chainrule import Relu, softmax_loss
class Base:
    def forward(self, x): raise NotImplementedError("forward of " + type(self).__name__)
    def backward(self, dout): raise NotImplementedError
class Empty:
    def forward(self, x):
        \"\"\"Go forwards.\"\"\"
    def backward(self, dout): pass
class Abstract(ABC):
    @abstractmethod
    def forward(self, x): ...
    @abstractmethod
    def backward(self, dout): ...
class Twice(Base):
    def forward(self, x): return 2 * x
    def backward(self, dout): return 2 * dout
def loss(x): return (x**2).sum()
def lossless(x): return x, x
"""
    )
    assert {name: c.verdict for name, c in found.items()} == {"Twice": "right"}


def test_a_layer_for_one_example_is_not_called_wrong_nor_right(check: Check) -> None:
    """It is right for one, and nobody says that it is never given more."""
    text = """
class Softmax:
    def forward(self, x):
        self.y = np.exp(x) / np.exp(x).sum()
        return self.y.copy()
    def backward(self, dout):
        s = self.y.reshape(-1)
        return ((np.diag(s) - np.outer(s, s)) @ dout.reshape(-1)).reshape(dout.shape){wrong}
class Dense:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros((1, n_out))
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.copy()
        return dout @ self.W.T{wrong}
"""
    found = check(text.format(wrong=""))
    assert found["Softmax"].verdict == "right"  # of all entries, for any shape
    assert found["Dense"].verdict == "unproven"
    assert found["Dense"].made == "Dense(n_in=4, n_out=3).forward(x (1, 4))"
    assert found["Dense"].why.startswith(
        "right for one example, but not for several, Dense(n_in=4, n_out=3).forward(x (5, 4)): b"
    )
    assert {c.verdict for c in check(text.format(wrong=" * 2")).values()} == {"wrong"}


def test_other_numbers_are_not_tried_until_one_hides_the_fault(check: Check) -> None:
    """For positive numbers it would be right."""
    found = check(
        "class Abs:\n    def forward(self, x): return np.abs(x)\n    def backward(self, dout): return 1 * dout\n"
    )
    assert found["Abs"].verdict == "wrong"


def test_a_derivative_that_is_called_backward_is_told_and_not_right(check: Check) -> None:
    found = check(
        "class Square:\n    def forward(self, x): return x**2\n    def backward(self, x): return 2 * x\n"
        "class Wrong:\n    def forward(self, x): return x**2\n    def backward(self, x): return 3 * x\n"
    )
    assert found["Square"].verdict == "unproven"
    assert found["Square"].why == "right if backward is given x as forward is, and not the gradient of what comes out"
    assert found["Wrong"].verdict == "wrong"


def test_a_loss_that_clips_is_given_probabilities(check: Check) -> None:
    found = check(
        """
class CrossEntropy:
    def forward(self, y_pred, y_true):
        return -np.log(np.clip(y_pred, 1e-7, 1 - 1e-7)[np.arange(len(y_true)), y_true]).mean()
    def backward(self, y_pred, y_true):
        d = np.zeros_like(y_pred)
        d[np.arange(len(y_true)), y_true] = -1 / y_pred[np.arange(len(y_true)), y_true] / len(y_true)
        return d
"""
    )
    assert found["CrossEntropy"].verdict == "right", found["CrossEntropy"].line


def test_a_file_that_stops_half_way_is_checked_as_far_as_it_came(check: Check) -> None:
    found = check(CASES[8][1] + "open('the data that nobody has')\n" + CASES[0][1])
    assert {name: c.verdict for name, c in found.items()} == {"affine_forward": "right", "theirs.py": "skipped"}
    assert found["theirs.py"].at == 8
    assert "FileNotFoundError" in found["theirs.py"].why


def test_a_module_that_is_not_installed_is_missed_only_where_it_is_used(check: Check) -> None:
    found = check(
        """
from no_such_package.layers import Layer, helper
import another_that_is_missing.part as part
class Twice(Layer):
    def forward(self, x): return 2 * x
    def backward(self, dout): return 2 * dout
class Needs:
    def forward(self, x): return helper(x)
    def backward(self, dout): return dout
"""
    )
    assert found["Twice"].verdict == "right"
    assert found["Needs"].verdict == "skipped"
    assert "No module named 'no_such_package'" in found["Needs"].why


def test_a_file_in_a_package_imports_from_beside_and_above_it(tmp_path: Path) -> None:
    inner = tmp_path / "project_of_theirs" / "nn" / "layers"
    inner.mkdir(parents=True)
    (tmp_path / "project_of_theirs" / "settings_of_theirs.py").write_text("factor = 3.0\n")
    (inner.parent / "__init__.py").write_text("from .layers import times\n")
    (inner / "__init__.py").write_text("")
    (inner / "base.py").write_text("class Base:\n    pass\n")
    (inner / "times.py").write_text(
        "from .base import Base\nfrom settings_of_theirs import factor\n"
        "class Times(Base):\n    def forward(self, x): return factor * x\n"
        "    def backward(self, dout): return factor * dout\n"
    )
    path = inner / "times.py"
    assert [(c.name, c.verdict) for c in check_file(str(path))] == [("Times", "right")]
    path.write_text(path.read_text().replace("factor * dout", "2 * dout"))  # it is read again each time
    assert [(c.name, c.verdict) for c in check_file(str(path))] == [("Times", "wrong")]


def test_the_same_is_made_each_time(check: Check) -> None:
    """Also if the constructor, or the first forward pass, draws from NumPy's global generator."""
    text = """
class Lazy:
    def __init__(self, units):
        self.units, self.W = units, None
    def forward(self, x):
        if self.W is None:
            self.W = np.random.randn(x.shape[1], self.units)
        self.x = x
        return x @ self.W
    def backward(self, dout):
        self.dW = 2 * self.x.T @ dout
        return dout @ self.W.T
"""
    state = str(np.random.get_state())
    assert check(text)["Lazy"].line == check(text)["Lazy"].line
    assert str(np.random.get_state()) == state


def test_sizes_that_stand_side_by_side_all_differ() -> None:
    """Or a wrong axis would fit. Height and width are the same, as much code takes them to be."""
    for kind in guesses.KINDS:
        if kind.ids or not kind.shape:
            continue
        letters = {"rows": "NDMLT", "columns": "NDM"}.get(kind.group, "NCHF")
        sizes = [kind.size(letter) for letter in letters]
        assert len(set(sizes)) == len(sizes), kind


@pytest.mark.parametrize("table", ["SIZES", "VALUES", "ARRAYS"])
def test_the_tables_are_well_formed(table: str) -> None:
    for name, entry in getattr(guesses, table).items():
        assert name.isidentifier(), name
        by_kind = entry.values() if isinstance(entry, dict) and "rows" in entry else [entry]
        if table == "ARRAYS":
            for shapes in by_kind:
                for shape in shapes if isinstance(shapes, list) else [shapes]:
                    assert guesses.ROWS.sizes(shape)
