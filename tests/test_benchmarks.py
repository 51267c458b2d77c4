"""The benchmarks: every library does the same step, ratios are taken within rounds, and what is missing is left out."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule
import seed_reference as seed

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
WIDTHS, BATCH, RATE = (20, 8, 4), 10, 0.5
PEAK = '{"level": "portable", "float32": 100.0, "float64": 50.0}'
NOTHING = (sys.executable, "-c", "")
STUB = {"build": NOTHING, "peak": (sys.executable, "-c", f"print('{PEAK}')")}


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the modules of benchmarks/ be imported by name, as they import each other."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def module(name: str) -> Any:
    return importlib.import_module(name)


def way(name: str, call: str | None = "numpy_ways.job", **more: Any) -> Any:
    return module("works").Way(name, call, 1, **more)


def work(*ways: Any, name: str = "dense", **more: Any) -> Any:
    return module("works").Work(name, "A title", "A caption.", "s", "first", (ways,), **more)


def results(runs: dict[Any, Sequence[float]], accuracy: float = 0.97) -> Any:
    """Make results of these seconds, round by round."""
    found = module("results").Results()
    found.peaks = [json.loads(PEAK)] * max(map(len, runs.values()))
    for one, seconds in runs.items():
        found.runs[one] = [{"seconds": s, "accuracy": accuracy, "peak_memory_mb": 100.0} for s in seconds]
    return found


# Every library does the same step.


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("library", "ways", "network"),
    [
        ("numpy", "numpy_ways", "Network"),
        ("torch", "torch_ways", "Eager"),
        ("torch", "torch_ways", "HandWritten"),
        ("jax", "jax_ways", "Network"),
        ("sklearn", "sklearn_ways", "Network"),
    ],
)
def test_steps_are_the_tutorials(library: str, ways: str, network: str, dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library says when it is imported is its own affair
        pytest.importorskip(library)
        make = getattr(module(ways), network)
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(BATCH, WIDTHS[0])).astype(dtype) / np.array(1 if dtype == "uint8" else 255, "float32")
    x, t = x.astype(dtype), rng.integers(WIDTHS[-1], size=BATCH)
    beginning = module("jobs").parameters(WIDTHS, rng, std=0.5)
    net = seed.exact_two_layer_net(*WIDTHS)
    for name, array in zip(("W1", "b1", "W2", "b2"), beginning, strict=True):
        net.params[name][...] = array
    floats = x / 255 if dtype == "uint8" else x.astype("float64")

    more = {"seed": 0} if library == "sklearn" else {}
    learner = make(WIDTHS, BATCH, (x, t), (x, t), RATE, **more)
    for _ in range(2):  # the second start makes everything new
        learner.start(beginning)
        # A batch of all examples: whoever shuffles, takes the same step.
        rows = np.tile(np.arange(BATCH), (1, 1))
        losses = [float(learner.train(rows)[-1]) for _ in range(3)]
    expected = []
    for _ in range(3):
        expected.append(float(net.loss(floats, t)))
        for name, gradient in net.gradient(floats, t).items():
            net.params[name] -= RATE * gradient
    assert losses == pytest.approx(expected, rel=1e-4)
    assert learner.evaluate() == pytest.approx(net.accuracy(floats, t))


def test_tuned_numpy_gives_the_tutorials_parameters() -> None:
    numpy_ways, jobs = module("numpy_ways"), module("jobs")
    rng = np.random.default_rng(1)
    x, t = rng.random((BATCH, WIDTHS[0]), dtype="float32"), rng.integers(WIDTHS[-1], size=BATCH)
    learner = numpy_ways.Network(WIDTHS, BATCH, (x, t), (x, t), RATE)
    beginning = jobs.parameters(WIDTHS, rng, std=0.5)
    learner.start(beginning)
    learner.train(np.arange(BATCH)[None])
    net = seed.exact_two_layer_net(*WIDTHS)
    for name, array in zip(("W1", "b1", "W2", "b2"), beginning, strict=True):
        net.params[name][...] = array
    gradients = net.gradient(x.astype("float64"), t)
    for (name, gradient), mine in zip(gradients.items(), learner.params, strict=True):
        np.testing.assert_allclose(mine, net.params[name] - RATE * gradient, rtol=1e-5, atol=1e-6)


def test_tuned_numpy_adam_is_ours() -> None:
    numpy_ways, jobs, ours = module("numpy_ways"), module("jobs"), module("chainrule_ways")
    rng = np.random.default_rng(2)
    x, t = rng.random((BATCH, WIDTHS[0]), dtype="float32"), rng.integers(WIDTHS[-1], size=BATCH)
    beginning = jobs.parameters(WIDTHS, rng, std=0.5)
    learner = numpy_ways.Network(WIDTHS, BATCH, (x, t), (x, t), numpy_ways.ADAMS_RATE, adam=True)
    learner.start(beginning)
    learner.train(np.tile(np.arange(BATCH), (5, 1)))
    net = ours.network(beginning, bytes_in=False)
    chainrule.fit(net, x, t, epochs=5, batch_size=BATCH, optimizer=chainrule.Adam())
    for array, mine in zip(net.params.values(), learner.params, strict=True):
        np.testing.assert_allclose(mine, array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["SimpleConvNet", "DeepConvNet"])
@pytest.mark.parametrize(
    ("library", "more"),
    [
        ("torch", {}),
        ("torch", {"channels_last": True}),
        pytest.param("torch", {"compiled": True}, marks=pytest.mark.slow),
        ("jax", {}),
    ],
)
def test_steps_of_convolutional_networks_are_ours(library: str, more: dict[str, Any], name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library says when it is imported is its own affair
        pytest.importorskip(library)
        make = module(f"{library}_images").Network
    rng = np.random.default_rng(0)
    x, t = rng.random((20, 1, 28, 28), dtype="float32"), rng.integers(10, size=20)
    net = module("image_jobs").network(name, 3, "float64")
    if name == "DeepConvNet":
        net.layers["Dropout1"].dropout_ratio = 0.0  # no library draws another's masks
    rate = 0.001
    adam = chainrule.Adam(rate)
    beginning = [array.astype("float32") for array in net.params.values()]
    learner, expected = (make(name, (x, t), rate, dropout=0.0, **more) for _ in range(2))
    learner.start(beginning)
    for number in (1, 2):
        if library == "torch":  # which adds epsilon after the correction for the start at 0, and ours before it
            learner.optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**number) ** 0.5
        rows = rng.permutation(20)[:10]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            losses = learner.train(rows[None])
        assert losses == pytest.approx([net.loss(x[rows], t[rows])], rel=1e-5)
        adam.update(net.params, net.gradient(x[rows], t[rows]))
        expected.start([array.astype("float32") for array in net.params.values()])  # each holds them its own way
        for mine, ours in zip(*(map(np.asarray, each.params) for each in (learner, expected)), strict=True):
            # A step is about the rate. Rounding shows where there is hardly a gradient, not in all numbers together.
            np.testing.assert_allclose(mine, ours, rtol=1e-5, atol=rate / 10)
            assert np.linalg.norm(mine - ours) <= rate / 1000 * np.size(mine) ** 0.5


def test_single_layers_are_pytorchs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")
        theirs = module("torch_images")
    for what in module("images").LAYERS:
        data = module("image_jobs").layer_data(what, 0)
        found, expected = module("chainrule_images").passes(*data)(), theirs.passes(*data)()
        assert len(found) == len(expected) == (2 if "pooling" in what else 4)
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4 * np.abs(mine).max(), err_msg=what)


def test_jobs_draw_the_same_batches() -> None:
    # Same seed, same parameters, same batches: the same network but for rounding.
    tuned = module("numpy_ways").job(iterations=50, seed=0)
    ours = module("chainrule_ways").job(iterations=50, seed=0)
    assert tuned.seconds > 0
    assert ours.seconds > 0
    assert tuned.accuracy == pytest.approx(ours.accuracy, abs=0.001)


def test_stopwatch_leaves_the_first_epoch_and_the_evaluations_out() -> None:
    watch = module("chainrule_ways").Stopwatch()
    x, t = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    net = chainrule.TwoLayerNet(3, 4, 2, seed=0)
    chainrule.fit(net, x, t, epochs=4, batch_size=10, progress=watch.progress, callbacks=[watch])
    assert watch.steps == 3 * 4
    assert 0 < watch.seconds < 1


def test_arithmetic_of_a_step() -> None:
    works = module("works")
    assert works.flop_of_step((784, 50, 10), 100) == 2 * (2 * 100 * 784 * 50) + 3 * (2 * 100 * 50 * 10) == 15_980_000


def test_arithmetic_of_convolutional_networks_and_layers() -> None:
    images = module("images")
    first, rest = 25 * 30 * 24 * 24, 30 * 12 * 12 * 100 + 100 * 10
    assert images.flop_of_training(images.NETWORKS["SimpleConvNet"]) == 2 * 100 * (2 * first + 3 * rest) == 432_600_000
    first = 9 * 16 * 28 * 28
    rest = 9 * (16 * 16 * 28 * 28 + 16 * 32 * 14 * 14 + 32 * 32 * 16 * 16 + 32 * 64 * 8 * 8 + 64 * 64 * 8 * 8)
    rest += 64 * 4 * 4 * 50 + 50 * 10
    assert images.flop_of_training(images.NETWORKS["DeepConvNet"]) == 2 * 100 * (2 * first + 3 * rest)
    flops = [images.flop_of_layer(*described) for described in images.LAYERS.values()]
    products = [25 * 30 * 24 * 24, 9 * 16 * 16 * 28 * 28, 9 * 32 * 32 * 16 * 16, 9 * 64 * 64 * 8 * 8, 0, 0]
    assert flops == [600 * each for each in products]


# Ratios, tables, JSON.


def test_ratios_are_taken_within_rounds() -> None:
    drift = [1.0, 3.0, 0.5, 7.0, 2.0]
    assert module("results").ratio(drift, [2 * seconds for seconds in drift]) == 0.5
    one, half = way("one"), way("half", ours=True, flop=50e9)
    found = results({one: drift, half: [2 * seconds for seconds in drift]})
    assert found.ratio(half, one) == 0.5
    assert found.share(half) == pytest.approx(0.5 / 4)  # half a second at 100 GFLOP/s, of a median of 4
    assert found.share(one) is None


def test_table_is_aligned_and_narrow() -> None:
    works, report = module("works"), module("results")
    for one in works.works(10_000, 128, "avx512"):
        ways = [w for group in one.groups for w in group]
        found = results({w: [1234.5678] for w in ways if w.call})
        text = report.table(found, one)
        assert max(map(len, text.splitlines())) <= report.WIDTH
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) == 2 + len(ways)
        assert len({len(row) for row in rows}) == len({row.count("|") for row in rows}) == 1
        assert json.dumps(report.entries(found, one))
    assert [one.name for one in works.works(1, 1, "neon")] == list(works.NAMES)


def test_losing_is_printed() -> None:
    first, peer, ours = way("NumPy", flop=1e9), way("JAX", peer=True), way("chainrule", ours=True)
    text = module("results").table(results({first: [4.0], peer: [1.0], ours: [2.0]}), work(first, peer, ours))
    assert "| JAX       |       1 | 1.00 |    4.00 |        0.50 |" in text
    assert "chainrule, 1 thread, is 0.50 times as fast as the fastest other, JAX, 1 thread." in text


def test_without_the_first_way_the_others_are_compared() -> None:
    report = module("results")
    first, peer, ours = way("PyTorch", "torch_images.eager", peer=True), way("JAX", peer=True), way("ours", ours=True)
    table = work(first, peer, ours, also=("MB",))
    found = results({peer: [4.0], ours: [2.0]})
    assert report.table(found, table).split("\n\n")[2].splitlines() == [
        "| way     | threads |             s | chainrule × |  MB |",
        "| :------ | ------: | ------------: | ----------: | --: |",
        "| PyTorch |       1 | not installed |             |     |",
        "| JAX     |       1 |          4.00 |        2.00 | 100 |",
        "| ours    |       1 |          2.00 |        1.00 | 100 |",
    ]
    entries = report.entries(found, table)
    assert [(entry["way"], entry["baseline"], entry["ratio"]) for entry in entries] == [
        ("JAX", None, None),
        ("ours", None, None),
        ("ours", "JAX, 1 thread", 2.0),
    ]


def test_missing_library_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run, report = module("run"), module("results")
    first, ours = way("NumPy", peer=True), way("chainrule", "chainrule_ways.job", ours=True)
    torch, again = way("PyTorch", "torch_ways.job", peer=True), way("eager", "torch_ways.eager_job", peer=True)
    seen = []

    def measure(one: Any, number: int) -> dict[str, Any]:
        seen.append(one.name)
        if one in (torch, again):
            return {"missing": "torch"}
        return {"seconds": 1.0, "accuracy": None, "peak_memory_mb": 1.0}

    monkeypatch.setattr(run, "measure", measure)
    found, table = report.Results(), work(first, torch, again, ours)
    for number in range(2):
        found.peaks.append(json.loads(PEAK))
        run.take_turns(found, [table], number, 2)
    assert seen == ["NumPy", "PyTorch", "chainrule", "chainrule", "NumPy"]  # asked for once, and there and back
    assert capsys.readouterr().err.count("not installed") == 4
    assert report.table(found, table).count("not installed") == 2
    assert found.fastest_peer(table.groups[0]) is first
    assert [entry["way"] for entry in report.entries(found, table)] == ["NumPy", "chainrule"]


def test_worker_says_which_library_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = module("worker")
    monkeypatch.setattr(worker, "limit", lambda threads: None)
    monkeypatch.setattr(sys, "argv", ["worker.py", "torch_ways.job", "1", "{}"])
    monkeypatch.delitem(sys.modules, "torch_ways", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    worker.main()
    assert json.loads(capsys.readouterr().out) == {"missing": "torch"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system that cannot keep a process to one CPU")
def test_one_thread_is_one_cpu() -> None:
    code = "import os, worker; worker.limit(1); print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


# The command line.


def test_main_measures_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    module("run").main(["--only", "step", "--rounds", "1", "--json", str(file)], **STUB)
    out, err = capsys.readouterr()
    assert "| chainrule fit " in out
    assert err.splitlines()[-1] == f"written to {file}"
    document = json.loads(file.read_text())
    assert document["rounds"] == 1
    assert document["machine"]["instruction_set"] == "portable"
    assert document["fma_peak"]["float32"] == 100.0
    peak, tuned, ours = document["results"][:3]
    assert peak["seconds"] == 15_980_000 / 100e9
    assert ours["baseline"] == "dense arithmetic at the FMA peak, 1 thread"
    assert ours["ratio"] == ours["share_of_peak"] == pytest.approx(peak["seconds"] / ours["seconds"])
    assert tuned["peak_memory_mb"] > 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "must be a whole number of at least 1, got '0'"),
        (["--rounds", "many"], "must be a whole number of at least 1, got 'many'"),
        (["--iterations", "-5"], "must be a whole number of at least 1, got '-5'"),
        (["--only", "nothing"], "invalid choice: 'nothing'"),
        (["--json", "/dev/null/file"], "cannot write /dev/null/file"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        module("run").main(arguments, **STUB)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (["no-such-cargo", "build"], "because there is no no-such-cargo: install Rust"),
        ([sys.executable, "-c", "raise SystemExit('no such example')"], "failed: no such example"),
    ],
)
def test_no_peak_no_benchmark(build: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="The FMA peak cannot be measured") as stopped:
        module("run").main(["--json", str(tmp_path / "file")], build=build)
    assert said in str(stopped.value.code)


def test_a_way_that_did_not_learn_shows_no_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run, ours = module("run"), way("chainrule", ours=True)
    done = SimpleNamespace(returncode=0, stdout=json.dumps({"seconds": 1.0, "accuracy": 0.5, "peak_memory_mb": 1.0}))
    monkeypatch.setattr(run, "works", lambda *_: [work(ours, name="job")])
    monkeypatch.setattr(run, "peak_of", lambda _: PEAK)
    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: done)
    arguments = ["--rounds", "1", "--json", str(tmp_path / "file")]
    with pytest.raises(SystemExit, match=r"chainrule, 1 thread: ended with a test accuracy of 0\.5000"):
        run.main(arguments)
    run.main([*arguments, "--iterations", "200"])  # a quick look may show anything
