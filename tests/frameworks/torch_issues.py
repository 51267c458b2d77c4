"""Mistakes in code for PyTorch as they were reported in public, each made anew as a small case of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from frameworks.torch_wrong import Wrong, as_if_contiguous, function, keep, kept, normal, of_x, overwritten, unary, x  # noqa: E402

nn: Any = torch.nn
F: Any = torch.nn.functional


def isrlu_forward(ctx: Any, x: Any) -> Any:
    ctx.scale = torch.rsqrt(1 + x.clamp(max=0) ** 2)
    return x * ctx.scale


def doubled_in_place(ctx: Any, x: Any) -> Any:
    x *= 2
    return x


def product_back(ctx: Any, g: Any) -> Any:
    x, y = kept(ctx)
    return y / x


def attention_forward(ctx: Any, q: Any, k: Any, v: Any) -> Any:
    keep(ctx, q, k, v)
    return torch.softmax(q @ k.T, 1) @ v


def attention_back(ctx: Any, g: Any) -> Any:
    q, k, v = kept(ctx)
    g = as_if_contiguous(g)
    p = torch.softmax(q @ k.T, 1)
    dp = g @ v.T
    ds = p * (dp - (dp * p).sum(1, keepdim=True))
    return ds @ k, ds.T @ q, p.T @ g


def crop_back(ctx: Any, g: Any) -> Any:
    """A region of interest: what flows back is put where it came from, read as a kernel reads memory."""
    whole = torch.zeros_like(kept(ctx))
    whole[1:4, 1:3] = as_if_contiguous(g)
    return whole


def image_back(ctx: Any, g: Any) -> Any:
    return g * 2 * as_if_contiguous(kept(ctx))


def per_example_back(ctx: Any, g: Any) -> Any:
    x, w = kept(ctx)
    return g @ w.T, x.sum(0)[:, None] * g.sum(0) / len(x)


def solve_back(ctx: Any, g: Any) -> Any:
    a, y = kept(ctx)
    da = db = None
    if ctx.needs_input_grad[1]:
        db = torch.linalg.solve(a.T, g)
        da = -db @ y.T
    return da, db


def kernel_back(ctx: Any, g: Any) -> Any:
    """Gives up without a word where the input is not contiguous."""
    x = kept(ctx)
    return g * torch.cos(x) if x.is_contiguous() else None


class Reversal(nn.Module):
    """Means to turn the gradient round, in a method that nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        return self.a(x).tanh()

    def backward(self, g: Any) -> Any:
        return -g


class Naughty:
    """What a function of the old kind kept in itself."""

    x: Any = None


def naughty_forward(ctx: Any, x: Any) -> Any:
    Naughty.x = x.clone()
    return x**2 / 2


class Swish(nn.Module):
    """Changes x in place, in a function that has kept it for backward, by a way autograd does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.swish = function(swish_forward, swish_back)

    def forward(self, x: Any) -> Any:
        return self.swish(x)


def swish_forward(ctx: Any, x: Any) -> Any:
    ctx.x = x
    x.data.mul_(torch.sigmoid(x.data))
    return x.clone()


def swish_back(ctx: Any, g: Any) -> Any:
    s = torch.sigmoid(ctx.x)
    return g * s * (1 + ctx.x * (1 - s))


def swiglu_forward(ctx: Any, a: Any, b: Any) -> Any:
    keep(ctx, a, b)
    return F.silu(a) * b


def swiglu_back(ctx: Any, g: Any) -> Any:
    """Puts the gradients where the inputs were."""
    a, b = kept(ctx)
    s = torch.sigmoid(a)
    da = g * b * s * (1 + a * (1 - s))
    db = g * F.silu(a)
    a.copy_(da)
    b.copy_(db)
    return a, b


class Reversible(nn.Module):
    """Runs a block in a function that is given x alone: no x that asks, no gradient for the block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Linear(4, 4)
        self.run = function(self.ahead, self.back)

    def ahead(self, ctx: Any, x: Any) -> Any:
        keep(ctx, x)
        return x + torch.tanh(self.block(x))

    def back(self, ctx: Any, g: Any) -> Any:
        with torch.enable_grad():
            x = kept(ctx).detach().requires_grad_()
            y = x + torch.tanh(self.block(x))
            (dx,) = torch.autograd.grad(y, x, g)
        return dx

    def forward(self, x: Any) -> Any:
        return self.run(x)


def example_back(ctx: Any, g: Any) -> Any:
    return g * 3


def adder_forward(ctx: Any, x: Any, w: Any) -> Any:
    keep(ctx, x, w)
    return -(x[:, :, None] - w[None]).abs().sum(1)


def adder_back(ctx: Any, g: Any) -> Any:
    """The full difference for its sign, as training asks for it; no gradient of what goes forwards."""
    x, w = kept(ctx)
    d = x[:, :, None] - w[None]
    return -(d.clamp(-1, 1) * g[:, None]).sum(2), (d * g[:, None]).sum(0)


def softplus_back(x: Any, g: Any) -> Any:
    """Thinks that a straight line begins sooner than it does."""
    return torch.where(3 * x > 0.3, g, g * torch.sigmoid(3 * x))


def wavelet_back(ctx: Any, g: Any) -> Any:
    """The filter is not turned round on the way back."""
    return torch.stack([0.8 * g, 0.6 * g], 2).reshape(len(g), -1)


