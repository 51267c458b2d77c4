"""checkpoints.py: a run that was interrupted ends, once resumed, with the bits it would have had anyway."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import (
    SGD,
    AdaGrad,
    Adam,
    DataError,
    EarlyStopping,
    Momentum,
    Nesterov,
    Network,
    Rescaling,
    RMSprop,
    Run,
    TwoLayerNet,
    _kernels,
    cosine,
    fit,
    load,
)
from chainrule.nn.layers import Affine, Relu
from chainrule.storage import model_files
from chainrule.training.history import History

RULES: list[Any] = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam]
N, EPOCHS = 50, 5


class OwnRelu(Relu):
    """Our Relu under another name, which sends ``fit`` the way of the network's own methods."""


def data(dtype: Any = np.float64) -> tuple[Any, Any]:
    r = np.random.default_rng(1)
    x = r.normal(size=(N, 6)).astype(dtype)
    return x, np.argmax(x @ r.normal(size=(6, 4)), axis=1)


def net(dtype: Any = np.float64, *, own: bool = False, seed: int = 0) -> TwoLayerNet:
    made = TwoLayerNet(6, 5, 4, 0.5, dtype=dtype, seed=seed)
    if own:
        made.layers["Relu1"] = OwnRelu()
    return made


def digest(network: Any) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in network.params.values())).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.safetensors"


class StopAfter:
    """Ends a run after so many epochs or steps, by returning True or by raising."""

    def __init__(self, *, epochs: int = 10**9, steps: int = 10**9, error: type[BaseException] | None = None) -> None:
        self.epochs, self.steps, self.error = epochs, steps, error

    def stop(self, now: bool) -> bool:
        if now and self.error is not None:
            raise self.error
        return now

    def on_epoch(self, run: Run) -> bool:
        return self.stop(run.epoch == self.epochs)


class StopAfterSteps(StopAfter):
    def on_step(self, run: Run) -> bool:
        return self.stop(run.step == self.steps)


# --- the same bits ---


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_resumed_after_any_epoch_a_run_ends_with_the_same_bits(path: Path, rule: Any, dtype: Any, own: bool) -> None:
    x, t = data(dtype)
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "test": data(dtype), "validation": 0.2}
    whole, optimizer = net(dtype, own=own), rule(lr=0.05, weight_decay=0.01)
    history = fit(whole, x, t, epochs=EPOCHS, optimizer=optimizer, **options)
    for done in range(1, EPOCHS + 1):
        first = rule(lr=0.05, weight_decay=0.01)
        fit(net(dtype, own=own), x, t, epochs=done, optimizer=first, checkpoint=path, **options)
        # Another start and another seed: all that matters comes from the file.
        again, then = net(dtype, own=own, seed=9), rule(lr=0.05, weight_decay=0.01)
        options_now = options | {"seed": 77}
        assert fit(again, x, t, epochs=EPOCHS, optimizer=then, resume=path, **options_now) == history
        assert digest(again) == digest(whole)
        assert then.iter == optimizer.iter
        for name, kept in optimizer.kept.items():
            assert [a.tobytes() for a in then.kept[name]] == [a.tobytes() for a in kept]


