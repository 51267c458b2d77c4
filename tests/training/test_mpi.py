"""Several processes train one network: the same bits for any number of them, and nobody waits for a rank that is gone.

`mpi_runs.py` has what the processes run.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import MultiLayerNet, TwoLayerNet, check_gradients, fit, load, load_mnist
from training import mpi_runs
from training.mpi_runs import CASES, data, digest, train

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="there is no MPI beside this Python")

#: So that Open MPI runs in a container, and on fewer cores than processes.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMP_NUM_THREADS": "1",
}


def begin(processes: int, *words: str, **variables: str) -> subprocess.Popen[str]:
    assert MPIEXEC is not None
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a child inherits it if it is ignored, as behind nohup
    try:
        return subprocess.Popen(
            [MPIEXEC, "-n", str(processes), sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT, **variables},
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, handler)


def outcomes(processes: int, *words: str, **variables: str) -> list[Any]:
    """Run a function of `mpi_runs`, and give what it returns on each rank."""
    running = begin(processes, str(mpi_runs.__file__), *words, **variables)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    said = [json.loads(line) for line in out.splitlines()]
    found = {line["rank"]: line["found"] for line in said if "rank" in line}
    assert sorted(found) == list(range(processes)), err
    return [found[rank] for rank in range(processes)]


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    """The digest of every case, trained by this process without MPI."""
    return {name: digest(*train(name)) for name in CASES}


# --- bits ---


@pytest.mark.parametrize(
    ("processes", "threads", "data"),
    [(1, 2, "bits"), (2, 2, "bits"), (3, 1, "bits"), (4, 1, "bits"), (2, 1, "local"), (4, 2, "local")],
)
def test_the_bits_do_not_depend_on_the_number_of_processes(
    processes: int, threads: int, data: str, alone: dict[str, str]
) -> None:
    for found in outcomes(processes, data, CHAINRULE_NUM_THREADS=str(threads)):
        assert {name: found[name] == alone[name] for name in alone} == dict.fromkeys(alone, True)


def test_without_a_seed_all_draw_what_rank_0_draws() -> None:
    first, second, third = outcomes(3, "unseeded")
    assert first == second == third


# --- what differs is refused ---


@pytest.mark.fault("R1")
def test_what_differs_between_the_ranks_is_named_on_all() -> None:
    for said in outcomes(3, "unlike"):
        assert said["x"] == "ValueError: x must be the same on all ranks, but rank 2 has another than rank 0"
        assert "ValueError: t must be the same on all ranks" in said["t"]
        assert "the network's W1, which is drawn at random unless the network has a seed" in said["network"]
        assert "the arguments of fit must be the same" in said["arguments"]
        assert "the arguments of fit must be the same" in said["epochs"]
        assert "seed must be the same" in said["seed"]
        assert "the test set must be the same" in said["test"]
        assert "batch_size must lie in" in said["wrong on one"]
        assert said["wrong on all"].startswith("ValueError: batch_size must lie in")
        assert said["too few shards"] == "ValueError: there are 3 processes, but shards=1; give shards=3 or more"
        assert said["right"] == ""


@pytest.mark.fault("R2")
def test_an_error_on_one_rank_alone_is_raised_on_all_and_names_it() -> None:
    said = [found["wrong on one"] for found in outcomes(3, "unlike")]
    assert said[0] == said[1] == f"RuntimeError: rank 2 of 3 ended with {said[2]}"


@pytest.mark.fault("R2")
def test_an_exception_in_a_step_undoes_it_on_all_ranks() -> None:
    first, second, third = outcomes(3, "fails")
    error = "ArithmeticError: as if the memory were broken"
    assert second == [error, True]
    assert first == third == [f"RuntimeError: rank 1 of 3 ended with {error}", True]


@pytest.mark.fault("R3")
def test_a_rank_that_leaves_without_a_word_ends_all() -> None:
    running = begin(3, str(mpi_runs.__file__), "leaves")
    _, err = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "rank 1 of 3 ended with TypeError: 'NoneType' object is not callable" in err


# --- callbacks ---


def test_the_decisions_of_rank_0_reach_all() -> None:
    first, *others = outcomes(3, "decides")
    assert first[:2] == [8, 2]
    assert others == [[0, *first[1:]]] * 2


@pytest.mark.fault("R6")
def test_a_callback_that_replaces_a_layer_is_refused_on_all() -> None:
    for said in outcomes(2, "replaces"):
        assert "a callback has replaced a layer or an array, which the other ranks still have" in said


# --- ends ---


@pytest.mark.fault("R5")
def test_ctrl_c_on_one_rank_ends_all_after_the_same_step(tmp_path: Path) -> None:
    first, second = outcomes(2, "interrupted", str(tmp_path / "ready"))
    assert first[0] == "KeyboardInterrupt"
    assert first == second


EPOCHS = 300


@pytest.fixture(scope="module")
def uninterrupted_run() -> str:
    net = MultiLayerNet(12, [30, 30], 3, seed=0)
    fit(net, *data(), epochs=EPOCHS, batch_size=24, seed=4, optimizer="adam", shards=8)
    return digest(net)


def killed(path: Path, rng: random.Random) -> None:
    """Kill one of four ranks at any moment of a run; all end soon, and what is on disk is whole."""
    running = begin(4, str(mpi_runs.__file__), "long", str(path), str(EPOCHS))
    assert running.stdout is not None
    ranks = json.loads(running.stdout.readline())["ranks"]
    time.sleep(rng.random())
    os.kill(rng.choice(ranks), signal.SIGKILL)
    begun = time.monotonic()
    running.communicate(timeout=30)
    assert time.monotonic() - begun < 10
    assert running.returncode != 0
    if path.exists():
        load(path)


@pytest.mark.fault("R4")
@pytest.mark.parametrize("processes", [1, 3])
def test_a_killed_rank_ends_all_and_another_number_of_ranks_goes_on_to_the_same_bits(
    processes: int, tmp_path: Path, uninterrupted_run: str
) -> None:
    path = tmp_path / "run.safetensors"
    killed(path, random.Random(processes))
    assert set(outcomes(processes, "long", str(path), str(EPOCHS))) == {uninterrupted_run}


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path, uninterrupted_run: str) -> None:
    rng = random.Random(7)
    for i in range(20):
        path = tmp_path / f"run{i}.safetensors"
        killed(path, rng)
        assert set(outcomes(rng.randint(1, 4), "long", str(path), str(EPOCHS))) == {uninterrupted_run}


# --- the command ---


def command(processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    running = begin(processes, "-m", "chainrule", "train", "--mpi", *words)
    out, err = running.communicate(timeout=120)
    return subprocess.CompletedProcess(running.args, running.returncode, out, err)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    x, t = data()
    path = tmp_path / "points.csv"
    rows = [",".join(map(str, [*row, "abc"[kind]])) for row, kind in zip(x.round(3), t, strict=True)]
    path.write_text("\n".join([",".join([*map("x{}".format, range(12)), "kind"]), *rows]))
    return path


def test_the_command_trains_in_all_processes_and_speaks_once(table: Path, tmp_path: Path) -> None:
    made = []
    for processes, name in [(1, "one"), (3, "three")]:
        path = tmp_path / name
        done = command(processes, str(table), "--target", "kind", "--epochs", "3", "--save", str(path))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch   3") == 1
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_the_command_says_once_what_is_wrong(tmp_path: Path) -> None:
    done = command(3, str(tmp_path / "none.csv"), "--target", "kind")
    assert done.returncode == 2
    assert done.stderr.count("chainrule: error") == 1
    assert "none.csv" in done.stderr


def test_without_mpi4py_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from chainrule.cli import main

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert main(["train", "--mpi"]) == 2
    assert "--mpi needs mpi4py and an MPI: pip install 'chainrule[mpi]'" in capsys.readouterr().err


# --- a check ---


def test_a_pool_of_mpi_checks_to_the_same_report(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "many-processes.md"
    script = page.read_text(encoding="utf-8").partition("# check.py\n")[2].partition("```")[0]
    path = tmp_path / "check.py"
    path.write_text(script.replace("784, 500, 10", "784, 20, 10"))
    running = begin(3, "-m", "mpi4py.futures", str(path))
    out, err = running.communicate(timeout=60)
    (x, t), _ = load_mnist()
    assert out.strip() == str(check_gradients(TwoLayerNet(784, 20, 10, seed=0), x[:3], t[:3])), err


# --- without MPI ---


def test_local_needs_processes() -> None:
    with pytest.raises(ValueError, match="say which processes with comm="):
        fit(MultiLayerNet(12, [5], 3), *data(), local=True)


def test_a_communicator_is_one_of_mpi4py() -> None:
    with pytest.raises(TypeError, match=r"such as MPI\.COMM_WORLD, got 4"):
        fit(MultiLayerNet(12, [5], 3), *data(), comm=4)


def test_numbers_of_the_last_rank_that_are_not_finite_end_all() -> None:
    x, t = data()
    net = MultiLayerNet(12, [5], 3, seed=0)
    with pytest.raises(FloatingPointError, match="loss is"), np.errstate(all="ignore"):
        fit(net, x * 1e200, t, shards=4, batch_size=24, optimizer="sgd", learning_rate=1e200)
