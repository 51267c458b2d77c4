"""What is measured: the works, the ways of doing each, and how much arithmetic a work is.

Nothing is imported here but the standard library: the process that hands out the turns stays small, because what a
process starts inherits its peak memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import images

#: The tutorial's network and its training.
DIGITS, BATCH, RATE = (784, 50, 10), 100, 0.1
TRAIN_IMAGES, IMAGES = 60_000, 70_000
#: Steps between two evaluations; the tutorial's number of steps.
EPOCH, TUTORIALS_ITERATIONS = 600, 10_000
#: A network whose products are large.
DENSE, DENSE_BATCH = (784, 1024, 1024, 10), 256
#: (m, k, n) of a product of m × k with k × n numbers.
PRODUCTS = ((1024, 1024, 1024), (256, 1024, 1024), (100, 784, 50))

#: What can be asked for with --only.
NAMES = ("job", "step", "dense", "products", "accuracy", "adam", "convnets", "layers", "import")

#: The other libraries, by the name they are imported by. One that is not installed is left out.
PEERS = {"jax": "JAX", "sklearn": "scikit-learn", "torch": "PyTorch"}


@dataclass(frozen=True)
class Way:
    """One way of doing a work: a function of a `*_ways.py` or `*_images.py`, called in a process of its own.

    Without a function, the way is not run: it is the arithmetic at the machine's FMA peak.
    """

    name: str
    call: str | None
    threads: int
    flop: float | None = None
    dtype: str = "float32"
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    level: str | None = None
    #: Whether this is the way of chainrule's that its group is about.
    ours: bool = False
    #: Whether it is another library at its best, which ours has to beat.
    peer: bool = False

    @property
    def label(self) -> str:
        """The name in a sentence."""
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"


#: Ways that are compared with each other; the first is what every ratio is taken against.
Group = tuple[Way, ...]


@dataclass(frozen=True)
class Work:
    """One table: what is done, in which unit its times are printed, and what the first way of each group is called."""

    name: str
    title: str
    caption: str
    unit: str
    first: str
    groups: tuple[Group, ...]
    #: Columns of other things that are reported: "MB", the peak memory; "accuracy".
    also: tuple[str, ...] = ()


def flop_of_scores(widths: Iterable[int], examples: int) -> int:
    """Give the operations of a forward pass: a multiplication and an addition for each weight and example."""
    return 2 * examples * sum(a * b for a, b in pairwise(widths))


def flop_of_step(widths: tuple[int, ...], batch: int) -> int:
    """Give those of a step: forward, as many for the weights' gradients, and back through all layers but the first."""
    return 2 * flop_of_scores(widths, batch) + flop_of_scores(widths[1:], batch)


def works(iterations: int, cpus: int, instruction_set: str) -> list[Work]:
    """List all works: a job of so many iterations, on a machine with so many CPUs of that instruction set."""
    levels = ["avx2", "portable"] if instruction_set.startswith("avx") else ["portable"]
    few = sorted({1, min(2, cpus)})
    return [
        _job(iterations, sorted({1, cpus}), levels),
        _step(),
        _dense(few),
        _products(few),
        _accuracy(few),
        _adam(few),
        _convnets(few),
        _layers(few),
        _import(),
    ]


