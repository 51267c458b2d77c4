"""Functions and modules for PyTorch with one mistake each, and the cause that the report has to name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn
F: Any = torch.nn.functional


@dataclass(frozen=True)
class Wrong:
    """One mistake."""

    name: str
    #: Gives the subject and its arguments, in float64.
    make: Callable[[], tuple[Any, ...]]
    #: How the cause begins; "" if none need be named.
    cause: str
    #: Whether it changes no number of a careful caller's: then only `strict` has to fail.
    hazard: bool = False


def function(forward: Callable[..., Any], backward: Callable[..., Any], **others: Any) -> Any:
    """Give the ``apply`` of an autograd function that is made of these two."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    made: Any = type("Mine", (torch.autograd.Function,), methods | others)
    return made.apply


def normal(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.float64)


def keep(ctx: Any, *tensors: Any) -> Any:
    ctx.save_for_backward(*tensors)
    return tensors[0] if len(tensors) == 1 else tensors


def kept(ctx: Any) -> Any:
    found = ctx.saved_tensors
    return found[0] if len(found) == 1 else found


def unary(value: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Any:
    """Give a function of one tensor, from its value and what goes back for x and the gradient."""
    return function(lambda ctx, x: value(keep(ctx, x)), lambda ctx, g: slope(kept(ctx), g))


def linear(back: Callable[..., Any]) -> Any:
    """Give ``x @ w + b``, from what goes back for x, w and the gradient."""

    def forward(ctx: Any, x: Any, w: Any, b: Any) -> Any:
        keep(ctx, x, w)
        return x @ w + b

    return function(forward, lambda ctx, g: back(*kept(ctx), g))


def x() -> Any:
    return normal(5, 4)


def square() -> tuple[Any, ...]:
    return normal(4, 4), normal(4, 4), normal(4)


def asking() -> tuple[Any, ...]:
    return tuple(tensor.requires_grad_() for tensor in square())


def overwritten(g: Any, times: Any) -> Any:
    g *= times
    return g


def as_if_contiguous(tensor: Any) -> Any:
    """Read memory as a kernel would that takes no strides."""
    strides = torch.empty(tensor.shape).stride()
    enough = torch.zeros(tensor.numel(), dtype=tensor.dtype)
    memory = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())[: tensor.numel()]
    enough[: memory.numel()] = memory
    return enough.as_strided(tensor.shape, strides)


def softmax_back(y: Any, g: Any) -> Any:
    return y * g


class Outside:
    """Where state is kept that should be in ctx."""

    x: Any = None
    total: Any = 0
    calls = itertools.count()


def outside_forward(ctx: Any, x: Any) -> Any:
    Outside.x = x.clone()
    return x**3


def accumulated(ctx: Any, g: Any) -> Any:
    Outside.total = Outside.total + 2 * kept(ctx) * g
    return Outside.total


def drawn_forward(ctx: Any, x: Any) -> Any:
    return x * (torch.rand(x.shape) < 0.5)


def drawn_backward(ctx: Any, g: Any) -> Any:
    return g * (torch.rand(g.shape) < 0.5)


def saved_is_changed(ctx: Any, g: Any) -> Any:
    found = kept(ctx)
    found.mul_(2)
    return found * g


def in_place(ctx: Any, x: Any) -> Any:
    x.mul_(2)
    return x * 1.0


def needs_wrong_one(ctx: Any, g: Any) -> Any:
    x, y = kept(ctx)
    return (g * y if ctx.needs_input_grad[1] else None), (g * x if ctx.needs_input_grad[0] else None)


def both_back(ctx: Any, a: Any, b: Any) -> Any:
    return a * 2 + b * 3


def both_forward(ctx: Any, x: Any) -> Any:
    ctx.set_materialize_grads(False)
    return x * 2, x * 3


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.second(torch.tanh(self.first(x)).detach())


class InData(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(4))

    def forward(self, x: Any) -> Any:
        return x * self.weight.data