def pixels() -> tuple[Any, Any]:
    """Give 200 images of 28 x 28 bytes, four fifths of them zeros, which Rust trains on without the zeros."""
    r = np.random.default_rng(4)
    x = r.integers(1, 256, (200, 784)).astype(np.uint8)
    x[r.random(x.shape) < 0.8] = 0
    return x, r.integers(0, 10, 200)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_a_run_over_data_without_its_zeros_ends_with_the_same_bits(path: Path, rule: Any, dtype: Any) -> None:
    def make(seed: int = 0) -> Network:
        return Network({"Scale": Rescaling(), **TwoLayerNet(784, 20, 10, dtype=dtype, seed=seed).layers})

    options: dict[str, Any] = {"batch_size": 30, "seed": 3, "test": pixels()}
    whole, again = make(), make(9)
    history = fit(whole, *pixels(), epochs=3, optimizer=rule(lr=0.01), **options)
    stop = StopAfterSteps(steps=12, error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(make(), *pixels(), epochs=3, optimizer=rule(lr=0.01), checkpoint=path, callbacks=[stop], **options)
    stop.error = None
    stop.steps = 10**9
    assert fit(again, *pixels(), epochs=3, optimizer=rule(lr=0.01), resume=path, callbacks=[stop], **options) == history
    assert digest(again) == digest(whole)


class Line:
    """A model of the user's own, with the methods fit asks for: one number."""

    def __init__(self) -> None:
        self.params = {"w": np.array([0.5]), "c": np.array(1.0)}

    def loss(self, x: Any, t: Any) -> float:
        return float(np.mean((x[:, 0] * self.params["w"] + self.params["c"] - t) ** 2))

    def gradient(self, x: Any, t: Any) -> Any:
        off = 2 * (x[:, 0] * self.params["w"] + self.params["c"] - t) / len(t)
        return {"w": np.array([off @ x[:, 0]]), "c": off.sum()}

    def accuracy(self, x: Any, t: Any) -> float:
        return 0.0


def test_a_model_of_the_users_own_is_resumed_into(path: Path) -> None:
    x, t = data()
    whole, again = Line(), Line()
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.2}
    history = fit(whole, x, t, epochs=4, optimizer=Momentum(), **options)
    fit(Line(), x, t, epochs=2, optimizer=Momentum(), checkpoint=path, **options)
    assert fit(again, x, t, epochs=4, optimizer=Momentum(), resume=path, **options) == history
    assert digest(again) == digest(whole)
    assert digest(load(path, into=Line())) != digest(whole)


def test_an_optimizer_that_a_schedule_has_changed_may_be_given_again(path: Path) -> None:
    x, t = data()
    whole, again, optimizer = net(), net(), Adam(lr=5.0)
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "schedule": cosine(0.1, 4)}
    fit(whole, x, t, epochs=4, optimizer=Adam(lr=7.0), **options)
    fit(net(), x, t, epochs=2, optimizer=optimizer, checkpoint=path, **options)
    fit(again, x, t, epochs=4, optimizer=optimizer, resume=path, **options)
    assert digest(again) == digest(whole)


def test_a_network_that_cannot_be_described_is_refused_before_the_first_step(path: Path) -> None:
    network = net()
    layers: Any = {3: network.layers["Affine1"], "b": network.layers["Affine2"]}
    before = digest(network)
    with pytest.raises(TypeError, match="layers whose names are strings, got 3"):
        fit(Network(layers), *data(), checkpoint=path, batch_size=7)
    assert digest(network) == before
    assert not path.exists()


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("rule", [SGD, Adam])
def test_a_run_that_ended_within_an_epoch_goes_on_within_it(path: Path, rule: Any, replace: bool) -> None:
    x, t = data()
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "replace": replace}
    whole = net()
    history = fit(whole, x, t, iterations=20, optimizer=rule(), **options)
    for done in range(1, 20):
        fit(net(), x, t, iterations=done, optimizer=rule(), checkpoint=path, **options)
        again = net(seed=9)
        assert fit(again, x, t, iterations=20, optimizer=rule(), resume=path, **options) == history
        assert digest(again) == digest(whole)