def _job(iterations: int, threads: list[int], levels: list[str]) -> Work:
    evaluations = -(-iterations // EPOCH)
    flop = iterations * flop_of_step(DIGITS, BATCH) + evaluations * flop_of_scores(DIGITS, IMAGES)
    every = threads[-1]

    def way(name: str, call: str, threads: int = every, dtype: str = "float32", **more: Any) -> Way:
        arguments = {"iterations": iterations, **more.pop("arguments", {})}
        return Way(name, call, threads, flop, dtype, arguments, **more)

    peers = {
        "tuned NumPy, float32": "numpy_ways.job",
        "JAX, scan over an epoch": "jax_ways.job",
        "scikit-learn MLPClassifier": "sklearn_ways.job",
        "PyTorch, eager": "torch_ways.eager_job",
        "PyTorch, hand-written": "torch_ways.job",
    }
    fit = "chainrule_ways.job"
    group = (
        way("tutorial's loop, NumPy", "numpy_ways.published", dtype="float64"),
        *(way(name, call, n, peer=True) for name, call in peers.items() for n in threads),
        way("JAX, its compiling included", "jax_ways.job", arguments={"warm": False}),
        way("tutorial's loop, chainrule", "chainrule_ways.script", dtype="float64"),
        way("chainrule fit, float64", fit, dtype="float64", arguments={"dtype": "float64"}),
        *(way("chainrule fit, float32", fit, n, ours=n == every) for n in threads),
        *(way(f"chainrule fit, float32, {level}", fit, level=level) for level in levels),
        way("chainrule train, whole process", "chainrule_ways.command"),
    )
    return Work(
        "job",
        f"The tutorial's job: {iterations:,} steps of 784-50-10, {evaluations} evaluations of 70,000 images",
        "Importing, loading the data and warming up are outside the clock, except in the last row, a process from start"
        " to end. All draw their batches from the 60,000 images with replacement but scikit-learn, which can only"
        " shuffle, and `chainrule train`, which does. The tutorial's loop is its script, in float64, with a second"
        " forward pass for the loss.",
        "s",
        "published",
        (group,),
        also=("MB", "accuracy"),
    )


def _step() -> Work:
    flop = flop_of_step(DIGITS, BATCH)
    group = (
        Way("dense arithmetic at the FMA peak", None, 1, flop),
        Way("tuned NumPy", "numpy_ways.step", 1, flop, peer=True),
        Way("chainrule fit", "chainrule_ways.step", 1, flop, ours=True),
    )
    return Work(
        "step",
        "One step of that job: 784-50-10, batch 100, float32",
        "If no pixel were zero it would take 2·100·784·50 operations for the first layer's scores, as many for its"
        f" weights' gradient, and 3·2·100·50·10 for the second layer: {flop / 1e6:.2f} MFLOP. The first row is the"
        " time they would take at the FMA peak of one core.",
        "µs",
        "peak",
        (group,),
    )


def _dense(threads: list[int]) -> Work:
    flop = flop_of_step(DENSE, DENSE_BATCH)
    peers = {
        "tuned NumPy": "numpy_ways.dense",
        "JAX, jit": "jax_ways.dense",
        "PyTorch, eager": "torch_ways.eager_dense",
        "PyTorch, hand-written": "torch_ways.dense",
    }
    groups = tuple(
        (
            *(Way(name, call, n, flop, peer=True) for name, call in peers.items()),
            Way("chainrule fit", "chainrule_ways.dense", n, flop, ours=True),
        )
        for n in threads
    )
    return Work(
        "dense",
        "One step of a dense network: 784-1024-1024-10, ReLU, batch 256, float32",
        f"Random data without zeros, plain gradient descent: {flop / 1e9:.2f} GFLOP a step.",
        "ms",
        "NumPy",
        groups,
    )


def _products(threads: list[int]) -> Work:
    groups = []
    for m, k, n in PRODUCTS:
        for dtype in ("float32", "float64"):
            what, flop = f"{m}×{k}·{k}×{n}, {dtype}", 2 * m * k * n
            arguments = {"shape": (m, k, n), "dtype": dtype}
            for count in threads:
                numpy = Way(f"NumPy, {what}", "numpy_ways.product", count, flop, dtype, arguments, peer=True)
                ours = Way(f"chainrule, {what}", "chainrule_ways.product", count, flop, dtype, arguments, ours=True)
                groups.append((numpy, ours))
    return Work(
        "products",
        "Matrix products",
        "`np.matmul(x, W, out=out)` beside `affine(x, W, b, out)` of chainrule, which adds the bias too. Random data.",
        "µs",
        "NumPy",
        tuple(groups),
    )


def _accuracy(threads: list[int]) -> Work:
    flop = flop_of_scores(DIGITS, TRAIN_IMAGES)
    return Work(
        "accuracy",
        "`net.accuracy(x, t)` of the 60,000 training images, float32",
        "The tutorial's own network, its parameters in float32, beside chainrule's.",
        "ms",
        "NumPy",
        tuple(
            (
                Way("tutorial's network, NumPy", "numpy_ways.accuracy", n, flop, peer=True),
                Way("chainrule", "chainrule_ways.accuracy", n, flop, ours=True),
            )
            for n in threads
        ),
    )


def _adam(threads: list[int]) -> Work:
    return Work(
        "adam",
        "One step of Adam: 784-50-10, batch 100, float32",
        "Tuned NumPy, with all parameters in one array and every result in place, beside `fit(optimizer=Adam())`.",
        "µs",
        "NumPy",
        tuple(
            (
                Way("tuned NumPy", "numpy_ways.adam", n, peer=True),
                Way("chainrule fit", "chainrule_ways.adam", n, ours=True),
            )
            for n in threads
        ),
    )


def _convnets(threads: list[int]) -> Work:
    peers = {
        "PyTorch, eager": "torch_images.eager",
        "PyTorch, channels last": "torch_images.channels_last",
        "PyTorch, compiled": "torch_images.compiled",
        "JAX, jit": "jax_images.network",
    }
    flops = {name: images.flop_of_training(layers) for name, layers in images.NETWORKS.items()}

    def way(how: str, call: str, name: str, threads: int, **more: Any) -> Way:
        return Way(f"{name}: {how}", call, threads, flops[name], arguments={"name": name}, **more)

    groups = tuple(
        (
            *(way(how, call, name, n, peer=True) for how, call in peers.items()),
            way("chainrule fit", "chainrule_images.network", name, n, ours=True),
        )
        for name in flops
        for n in threads
    )
    simple, deep = (f"{flop / 1e6:,.0f} MFLOP" for flop in flops.values())
    return Work(
        "convnets",
        "One step of the book's convolutional networks, on images of MNIST: Adam, batch 100, float32",
        "Chapter 7's SimpleConvNet: 30 filters of 5×5, a pooling, 100 and 10 units. Chapter 8's DeepConvNet: 16, 16,"
        " 32, 32, 64 and 64 filters of 3×3, a pooling after every two, 50 and 10 units, with dropout. Steps are timed,"
        " on images in float32 drawn at random, after an epoch in which all is compiled and warm; no evaluation. If"
        f" nothing is skipped, a step is {simple} and {deep}. An epoch of the 60,000 images is 600 steps. MB: the peak"
        " of the process, its libraries and what compiles for it included.",
        "ms",
        "PyTorch",
        groups,
        also=("MB",),
    )


def _layers(threads: list[int]) -> Work:
    groups = []
    for what, (layer, shape) in images.LAYERS.items():
        flop, arguments = images.flop_of_layer(layer, shape) or None, {"what": what}
        for n in threads:
            torch = Way(f"PyTorch, {what}", "torch_images.layer", n, flop, arguments=arguments, peer=True)
            ours = Way(f"chainrule, {what}", "chainrule_images.layer", n, flop, arguments=arguments, ours=True)
            groups.append((torch, ours))
    return Work(
        "layers",
        "Single layers, forward and back: a batch of 100, float32",
        "The layers of chainrule, called from Python, beside PyTorch's functions and its autograd. Random numbers go in"
        " and come back; the gradients of the input and of all parameters are asked for. A convolution of 3×3 has a"
        " padding of 1, that of 5×5 none. The batch norm is that of training.",
        "ms",
        "PyTorch",
        tuple(groups),
    )


def _import() -> Work:
    return Work(
        "import",
        "What `import chainrule` adds to `import numpy`",
        "The difference between two fresh interpreters, of 15 pairs that take turns, in every round.",
        "ms",
        "NumPy",
        ((Way("import chainrule", "chainrule_ways.importing", 1, ours=True),),),
    )