class Inner(nn.Module):
    """Calls a function that is half of what it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.half = unary(lambda x: x**2, lambda x, g: x * g)

    def forward(self, x: Any) -> Any:
        return self.half(x)


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.inner, self.b = nn.Linear(4, 4), Inner(), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.b(self.inner(self.a(x)))


class Masked(nn.Module):
    """Makes its mask of the first batch, for all."""

    mask: Any = None

    def forward(self, x: Any) -> Any:
        if self.mask is None:
            self.mask = (x > 0).to(x.dtype)
        return _masked(x, self.mask)


_masked = function(lambda ctx, x, mask: torch.relu(keep(ctx, x, mask)[0]), lambda ctx, g: (g * kept(ctx)[1], None))


class Shared(nn.Module):
    """Adds what goes in to what comes out of a function that overwrites its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.three = function(lambda ctx, x: x * 3, lambda ctx, g: overwritten(g, 3))

    def forward(self, x: Any) -> Any:
        return self.three(x) + x


def module(kind: Any) -> Callable[[], tuple[Any, ...]]:
    return lambda: (kind().double(), x())


def of_x(apply: Any) -> Callable[[], tuple[Any, ...]]:
    return lambda: (apply, x())


def counted(x: Any) -> Any:
    return x * (1 + 1e-3 * next(Outside.calls))