@pytest.mark.fault("T7")
@pytest.mark.parametrize("interruption", ["Ctrl-C in an epoch", "Ctrl-C after one", "an error", "a stop by a callback"])
def test_t7_after_an_interruption_the_last_checkpoint_is_gone_on_from(path: Path, interruption: str) -> None:
    x, t = data()
    whole = net()
    history = fit(whole, x, t, epochs=EPOCHS, batch_size=7, seed=3, optimizer=Adam())
    stop = {
        "Ctrl-C in an epoch": StopAfterSteps(steps=19, error=KeyboardInterrupt),
        "Ctrl-C after one": StopAfter(epochs=2, error=KeyboardInterrupt),
        "an error": StopAfter(epochs=3, error=ZeroDivisionError),
        "a stop by a callback": StopAfterSteps(steps=18),
    }[interruption]
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "checkpoint": path}
    if stop.error is None:
        fit(net(), x, t, epochs=EPOCHS, optimizer=Adam(), callbacks=[stop], **options)
    else:
        with pytest.raises(stop.error):
            fit(net(), x, t, epochs=EPOCHS, optimizer=Adam(), callbacks=[stop], **options)
    again = net()
    went_on = StopAfter()
    assert fit(again, x, t, epochs=EPOCHS, optimizer=Adam(), callbacks=[went_on], resume=path, **options) == history
    assert digest(again) == digest(whole)


KILLED = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_checkpoints import data, digest, net
from chainrule import Adam, fit

class Slow:
    def on_epoch(self, run):
        print(run.epoch, flush=True)

