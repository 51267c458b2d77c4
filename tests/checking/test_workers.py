"""Workers that die, threads, maps in any order, and what is left of it all."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from chainrule import Affine, check_jacobian, check_problem
from chainrule.checking import workers as module

X = np.arange(1.0, 13.0)
HERE = os.getpid()


def square(x: Any) -> Any:
    return x**2


def square_jac(x: Any) -> Any:
    return np.diag(2 * x)


def summed(x: Any, by: float) -> Any:
    return by * (x**3).sum()


def summed_grad(x: Any, by: float) -> Any:
    return by * 3 * x**2


def summed_hess(x: Any, by: float) -> Any:
    return by * np.diag(6 * x)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked")
def test_a_worker_that_dies_is_told() -> None:
    def deadly(x: Any) -> Any:
        if os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return x**2

    with pytest.raises(RuntimeError, match="a worker process died, with exit code -9"):
        check_jacobian(deadly, square_jac, X, workers=2)
    assert not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked")
def test_what_ends_a_program_only_in_a_worker_is_done_once_more_here() -> None:
    def leaving(x: Any) -> Any:
        if os.getpid() != HERE:
            raise SystemExit
        return x**2

    assert check_jacobian(leaving, square_jac, X, workers=2).ok


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked")
def test_ctrl_c_leaves_no_process_and_no_array_behind() -> None:
    factor = np.array([2.0])

    def slow(x: Any) -> Any:
        if os.getpid() != HERE:
            time.sleep(60)
        return factor * x

    timer = threading.Timer(0.5, lambda: os.kill(HERE, signal.SIGINT))
    timer.start()
    x = X.copy()
    with pytest.raises(KeyboardInterrupt):
        check_jacobian(slow, lambda x: 2 * np.eye(len(x)), x, workers=2)
    timer.join()
    assert not multiprocessing.active_children()
    assert np.array_equal(x, X)
    assert factor[0] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked")
def test_ctrl_c_at_a_fork_is_heard() -> None:
    """Python prints an exception of what it calls at a fork, and goes on."""
    code = """
import os, signal
import numpy as np
from chainrule import check_jacobian
signal.signal(signal.SIGINT, signal.default_int_handler)
HERE, once = os.getpid(), [signal.SIGINT]
os.register_at_fork(before=lambda: once and (os.kill(HERE, once.pop()), sum(range(1000))))
def slow(x):
    while os.getpid() != HERE:
        signal.pause()
    return 2 * x
check_jacobian(slow, lambda x: 2 * np.eye(len(x)), np.ones(8), workers=2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "")
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked")
def test_the_threads_of_the_kernels_are_started_anew_in_a_worker() -> None:
    rng = np.random.default_rng(0)
    wide, x = Affine(rng.standard_normal((600, 500)), np.zeros(500)), rng.standard_normal((300, 600))
    wide.forward(x)  # on all threads

    def f(p: Any) -> Any:
        return p * wide.forward(x).sum(axis=0)[: len(p)]

    factors = wide.forward(x).sum(axis=0)[: len(X)]
    assert check_jacobian(f, np.diag(factors), X, workers=2).ok


def test_threads_take_turns() -> None:
    def slow(x: Any) -> Any:
        before = x.copy()
        time.sleep(0.001)
        return x**2 + (x - before)

    with ThreadPoolExecutor(4) as pool:
        there = check_jacobian(slow, square_jac, X, workers=pool.map)
    assert there.to_dict() == check_jacobian(slow, square_jac, X).to_dict()


def test_a_map_may_give_results_in_any_order() -> None:
    def shuffled(function: Any, things: Any) -> Any:
        results = [function(thing) for thing in things]
        random.Random(3).shuffle(results)
        return results

    there = check_jacobian(square, square_jac, X, workers=shuffled)
    assert there.to_dict() == check_jacobian(square, square_jac, X).to_dict()


def test_a_map_must_give_all_results() -> None:
    with pytest.raises(ValueError, match=r"workers was given \d+ things to map, and gives 1"):
        check_jacobian(square, square_jac, X, workers=lambda function, things: [function(things[0])])


def test_what_cannot_be_pickled_is_told() -> None:
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        pytest.raises(TypeError, match=r"cannot be pickled .* define it in a module"),
    ):
        check_jacobian(lambda x: x**2, square_jac, X, workers=pool.map)


def test_a_whole_problem_can_be_sent() -> None:
    constraint = {"type": "ineq", "fun": square, "jac": square_jac}
    with multiprocessing.Pool(2) as pool:
        report = check_problem(
            summed, X, (2.0,), jac=summed_grad, hess=summed_hess, constraints=constraint, workers=pool.map
        )
    assert report.ok
    assert list(report) == ["jac", "hess", "constraints[0].jac"]


def test_a_number_of_processes_may_be_one_of_numpy() -> None:
    assert module.workers_of(np.int64(2)) is not None
    assert module.workers_of(np.int64(1)) is None


def test_an_object_that_has_a_map_is_told_of_it() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="its method map"):
        check_jacobian(square, square_jac, X, workers=pool)


def test_evaluations_are_counted_once() -> None:
    counted: list[int] = []
    for many in (None, map):
        made = 0

        def count(n: int) -> None:
            nonlocal made
            made += n

        evaluator = module.Evaluator(_Subject(), _Nothing(), False, count)  # type: ignore[arg-type]
        points = [[("x", np.array([0]), np.array([float(i)]))] for i in range(5)]
        if many is None:
            for _ in points:
                evaluator.vector()
        else:
            evaluate = module.Workers(many).of(evaluator)
            assert evaluate is not None
            evaluate(points)
        counted.append(made)
    assert counted == [5, 5]


class _Nothing:
    def rewind(self) -> None:
        pass


class _Subject:
    def __init__(self) -> None:
        self.arrays = {"x": np.zeros(1)}

    def outputs(self) -> list[Any]:
        return [self.arrays["x"] * 2]