WRONG = (
    Wrong("half", of_x(unary(lambda x: x**2, lambda x, g: x * g)), "factor 1/2"),
    Wrong("sign", of_x(unary(torch.cos, lambda x, g: torch.sin(x) * g)), "factor -1"),
    Wrong("twice", of_x(unary(torch.exp, lambda x, g: 2 * torch.exp(x) * g)), "factor 2"),
    Wrong("mean for sum", of_x(unary(lambda x: x.sum(), lambda x, g: g.expand(x.shape) / len(x))), "factor 1/N"),
    Wrong("zero", of_x(unary(torch.sin, lambda x, g: 0 * g)), "zero"),
    Wrong("none", lambda: (unary(torch.sin, lambda x, g: None), x().requires_grad_()), "no gradient"),
    Wrong("x is kept, y is meant", of_x(unary(torch.sigmoid, lambda y, g: y * (1 - y) * g)), ""),
    Wrong("transposed", lambda: (linear(lambda x, w, g: (g @ w, x.T @ g, g.sum(0))), *square()), ""),
    Wrong("w transposed", lambda: (linear(lambda x, w, g: (g @ w.T, (x.T @ g).T, g.sum(0))), *square()), "transposed"),
    Wrong("summed over columns", lambda: (linear(lambda x, w, g: (g @ w.T, x.T @ g, g.sum(1))), *square()), ""),
    Wrong("first row for the sum", lambda: (linear(lambda x, w, g: (g @ w.T, x.T @ g, g[0])), *square()), ""),
    Wrong("no bias", lambda: (linear(lambda x, w, g: (g @ w.T, x.T @ g, None)), *asking()), "no gradient"),
    Wrong("swapped", lambda: (function(
        lambda ctx, x, y: torch.mul(*keep(ctx, x, y)), lambda ctx, g: (g * kept(ctx)[0], g * kept(ctx)[1])
    ), x().requires_grad_(), x().requires_grad_()), ""),
    Wrong("grad_output ignored", of_x(unary(torch.exp, lambda x, g: torch.exp(x))), "dout ignored"),
    Wrong("grad_output squared", of_x(unary(torch.exp, lambda x, g: torch.exp(x) * g**2)), "not linear in dout"),
    Wrong("clipped", of_x(unary(lambda x: 3 * x, lambda x, g: (3 * g).clamp(-1, 1))), "not linear in dout"),
    Wrong("normalized", of_x(unary(lambda x: 3 * x, lambda x, g: 3 * g / g.norm())), "not linear in dout"),
    Wrong("grad_output overwritten",
        of_x(unary(lambda x: x**2, lambda x, g: overwritten(g, 2 * x))), "writes into dout",
    ),
    Wrong("grad_output overwritten within", module(Shared), ""),
    Wrong("dout for contiguous", of_x(unary(
        lambda x: x**2, lambda x, g: 2 * x * as_if_contiguous(g)
    )), "takes dout for contiguous"),
    Wrong("dout viewed", of_x(function(
        lambda ctx, x: 2 * x, lambda ctx, g: 2 * g.view(-1).view(g.shape)
    )), "takes dout for contiguous", hazard=True),
    Wrong("input for contiguous", of_x(unary(
        lambda x: as_if_contiguous(x) ** 2, lambda x, g: 2 * as_if_contiguous(x) * g
    )), "takes its input for contiguous"),
    Wrong("accumulates", of_x(function(lambda ctx, x: keep(ctx, x) ** 2, accumulated)), "not linear in dout"),
    Wrong("kept outside ctx", of_x(function(
        outside_forward, lambda ctx, g: 3 * Outside.x**2 * g
    )), "stale batch: kept outside ctx"),
    Wrong("mask of the first batch", module(Masked), "stale batch"),
    Wrong("mask drawn anew", of_x(function(drawn_forward, drawn_backward)), ""),
    Wrong("saved is changed",
        of_x(function(lambda ctx, x: keep(ctx, x) ** 2, saved_is_changed)), "writes into its input",
    ),
    Wrong("in place, and not said", of_x(function(in_place, lambda ctx, g: 2 * g)), "writes into its input"),
    Wrong("needs_input_grad of the other", lambda: (function(
        lambda ctx, x, y: torch.mul(*keep(ctx, x, y)), needs_wrong_one
    ), x(), x()), "depends on who else asks"),
    Wrong("both outputs or none", of_x(function(both_forward, both_back)), "needs all outputs to be used", hazard=True),
    Wrong("float32 within", of_x(unary(
        lambda x: x**2, lambda x, g: (2 * x.float() * g.float() * 1.0001).double()
    )), ""),
    Wrong("straight through a sign", of_x(unary(torch.sign, lambda x, g: g)), "straight through a step"),
    Wrong("straight through rounding", of_x(unary(
        lambda x: torch.round(4 * x) / 4, lambda x, g: g
    )), "straight through a step"),
    Wrong("clamped straight through", of_x(unary(lambda x: x.clamp(-0.5, 0.5), lambda x, g: g)), ""),
    Wrong("reversed", of_x(function(lambda ctx, x: x.view_as(x), lambda ctx, g: -g)), "factor -1"),
    Wrong("softmax without its sum", of_x(function(
        lambda ctx, x: keep(ctx, torch.softmax(x, 1)), lambda ctx, g: softmax_back(kept(ctx), g)
    )), ""),
    Wrong("variance held fixed", of_x(unary(
        lambda x: x / x.std(0), lambda x, g: g / x.std(0)
    )), ""),
    Wrong("norm without its square", of_x(unary(
        lambda x: x.norm(), lambda x, g: g * x
    )), ""),
    Wrong("relu passes all", of_x(unary(torch.relu, lambda x, g: g)), ""),
    Wrong("leaky slope forgotten", of_x(unary(lambda x: F.leaky_relu(x, 0.1), lambda x, g: g * (x > 0))), ""),
    Wrong("cumulated the same way", of_x(unary(lambda x: x.cumsum(0), lambda x, g: g.cumsum(0))), ""),
    Wrong("rolled the same way", of_x(unary(lambda x: x.roll(1, 0), lambda x, g: g.roll(1, 0))), ""),
    Wrong("flipped for transposed", lambda: (unary(lambda x: x.T @ x, lambda x, g: x @ g), x()), ""),
    Wrong("detached", module(Detached), "no gradient"),
    Wrong("by .data", module(InData), "no gradient"),
    Wrong("an inner module", module(Outer), "factor 1/2"),
    Wrong("counts its calls", lambda: (counted, x()), "not deterministic"),
    Wrong("a pair, half", lambda: ((lambda x: (x**2).sum(), lambda x: x.clone()), x()), "factor 1/2"),
    Wrong("a pair, transposed", lambda: (
        (lambda x, w: (x @ w).sum(), lambda x, w: (w.sum(1).expand(x.shape), x.sum(0).expand(w.shape))), *square()[:2]
    ), "transposed"),
)  # fmt: skip