x, t = data()
fit(net(), x, t, epochs=10**6, batch_size=7, seed=3, optimizer=Adam(), checkpoint=sys.argv[1], callbacks=[Slow()])
"""


@pytest.mark.fault("F1")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_f1_killed_while_it_trains_and_writes_a_run_is_gone_on_with(path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)]
    x, t = data()
    for wait in (0.0, 0.011, 0.023):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            while int(child.stdout.readline()) < 3:
                pass
            time.sleep(wait)
            child.kill()
        reached = len(model_files.unpack(path).arrays["history/steps"])
        assert reached >= 2
        whole, again = net(), net(seed=9)
        history = fit(whole, x, t, epochs=reached + 2, batch_size=7, seed=3, optimizer=Adam())
        resumed = fit(
            again, x, t, epochs=reached + 2, batch_size=7, optimizer=Adam(), resume=path, callbacks=[StopAfter()]
        )
        assert (resumed, digest(again)) == (history, digest(whole))


def test_fewer_steps_than_have_been_made_are_refused_and_nothing_is_changed(path: Path) -> None:
    x, t = data()
    fit(net(), x, t, epochs=3, batch_size=7, seed=3, checkpoint=path)
    other = net(seed=9)
    before = digest(other)
    with pytest.raises(ValueError, match=r"the run has made \d+ steps, but this call asks for 1 in total"):
        fit(other, x, t, iterations=1, batch_size=7, seed=3, resume=path)
    assert digest(other) == before


@pytest.mark.parametrize("done", range(1, 10))
def test_early_stopping_goes_on_as_it_would_have_and_gives_the_same_best_back(path: Path, done: int) -> None:
    x, t = data()
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.3, "learning_rate": 2.0}
    whole, stopping = net(), EarlyStopping(patience=3)
    history = fit(whole, x, t, epochs=30, callbacks=[stopping], **options)
    assert 4 <= len(history.steps) < 30
    fit(net(), x, t, epochs=done, callbacks=[EarlyStopping(patience=3)], checkpoint=path, **options)
    again, then = net(seed=9), EarlyStopping(patience=3)
    assert fit(again, x, t, epochs=30, callbacks=[then], resume=path, **options) == history
    assert digest(again) == digest(whole)
    assert (then.best, then.best_epoch, then.waited) == (stopping.best, stopping.best_epoch, stopping.waited)


def test_a_schedule_weights_and_smoothing_go_on_too(path: Path) -> None:
    x, t = data()
    weights = np.random.default_rng(5).random(N)
    options: dict[str, Any] = {
        "batch_size": 7,
        "seed": 3,
        "validation": 0.2,
        "schedule": cosine(0.5, EPOCHS),
        "sample_weight": weights,
        "label_smoothing": 0.1,
    }
    whole, again = net(), net(seed=9)
    history = fit(whole, x, t, epochs=EPOCHS, **options)
    fit(net(), x, t, epochs=2, checkpoint=path, **options)
    assert fit(again, x, t, epochs=EPOCHS, resume=path, **options) == history
    assert digest(again) == digest(whole)


def test_a_learning_rate_that_a_callback_changed_is_gone_on_with(path: Path) -> None:
    class Halve:
        def on_epoch(self, run: Run) -> None:
            run.optimizer.lr /= 2

    x, t = data()
    whole, again = net(), net()
    fit(whole, x, t, epochs=4, batch_size=7, seed=3, callbacks=[Halve()])
    fit(net(), x, t, epochs=2, batch_size=7, seed=3, callbacks=[Halve()], checkpoint=path)
    fit(again, x, t, epochs=4, batch_size=7, callbacks=[Halve()], resume=path)
    assert digest(again) == digest(whole)


class Changes:
    """Changes what a callback may change, after each epoch or each step."""

    def __init__(self, what: str) -> None:
        self.what = what
        if what == "rate of a step":
            self.on_step, self.on_epoch = self.change, lambda run: None
        else:
            self.on_epoch = self.change

    def change(self, run: Run) -> None:
        if self.what.startswith("rate"):
            run.optimizer.lr *= np.sqrt(0.9)
        elif self.what == "weight decay":
            run.optimizer.weight_decay += 0.01
        else:
            for array in run.net.params.values():
                np.clip(array, -0.6, 0.6, out=array)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("schedule", [None, cosine(0.3, 4)])
@pytest.mark.parametrize("what", ["rate", "rate of a step", "weight decay", "parameters"])
def test_what_a_callback_changes_is_gone_on_with_wherever_the_run_ended(
    path: Path, what: str, schedule: Any, own: bool
) -> None:
    x, t = data(np.float32)
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "schedule": schedule}
    whole = net(np.float32, own=own)
    history = fit(whole, x, t, iterations=25, optimizer=Adam(0.01), callbacks=[Changes(what)], **options)
    for done in (3, 8, 11, 16, 24, 25):
        first, again = net(np.float32, own=own), net(np.float32, own=own, seed=9)
        fit(first, x, t, iterations=done, optimizer=Adam(0.01), callbacks=[Changes(what)], checkpoint=path, **options)
        then = fit(again, x, t, iterations=25, optimizer=Adam(0.01), callbacks=[Changes(what)], resume=path, **options)
        assert then == history
        assert digest(again) == digest(whole)


@pytest.mark.parametrize("done", range(1, 29))
def test_early_stopping_judges_an_epoch_once_that_was_finished_later(path: Path, done: int) -> None:
    x, t = data()
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.3, "learning_rate": 2.0}
    whole, stopping, again, then = net(), EarlyStopping(3), net(seed=9), EarlyStopping(3)
    history = fit(whole, x, t, iterations=28, callbacks=[stopping], **options)
    fit(net(), x, t, iterations=done, callbacks=[EarlyStopping(3)], checkpoint=path, **options)
    resumed = fit(again, x, t, iterations=28, callbacks=[then], resume=path, **options)
    assert resumed == history
    assert digest(again) == digest(whole)
    assert (then.best, then.best_epoch, then.waited) == (stopping.best, stopping.best_epoch, stopping.waited)


class Counts:
    """A callback of the user's own that remembers something, and does not say whether to stop."""

    def __init__(self) -> None:
        self.epochs, self.sums = 0, np.zeros(3)

    def on_epoch(self, run: Run) -> None:
        self.epochs += 1
        self.sums += run.epoch

    def to_keep(self) -> Any:
        return {"epochs": self.epochs}, {"sums": self.sums}

    def bring_back(self, numbers: Any, arrays: Any) -> None:
        self.epochs, self.sums = numbers["epochs"], arrays["sums"]


