"""PyTorch: right code is called right, wrong code wrong with its cause, and nothing of the caller's is changed."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from chainrule import check_gradients  # noqa: E402
from frameworks.torch_issues import ISSUES, TOLD  # noqa: E402
from frameworks.torch_right import RIGHT, SINGLE_ONLY, Residual, doubled  # noqa: E402
from frameworks.torch_wrong import WRONG, Masked, Outer, Wrong, function, normal, unary, x  # noqa: E402

nn: Any = torch.nn


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


# --- right and wrong ---


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RIGHT)
def test_right_code_is_called_right(name: str) -> None:
    torch.manual_seed(0)
    report = check_gradients(*RIGHT[name]())
    assert report.verdict == "right", str(report)
    if name not in SINGLE_ONLY:
        report = check_gradients(*map(doubled, RIGHT[name]()))
        assert report.verdict == "right", f"float64: {report}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", RIGHT)
def test_right_code_is_called_right_with_other_numbers(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    report = check_gradients(*RIGHT[name](), seed=seed)
    assert report.verdict == "right", str(report)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrong", WRONG + ISSUES, ids=lambda wrong: wrong.name)
def test_wrong_code_is_called_wrong_and_why(wrong: Wrong) -> None:
    report = check_gradients(*wrong.make(), strict=wrong.hazard)
    assert report.verdict == "wrong", str(report)
    assert (report.cause or "").startswith(wrong.cause), str(report)


def test_figures_are_those_of_a_formula() -> None:
    a = torch.tensor([[0.5, -1.0], [2.0, 0.25]], dtype=torch.float64)
    report = check_gradients(lambda a: (a**3).sum(), a)
    (array,) = report.arrays
    i = array.where
    assert report.ok
    assert array.analytic == pytest.approx(array.numeric, rel=1e-7)
    assert abs(array.analytic) == pytest.approx(abs(array.analytic / (3 * float(a[i]) ** 2)) * 3 * float(a[i]) ** 2)


# --- what it is called with, and what is left as it was ---


def test_a_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(0.5))
    module[0].bias.requires_grad_(False)
    module[0].weight.grad = torch.ones(6, 4)
    given = torch.randn(7, 4, requires_grad=True)
    state, kept = copy.deepcopy(module.state_dict()), given.detach().clone()
    noise, grad = torch.get_rng_state(), module[0].weight.grad
    report = check_gradients(module, given)
    assert report.verdict == "right", str(report)
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert torch.equal(given, kept)
    assert given.requires_grad
    assert given.grad is None
    assert module[0].weight.grad is grad
    assert torch.equal(grad, torch.ones(6, 4))
    assert [p.requires_grad for p in module.parameters()] == [True, False, True, True]
    assert torch.equal(torch.get_rng_state(), noise)
    assert torch.get_default_dtype() == torch.float32


def test_an_exception_leaves_all_as_it_was() -> None:
    class Breaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.calls = nn.Parameter(normal(4)), 0
            self.register_buffer("mean", normal(4))

        def forward(self, x: Any) -> Any:
            self.mean.mul_(2)
            self.calls += 1
            if self.calls > 20:
                raise ArithmeticError("enough")
            return self.w * x

    module = Breaks()
    state = copy.deepcopy(module.state_dict())
    with pytest.raises(ArithmeticError):
        check_gradients(module, x())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_parameters_are_called_as_pytorch_calls_them() -> None:
    report = check_gradients(Residual(), torch.randn(5, 4))
    assert [a.name for a in report.arrays] == ["a.weight", "a.bias", "b.weight", "b.bias", "x"]


def test_only_what_asks_for_a_gradient_is_asked_for() -> None:
    both = torch.randn(5, 4), torch.randn(5, 4)
    report = check_gradients(torch.mul, both[0].requires_grad_(), both[1])
    assert [a.name for a in report.arrays] == ["x0"]
    assert "x1" in report.held_fixed
    assert [a.name for a in check_gradients(torch.mul, *(t.detach() for t in both)).arrays] == ["x0", "x1"]
    assert [a.name for a in check_gradients(torch.mul, *(t.detach() for t in both), wrt="x1").arrays] == ["x1"]


def test_what_a_function_has_hold_of_is_compared_or_said() -> None:
    w, c, net = torch.randn(4, 3, requires_grad=True), torch.randn(3), nn.Linear(3, 2)
    report = check_gradients(lambda x: net(torch.tanh(x @ w + c)), torch.randn(5, 4))
    assert report.verdict == "right", str(report)
    assert [a.name for a in report.arrays] == ["w", "net.weight", "net.bias", "x"] or {
        a.name for a in report.arrays
    } == {"w", "net.weight", "net.bias", "x"}
    assert "c" in report.held_fixed
    assert report.settings["dtype"] == "float32"
    assert max(a.error_bar for a in report.arrays) < 1e-6  # in float64, by copies


def test_frozen_parameters_and_buffers_are_held_fixed_and_said() -> None:
    module = nn.BatchNorm1d(4)
    module.bias.requires_grad_(False)
    assert check_gradients(module.eval(), torch.randn(5, 4)).held_fixed == ("running_mean", "running_var", "bias")


def test_an_input_without_a_gradient_is_unproven_unless_it_asked_for_one() -> None:
    silent = unary(torch.sin, lambda x, g: None)
    assert check_gradients(silent, x()).verdict == "unproven"
    assert check_gradients(silent, x(), wrt="x").verdict == "wrong"


def test_float32_is_judged_by_a_double_copy() -> None:
    report = check_gradients(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(6, 4))
    assert report.ok
    assert max(a.max_relative for a in report.arrays) < 1e-6
    half = unary(lambda x: x**2, lambda x, g: x * g)
    assert check_gradients(half, torch.randn(5, 4)).cause == "factor 1/2"


def test_noise_that_is_another_in_float64_is_said() -> None:
    report = check_gradients(lambda x: x**2 * torch.randn_like(x), torch.randn(6, 4))
    assert report.ok
    assert "other noise" in " ".join(report.notes)


def test_a_module_without_dropout_in_it_is_found() -> None:
    torch.manual_seed(1)
    report = check_gradients(Outer().double(), x())
    assert report.layer == "inner"


def test_what_is_kept_of_the_first_batch_is_named() -> None:
    assert "mask" in str(check_gradients(Masked(), x()).cause)


def test_a_method_backward_is_told_to_be_nobodys() -> None:
    make, told = TOLD
    report = check_gradients(*make())
    assert report.ok
    assert told in " ".join(report.notes)


def test_an_operation_in_place_is_a_hazard() -> None:
    report = check_gradients(nn.ReLU(inplace=True), torch.randn(5, 4))
    assert report.ok
    assert [c.cause for c in report.hazards] == ["writes into its input"]
    assert not check_gradients(nn.ReLU(inplace=True), torch.randn(5, 4), strict=True).ok


def test_an_output_that_is_detached_is_left_out_and_said() -> None:
    report = check_gradients(lambda x: (x**2, x.detach() * 3, x.argmax()), x())
    assert report.ok
    assert "output 1 is detached" in " ".join(report.notes)


def test_arrays_are_taken_too_and_pairs_in_tensors() -> None:
    rng = np.random.default_rng(0)
    assert check_gradients(nn.Linear(4, 3).double(), rng.standard_normal((5, 4))).ok

    def forward(x: Any, w: Any) -> Any:
        return torch.tanh(x @ w), (x, w)

    def backward(dout: Any, cache: Any) -> Any:
        x, w = cache
        dz = dout * (1 - torch.tanh(x @ w) ** 2)
        return dz @ w.T, x.T @ dz

    assert check_gradients((forward, backward), x(), normal(4, 3)).ok


def test_directions_and_full_agree() -> None:
    for mode in ("full", "directions"):
        assert check_gradients(nn.Linear(30, 20).double(), normal(8, 30), mode=mode).ok


# --- refused ---


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda: torch.randn(3, dtype=torch.complex64), "complex64"),
        (lambda: torch.randn(3).half(), "float16"),
        (lambda: torch.randn(3).bfloat16(), "bfloat16"),
        (lambda: torch.randn(3, device="meta"), "meta"),
        (lambda: torch.eye(3).to_sparse(), "sparse"),
    ],
)
def test_what_cannot_be_differenced_is_refused(given: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        check_gradients(lambda x: x * 2, given())


def test_what_gives_no_floats_or_complex_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="no tensor of floats"):
        check_gradients(lambda x: x.argmax(), x())
    with pytest.raises(TypeError, match=r"view_as_real"):
        check_gradients(torch.fft.fft, x())


def test_a_class_and_an_object_without_a_call_are_refused() -> None:
    with pytest.raises(TypeError, match="is a class"):
        check_gradients(nn.Linear, x())
    with pytest.raises(TypeError, match="no module and no function"):
        check_gradients(object(), x())
    with pytest.raises(ValueError, match="call LazyLinear once"):
        check_gradients(nn.LazyLinear(3), torch.randn(5, 4))


def test_pytorch_is_not_imported_by_us() -> None:
    code = (
        "import sys, numpy as np, chainrule; chainrule.check_gradients(chainrule.Relu(), np.ones((2, 2)));"
        "assert 'torch' not in sys.modules and 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_apply_with_options_is_called_as_it_is() -> None:
    def forward(ctx: Any, x: Any, k: float) -> Any:
        ctx.k = k
        return x * k

    scaled = function(forward, lambda ctx, g: (g * ctx.k, None))
    assert check_gradients(scaled, x(), 3.0).ok