def mish_back(x: Any, g: Any) -> Any:
    """With a misprint in the denominator: exp(2x) for exp(x)."""
    e = torch.exp(x)
    above = 4 * (x + 1) + 4 * e**2 + e**3 + e * (4 * x + 6)
    return g * e * above / (2 * e**2 + e**2 + 2) ** 2


ISSUES = (
    # backward writes into its gradient, and no check of PyTorch's sees it
    Wrong("pytorch/pytorch#81417",
        of_x(function(lambda ctx, x: x.clone(), lambda ctx, g: g.add_(1))), "writes into dout",
    ),
    Wrong("pytorch/pytorch#4355", of_x(function(isrlu_forward, lambda ctx, g: ctx.scale**3)), "dout ignored"),
    Wrong("pytorch/pytorch#30454", of_x(function(doubled_in_place, lambda ctx, g: overwritten(g, 2))), "writes into"),
    Wrong("pytorch/pytorch#995", lambda: (
        function(lambda ctx, x: keep(ctx, x, x.prod())[1], product_back), normal(4)
    ), "dout ignored"),
    Wrong("k2-fsa/k2#341", of_x(function(
        lambda ctx, x: keep(ctx, x).logsumexp(1), lambda ctx, g: kept(ctx).softmax(1)
    )), "dout ignored"),
    Wrong("apache/mxnet#9872", of_x(function(
        lambda ctx, x: keep(ctx, torch.sigmoid(x)), lambda ctx, g: kept(ctx) * (1 - kept(ctx))
    )), "dout ignored"),
    Wrong("Dao-AILab/flash-attention#355", lambda: (
        function(attention_forward, attention_back), normal(5, 4), normal(6, 4), normal(6, 3)
    ), "takes dout for contiguous"),
    Wrong("open-mmlab/mmcv#737", lambda: (
        function(lambda ctx, x: keep(ctx, x)[1:4, 1:3].clone(), crop_back), x()
    ), "takes dout for contiguous"),
    Wrong("NVIDIA/apex#1601", of_x(function(
        lambda ctx, x: x * 2, lambda ctx, g: g.view(-1, 2).view(g.shape) * 2
    )), "takes dout for contiguous", hazard=True),
    Wrong("MrNeRF/optimized-fused-ssim#1", of_x(function(
        lambda ctx, x: keep(ctx, x) ** 2, image_back
    )), "takes its input for contiguous"),
    Wrong("cornellius-gp/gpytorch#1543", lambda: (
        function(lambda ctx, x: torch.sin(keep(ctx, x)), kernel_back), x().requires_grad_()
    ), "takes its input for contiguous"),
    Wrong("pytorch/pytorch#65244", lambda: (function(
        lambda ctx, x, w: x @ keep(ctx, x, w)[1], per_example_back
    ), x(), normal(4, 3)), ""),
    Wrong("cornellius-gp/gpytorch#1322", lambda: (function(
        lambda ctx, a, b: keep(ctx, a, torch.linalg.solve(a, b))[1], solve_back
    ), normal(3, 3) + 4 * torch.eye(3, dtype=torch.float64), normal(3, 2)), "depends on who else asks"),
    Wrong("pytorch/pytorch#132601", of_x(function(lambda ctx, x: x.clone(), example_back)), ""),
    Wrong("pytorch/pytorch#16947", of_x(function(
        naughty_forward, lambda ctx, g: Naughty.x * g
    )), "stale batch: kept outside ctx"),
    Wrong("ultralytics/yolov3#441", lambda: (Swish(), x()), "writes into its input"),
    Wrong("linkedin/Liger-Kernel#254",
        lambda: (function(swiglu_forward, swiglu_back), x(), x()), "writes into its input",
    ),
    Wrong("RobinBruegger/RevTorch#11", lambda: (Reversible().double(), x()), "no gradient"),
    Wrong("huawei-noah/AdderNet#21", lambda: (function(adder_forward, adder_back), x(), normal(4, 3)), ""),
    Wrong("HIPS/autograd#401", lambda: (unary(
        lambda a: -torch.linalg.slogdet(a)[1] / 2, lambda a, g: g * torch.linalg.inv(a).T / 2
    ), normal(3, 3) + 4 * torch.eye(3, dtype=torch.float64)), "factor -1"),
    Wrong("pytorch/pytorch#61568", of_x(unary(lambda x: F.softplus(x, 3), softplus_back)), ""),
    Wrong("KeKsBoTer/torch-dwt#2", of_x(function(
        lambda ctx, x: 0.6 * x[:, 0::2] + 0.8 * x[:, 1::2], wavelet_back
    )), ""),
    Wrong("digantamisra98/Mish#11", of_x(unary(F.mish, mish_back)), ""),
    Wrong("KhawajaAbaid/micrograd_c#1",
        lambda: (function(lambda ctx, a, b: a - b, lambda ctx, g: (g, g.clone())), x(), x()), "factor -1",
    ),
    Wrong("chainer/chainer#3542", of_x(unary(lambda x: x * x, lambda x, g: 3 * x * g)), ""),
    Wrong("mlpack/mlpack#2158", of_x(unary(
        torch.tanh, lambda x, g: g * (1 - torch.tanh(torch.tanh(x)) ** 2)
    )), ""),
)  # fmt: skip
#: Right by what it computes; that a method is never called is told: hash2430/pitchtron#3.
TOLD: tuple[Callable[[], tuple[Any, ...]], str] = (lambda: (Reversal().double(), x()), "a method backward")