def test_what_a_callback_of_ones_own_keeps_comes_back(path: Path) -> None:
    fit(net(), *data(), epochs=2, batch_size=7, seed=3, callbacks=[Counts()], checkpoint=path)
    counts = Counts()
    fit(net(), *data(), epochs=4, batch_size=7, callbacks=[counts], resume=path)
    assert (counts.epochs, counts.sums.tolist()) == (4, [10.0, 10.0, 10.0])


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
@pytest.mark.parametrize("given", [True, False])
def test_every_generator_of_numpys_goes_on(path: Path, kind: str, given: bool) -> None:
    def made(seed: int) -> np.random.Generator:
        generator = np.random.Generator(getattr(np.random, kind)(seed))
        generator.integers(10, size=3, dtype=np.int32)  # leaves half a number over
        return generator

    x, t = data()
    whole, again = net(), net()
    used = made(3)
    fit(whole, x, t, epochs=4, batch_size=7, seed=used)
    fit(net(), x, t, epochs=2, batch_size=7, seed=made(3), checkpoint=path)
    then = made(4) if given else None
    fit(again, x, t, epochs=4, batch_size=7, seed=then, resume=path)
    assert digest(again) == digest(whole)
    assert then is None or then.integers(10**9) == used.integers(10**9)


def test_a_network_that_has_lost_a_layer_is_resumed_into(path: Path) -> None:
    def made(seed: int = 0) -> Network:
        layers = {"First": Affine(np.eye(6), np.zeros(6)), **net(seed=seed).layers}
        lost = Network(layers)
        assert "W1" in lost.params
        del lost.layers["First"]
        return lost

    x, t = data()
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.2}
    whole, again = made(), made(9)
    fit(whole, x, t, epochs=4, optimizer=Adam(), callbacks=[EarlyStopping()], **options)
    fit(made(), x, t, epochs=2, optimizer=Adam(), callbacks=[EarlyStopping()], checkpoint=path, **options)
    fit(again, x, t, epochs=4, optimizer=Adam(), callbacks=[EarlyStopping()], resume=path, **options)
    assert digest(again) == digest(whole)


def test_a_network_with_layers_of_ones_own_is_resumed_into(path: Path) -> None:
    x, t = data()
    whole, again = net(own=True), net(own=True, seed=9)
    fit(whole, x, t, epochs=4, batch_size=7, seed=3)
    fit(net(own=True), x, t, epochs=2, batch_size=7, seed=3, checkpoint=path)
    fit(again, x, t, epochs=4, batch_size=7, resume=path)
    assert digest(again) == digest(whole)


# --- the file ---


def test_a_checkpoint_is_a_network_too(path: Path) -> None:
    trained = net()
    fit(trained, *data(), epochs=2, batch_size=7, seed=3, checkpoint=path, optimizer=Adam(), validation=0.2)
    assert digest(load(path)) == digest(trained)
    assert type(load(path)) is TwoLayerNet


