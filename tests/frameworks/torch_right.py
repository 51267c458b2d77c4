"""Modules and functions for PyTorch that are right, and look in many ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn
F: Any = torch.nn.functional


def rn(*shape: int) -> Any:
    return torch.randn(*shape)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return x + F.gelu(self.b(F.relu(self.a(x))))


class Sampler(nn.Module):
    """Draws its noise in the precision it computes in."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.spread = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        mean, spread = self.mean(x), self.spread(x)
        return mean + torch.randn_like(mean) * (spread / 2).exp(), mean, spread


class OwnNoise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(3)
        self.w = nn.Parameter(torch.randn(4))

    def forward(self, x: Any) -> Any:
        return self.w * x * torch.rand(x.shape, generator=self.rng)


class InDicts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4))

    def forward(self, given: Any) -> Any:
        return {"a": given["x"] * self.w, "which": given["x"].argmax(1), "b": (given["y"] ** 2).sum()}


class Stateful(nn.Module):
    """Goes on from where the last call has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.h = nn.Linear(4, 4), None

    def forward(self, x: Any) -> Any:
        h = torch.zeros_like(x) if self.h is None else self.h
        h = torch.tanh(self.w(x) + h)
        self.h = h.detach()
        return h


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 2 * x * g


class Power(torch.autograd.Function):
    """Of the newer kind, with a context of its own."""

    @staticmethod
    def forward(x: Any, n: int) -> Any:
        return x**n

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.n = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ctx.n * x ** (ctx.n - 1) * g, None


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, b: Any = None) -> Any:
        ctx.save_for_backward(x, w, b)
        return x @ w.t() if b is None else x @ w.t() + b

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w, b = ctx.saved_tensors
        gx = g @ w if ctx.needs_input_grad[0] else None
        gw = g.t() @ x if ctx.needs_input_grad[1] else None
        gb = g.sum(0) if b is not None and ctx.needs_input_grad[2] else None
        return gx, gw, gb


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        x.mul_(3)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 3 * g


class Two(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin(), x.cos()

    @staticmethod
    def backward(ctx: Any, a: Any, b: Any) -> Any:
        (x,) = ctx.saved_tensors
        return a * x.cos() - b * x.sin()


def frozen() -> Any:
    module = nn.Linear(4, 3)
    module.bias.requires_grad_(False)
    return module


def recomputed() -> Any:
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    return lambda x: torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)


RIGHT: dict[str, Callable[[], tuple[Any, ...]]] = {
    "linear": lambda: (nn.Linear(4, 3), rn(5, 4)),
    "bilinear": lambda: (nn.Bilinear(3, 4, 2), rn(5, 3), rn(5, 4)),
    "conv1": lambda: (nn.Conv1d(2, 3, 3, padding=1, stride=2), rn(3, 2, 7)),
    "conv2": lambda: (nn.Conv2d(2, 4, 3, groups=2, dilation=2, padding=1), rn(2, 2, 6, 5)),
    "convT": lambda: (nn.ConvTranspose2d(2, 3, 3, stride=2), rn(2, 2, 3, 4)),
    "bn1_train": lambda: (nn.BatchNorm1d(4), rn(6, 4)),
    "bn1_eval": lambda: (nn.BatchNorm1d(4).eval(), rn(6, 4)),
    "bn2_train": lambda: (nn.BatchNorm2d(3), rn(4, 3, 3, 2)),
    "bn2_nomom": lambda: (nn.BatchNorm2d(3, momentum=None), rn(4, 3, 3, 2)),
    "ln": lambda: (nn.LayerNorm(5), rn(4, 5)),
    "gn": lambda: (nn.GroupNorm(2, 4), rn(3, 4, 3)),
    "in": lambda: (nn.InstanceNorm1d(3, affine=True, track_running_stats=True), rn(3, 3, 5)),
    "rms": lambda: (nn.RMSNorm(5), rn(4, 5)),
    "gru": lambda: (nn.GRU(3, 4, batch_first=True), rn(2, 5, 3)),
    "gru_h": lambda: (nn.GRU(3, 4), rn(5, 2, 3), rn(1, 2, 4)),
    "lstm": lambda: (nn.LSTM(3, 2, num_layers=2, bidirectional=True, dropout=0.3), rn(4, 2, 3)),
    "lstm_hc": lambda: (nn.LSTM(3, 4), rn(5, 2, 3), (rn(1, 2, 4), rn(1, 2, 4))),
    "rnn": lambda: (nn.RNN(3, 4, nonlinearity="relu"), rn(5, 2, 3)),
    "lstmcell": lambda: (nn.LSTMCell(3, 4), rn(5, 3), (rn(5, 4), rn(5, 4))),
    "mha": lambda: (nn.MultiheadAttention(4, 2, batch_first=True), rn(2, 3, 4), rn(2, 5, 4), rn(2, 5, 4)),
    "mha_eval": lambda: (nn.MultiheadAttention(4, 2, dropout=0.2).eval(), *[rn(3, 2, 4)] * 3),
    "mha_drop": lambda: (nn.MultiheadAttention(4, 2, dropout=0.2), rn(3, 2, 4), rn(3, 2, 4), rn(3, 2, 4)),
    "tel": lambda: (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), rn(2, 3, 4)),
    "tel_eval": lambda: (nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, activation="gelu").eval(), rn(3, 2, 4)),
    "dropout": lambda: (nn.Dropout(0.4), rn(5, 4)),
    "alphadrop": lambda: (nn.AlphaDropout(0.4), rn(5, 4)),
    "drop2d": lambda: (nn.Dropout2d(0.4), rn(5, 4, 2, 2)),
    "emb": lambda: (nn.Embedding(6, 3), torch.tensor([0, 2, 5, 1, 3, 4])),
    "embbag": lambda: (nn.EmbeddingBag(6, 3), torch.tensor([[0, 2], [5, 1], [3, 4]])),
    "ce": lambda: (nn.CrossEntropyLoss(), rn(5, 4), torch.tensor([0, 1, 2, 3, 0])),
    "ce_soft": lambda: (nn.CrossEntropyLoss(label_smoothing=0.1), rn(5, 4), torch.softmax(rn(5, 4), 1)),
    "mse": lambda: (nn.MSELoss(), rn(5, 4), rn(5, 4)),
    "bce": lambda: (nn.BCEWithLogitsLoss(), rn(5, 4), torch.randint(0, 2, (5, 4)).float()),
    "huber": lambda: (nn.HuberLoss(), rn(5, 4), rn(5, 4)),
    "nll": lambda: (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), rn(5, 4)),
    "maxpool": lambda: (nn.MaxPool2d(2), rn(2, 2, 4, 4)),
    "avgpool": lambda: (nn.AvgPool2d(3, padding=1), rn(2, 2, 4, 4)),
    "adapt": lambda: (nn.AdaptiveAvgPool2d(2), rn(2, 2, 5, 4)),
    "upsample": lambda: (nn.Upsample(scale_factor=2, mode="bilinear"), rn(2, 2, 3, 3)),
    "pixsh": lambda: (nn.PixelShuffle(2), rn(2, 4, 3, 3)),
    "unfold": lambda: (nn.Unfold(2), rn(2, 2, 4, 4)),
    "prelu": lambda: (nn.PReLU(), rn(5, 4)),
    "relu_in": lambda: (nn.ReLU(inplace=True), rn(5, 4)),
    "silu": lambda: (nn.SiLU(), rn(5, 4)),
    "gelu": lambda: (nn.GELU(), rn(5, 4)),
    "glu": lambda: (nn.GLU(), rn(5, 4)),
    "elu": lambda: (nn.ELU(), rn(5, 4)),
    "softplus": lambda: (nn.Softplus(), rn(5, 4)),
    "softmax": lambda: (nn.Softmax(1), rn(5, 4)),
    "seq": lambda: (
        nn.Sequential(nn.Linear(4, 6), nn.ReLU(True), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2)),
        rn(7, 4),
    ),
    "res": lambda: (Residual(), rn(5, 4)),
    "vae": lambda: (Sampler(), rn(5, 4)),
    "own": lambda: (OwnNoise(), rn(5, 4)),
    "dict": lambda: (InDicts(), {"x": rn(5, 4), "y": rn(3)}),
    "sq": lambda: (Square.apply, rn(5, 4)),
    "sq2": lambda: (Power.apply, rn(5, 4), 3),
    "lin": lambda: (Linear.apply, rn(5, 4), rn(3, 4), rn(3)),
    "lin_nob": lambda: (Linear.apply, rn(5, 4), rn(3, 4)),
    "dirty": lambda: (InPlace.apply, rn(5, 4)),
    "two": lambda: (Two.apply, rn(5, 4)),
    "fn": lambda: (lambda x, y: (x @ y).tanh().sum(), rn(5, 4), rn(4, 3)),
    "wn": lambda: (nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), rn(5, 4)),
    "frozen": lambda: (frozen(), rn(5, 4)),
    "ckpt": lambda: (recomputed(), rn(5, 4)),
    "pair": lambda: ((lambda x: (x**2).sum(), lambda x: 2 * x), rn(5, 4)),
    "solve": lambda: (torch.linalg.solve, rn(3, 3) + 3 * torch.eye(3), rn(3, 2)),
    "svdvals": lambda: (torch.linalg.svdvals, rn(4, 3)),
    "cholesky": lambda: (lambda a: torch.linalg.cholesky(a @ a.T + torch.eye(3)), rn(3, 3)),
    "stft": lambda: (lambda x: torch.view_as_real(torch.fft.rfft(x)), rn(2, 8)),
    "force": lambda: (lambda x: torch.autograd.grad((x**3).sum(), x, create_graph=True)[0], rn(5)),
    "scatter": lambda: (
        lambda x, i: torch.zeros(4, 3, dtype=x.dtype).index_add(0, i, x),
        rn(5, 3),
        torch.tensor([0, 1, 1, 3, 2]),
    ),
    "packed": lambda: (nn.LSTM(3, 2), nn.utils.rnn.pack_padded_sequence(rn(4, 2, 3), [4, 2])),
    "cosine": lambda: (nn.CosineSimilarity(), rn(5, 4), rn(5, 4)),
    "stateful": lambda: (Stateful(), rn(5, 4)),
}
#: Those whose noise in float64 is another, or that cannot be made double here.
SINGLE_ONLY = ("packed", "ckpt")


def doubled(thing: Any) -> Any:
    """Give the same in float64."""
    if isinstance(thing, nn.Module | nn.utils.rnn.PackedSequence):
        return thing.double()
    if torch.is_tensor(thing):
        return thing.double() if thing.is_floating_point() else thing
    if type(thing) in (tuple, list):
        return type(thing)(map(doubled, thing))
    return {key: doubled(value) for key, value in thing.items()} if type(thing) is dict else thing