@pytest.mark.parametrize(
    ("every", "written"), [(None, [1, 2, 3, 4, 5]), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])]
)
def test_a_checkpoint_is_written_every_so_many_epochs_and_at_the_end(
    path: Path, every: Any, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainrule.training import checkpoints

    epochs = []
    save = checkpoints.Checkpoints.save

    def noting(self: Any, run: Run, generator: Any) -> None:
        epochs.append(run.epoch)
        assert len(run.history.train_loss) == run.epoch
        save(self, run, generator)

    monkeypatch.setattr(checkpoints.Checkpoints, "save", noting)
    x, t = np.tile(data()[0], (10, 1)), np.tile(data()[1], 10)
    fit(net(), x, t, epochs=EPOCHS, batch_size=10, seed=3, checkpoint=path, every=every)
    assert epochs == written


def test_a_long_history_does_not_make_the_header_too_long(path: Path) -> None:
    fit(net(), *data(), iterations=40_000, batch_size=1, seed=3, checkpoint=path, every=10**6)
    assert len(model_files.unpack(path).arrays["history/losses"]) == 40_000


def test_a_run_that_was_at_its_end_makes_no_step(path: Path) -> None:
    trained, again = net(), net(seed=9)
    history = fit(trained, *data(), iterations=10, batch_size=7, seed=3, checkpoint=path)
    assert fit(again, *data(), iterations=10, batch_size=7, resume=path) == history
    assert digest(again) == digest(trained)


@pytest.mark.parametrize("iterations", [10, 18])  # within an epoch, and at the end of one
def test_a_run_that_was_at_its_end_is_written_elsewhere_as_it_is(path: Path, iterations: int) -> None:
    other = path.with_name("other")
    fit(net(), *data(), iterations=iterations, batch_size=7, seed=3, validation=0.2, checkpoint=path)
    fit(net(seed=9), *data(), iterations=iterations, batch_size=7, validation=0.2, resume=path, checkpoint=other)
    assert other.read_bytes() == path.read_bytes()


def test_a_run_that_early_stopping_had_ended_is_written_elsewhere_as_it_is(path: Path) -> None:
    other = path.with_name("other")
    options: dict[str, Any] = {"epochs": 30, "batch_size": 7, "seed": 3, "validation": 0.3, "learning_rate": 2.0}
    history = fit(net(), *data(), callbacks=[EarlyStopping(3)], checkpoint=path, **options)
    assert len(history.steps) < 30
    fit(net(seed=9), *data(), callbacks=[EarlyStopping(3)], resume=path, checkpoint=other, **options)
    assert other.read_bytes() == path.read_bytes()


# --- what does not fit ---


def refused(error: type[BaseException], match: str, path: Path, network: Any = None, **changes: Any) -> None:
    """Resuming raises that error and changes nothing."""
    network = net(seed=9) if network is None else network
    optimizer = changes.pop("optimizer", None) or Adam()
    x, t = changes.pop("data", None) or data()
    before, numbers = digest(network), dict(vars(optimizer))
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.2, "epochs": 4} | changes
    with pytest.raises(error, match=match):
        fit(network, x, t, optimizer=optimizer, resume=path, **options)
    assert digest(network) == before
    assert vars(optimizer) == numbers


@pytest.fixture
def written(path: Path) -> Path:
    fit(net(), *data(), epochs=2, batch_size=7, seed=3, validation=0.2, optimizer=Adam(), checkpoint=path)
    return path


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"batch_size": 8}, "made with batch_size=7, this call has batch_size=8"),
        ({"replace": True}, "made with replace=False, this call has replace=True"),
        ({"optimizer": SGD()}, r"made with optimizer='Adam\(.*\)', this call has optimizer='SGD\(lr=0.01"),
        ({"optimizer": Adam(lr=0.5)}, r"optimizer='Adam\(lr=0.001.*this call has optimizer='Adam\(lr=0.5"),
        ({"optimizer": Adam(beta1=0.5)}, r"beta1=0.9.*beta1=0.5"),
        ({"validation": 0.3}, "made with held_out=10, this call has held_out=15"),
        ({"validation": None}, "made with held_out=10, this call has held_out=0"),
        ({"validation": data()}, "made with held_out=10, this call has held_out=0"),
        ({"test": data()}, r"made with sets={}, this call has sets={'test': \[50, 6\]}"),
        ({"label_smoothing": 0.1}, "made with label_smoothing=0.0, this call has label_smoothing=0.1"),
        ({"sample_weight": np.ones(N)}, "made with sample_weight=False, this call has sample_weight=True"),
        ({"schedule": cosine(0.1, 3)}, "made with schedule=False, this call has schedule=True"),
        ({"data": (data()[0][:40], data()[1][:40])}, r"made with examples=\[50, 6\], this call has examples=\[40, 6\]"),
        ({"callbacks": [StopAfter()]}, "made with callbacks=0, this call has callbacks=1"),
    ],
)
def test_a_run_configured_otherwise_is_refused_with_both(written: Path, changes: Any, match: str) -> None:
    refused(ValueError, match, written, **changes)


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (lambda: TwoLayerNet(6, 4, 4, seed=9), "made with params="),
        (lambda: net(np.float32, seed=9), "made with params=.*float64.*this call has params=.*float32"),
        (lambda: Network(net(seed=9).layers), "made with network={'kind': 'TwoLayerNet'}, this call has network="),
        (lambda: net(own=True, seed=9), "made with layers="),
    ],
)
def test_another_network_is_refused_with_both(written: Path, other: Any, match: str) -> None:
    refused(ValueError, match, written, other())


def test_a_generator_of_another_kind_is_refused_with_both(written: Path) -> None:
    generator = np.random.Generator(np.random.MT19937(0))
    refused(ValueError, "drawn from PCG64, this call's seed is a MT19937", written, seed=generator)


def test_a_saved_network_is_no_run(path: Path) -> None:
    net().save(path)
    refused(DataError, "holds a network, but no training run", path)


def test_a_missing_checkpoint_is_a_missing_file(path: Path) -> None:
    refused(FileNotFoundError, "run.safetensors", path)


def rewritten(path: Path, run: dict[str, Any] | None = None, arrays: dict[str, Any] | None = None) -> Path:
    """Write the checkpoint again with changes; None removes."""
    kept = model_files.unpack(path)
    assert kept.run is not None
    said = {name: value for name, value in (kept.run | (run or {})).items() if value is not None}
    numbers = {name: value for name, value in (kept.arrays | (arrays or {})).items() if value is not None}
    path.write_bytes(b"".join(model_files.pack(load(path), said, numbers)))
    return path


@pytest.mark.parametrize(
    ("run", "arrays", "match"),
    [
        ({"configuration": None}, {}, "its configuration is missing"),
        ({"configuration": 3}, {}, "its configuration is missing"),
        ({"generator": None}, {}, "does not hold the state of a NumPy generator"),
        ({"generator": {"bit_generator": "os.system"}}, {}, "but of 'os.system'"),
        ({"generator": {"bit_generator": "PCG64"}}, {}, "the run in it is invalid"),
        ({"generator": {"bit_generator": "PCG64", "state": {"state": -1, "inc": "x"}}}, {}, "is invalid"),
        ({"iter": "many"}, {}, "is invalid"),
        ({"numbers": None}, {}, "is invalid"),
        ({"numbers": {"lr": 0.1}}, {}, "is invalid"),
        ({"numbers": dict.fromkeys(["lr", "weight_decay", "beta1", "beta2"], -1.0)}, {}, "lr must be > 0, got -1.0"),
        ({"iter": -1}, {}, "is invalid"),
        ({"callbacks": 3}, {}, "is invalid"),
        ({}, {"history/losses": None}, "is invalid"),
        ({}, {"history/losses": np.zeros((2, 2))}, "is not a list of numbers"),
        ({}, {"history/steps": np.array([6.0, 12.0])}, "is not a list of numbers"),
        ({}, {"history/steps": np.array([6, 11])}, "steps do not match its losses"),
        ({}, {"history/steps": np.array([12, 12])}, "steps do not match its losses"),
        ({}, {"history/steps": np.zeros(0, np.int64)}, "steps do not match its losses"),
        ({}, {"history/train_loss": np.zeros(3)}, "lists differ in length"),
        ({}, {"optimizer/W1/0": np.zeros(3)}, "what the optimizer keeps for W1"),
        ({}, {"optimizer/W1/1": None}, "what the optimizer keeps"),
        ({}, {"validation": None}, "does not say which 10 of 50"),
        ({}, {"validation": np.zeros(10, np.int64)}, "does not say which 10 of 50"),
        ({}, {"validation": np.arange(45, 55)}, "does not say which 10 of 50"),
    ],
)
def test_f6_a_run_that_does_not_hold_together_is_refused_and_nothing_changed(
    written: Path, run: Any, arrays: Any, match: str
) -> None:
    refused(DataError, match, rewritten(written, run, arrays))


@pytest.mark.parametrize("place", [-1, 625])
@pytest.mark.parametrize("kind", ["MT19937", "Philox"])
def test_f6_a_generator_that_would_read_beyond_its_buffer_is_refused(path: Path, kind: str, place: int) -> None:
    seed = np.random.Generator(getattr(np.random, kind)(3))
    fit(net(), *data(), epochs=2, batch_size=7, seed=seed, validation=0.2, optimizer=Adam(), checkpoint=path)
    assert model_files.unpack(path).run is not None
    state = model_files.unpack(path).run["generator"]  # type: ignore[index]
    (state["state"] if kind == "MT19937" else state).update({"pos": place, "buffer_pos": place})
    refused(DataError, f"position is {place}, which is not in", rewritten(path, {"generator": state}))


def test_early_stopping_is_not_gone_on_with_by_another_measure(path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.2, "optimizer": Adam()}
    fit(net(), *data(), epochs=2, callbacks=[EarlyStopping()], checkpoint=path, **options)
    other = EarlyStopping(monitor="validation_accuracy")
    refused(ValueError, "watched validation_loss, now it is to watch validation_acc", path, callbacks=[other])


def test_f6_the_best_parameters_of_another_network_are_refused(path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 7, "seed": 3, "validation": 0.2, "optimizer": Adam()}
    fit(net(), *data(), epochs=2, callbacks=[EarlyStopping()], checkpoint=path, **options)
    rewritten(path, arrays={"callbacks/0/W1": np.zeros((6, 4))})
    refused(DataError, "does not have the shapes of the parameters", path, callbacks=[EarlyStopping()])


@pytest.mark.parametrize("error", [RuntimeWarning, KeyboardInterrupt])
def test_t7_an_interruption_of_the_reading_changes_nothing(
    written: Path, error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``python -W error`` or Ctrl-C would, when the parameters are already those of the file."""
    rewritten(written, {"instruction_set": "abacus"})

    def raises(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("warnings.warn", raises)
    generator = np.random.default_rng(7)
    refused(error, "^", written, seed=generator)
    assert generator.random() == np.random.default_rng(7).random()


@pytest.mark.parametrize(("bad", "error"), [(True, TypeError), ("no folder/x", FileNotFoundError), (".", OSError)])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(bad: Any, error: Any) -> None:
    network = net()
    before = digest(network)
    with pytest.raises(error):
        fit(network, *data(), batch_size=7, seed=3, checkpoint=bad)
    assert digest(network) == before


@pytest.mark.fault("D2")
def test_d2_another_instruction_set_is_a_warning_with_both(written: Path) -> None:
    rewritten(written, {"instruction_set": "abacus"})
    here = _kernels.instruction_set()
    with pytest.warns(RuntimeWarning, match=f"computed with 'abacus', and this is {here!r}"):
        fit(net(), *data(), epochs=4, batch_size=7, validation=0.2, optimizer=Adam(), resume=written)


def test_every_without_a_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="say where with checkpoint=path"):
        fit(net(), *data(), every=2)


@pytest.mark.fault("F2")
def test_f2_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.read_bytes()
    trained = net()

    def refuses(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.raises(OSError, match="No space left") as caught:
        fit(trained, *data(), epochs=4, batch_size=7, seed=3, checkpoint=written)
    assert caught.value.errno == 28
    assert written.read_bytes() == before
    twin = net()
    fit(twin, *data(), epochs=1, batch_size=7, seed=3)
    assert digest(trained) == digest(twin)


def test_history_of_a_resumed_run_is_a_history_of_plain_numbers(written: Path) -> None:
    history = fit(net(), *data(), epochs=3, batch_size=7, validation=0.2, optimizer=Adam(), resume=written)
    assert type(history) is History
    assert {type(loss) for loss in history.losses} == {float}
    assert {type(step) for step in history.steps} == {int}
