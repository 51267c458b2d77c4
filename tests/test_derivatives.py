"""check_jacobian and check_hessian on the right and wrong derivatives of tests/derivatives."""

from __future__ import annotations

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_hessian, check_jacobian
from derivatives import CASES, bundle
from derivatives.broken import BROKEN, broken
from derivatives.case import Case, Subject, matrices
from derivatives.cost import broyden, dense
from derivatives.expected import expect_enough, expect_told
from derivatives.hessian import rosen, rosen_hess
from derivatives.more_garbow_hillstrom import PROBLEMS
from lengths import short_and_long

#: Plain differences are too coarse for what lies beside a million, in float32, at the end of an iteration, in a line.
TOO_HARD = ("offset", "single", "iterated", "narrow")
#: Right ones are found right, but for what f does not show of these: a slope of 1e-9 beside a million, tails of 1e-14.
TOO_SMALL = ("brown_badly_scaled", "osborne_2")


def numeric(subject: Subject, which: int) -> Any:
    """Give the derivatives by one argument, by differences that share nothing with the check."""
    retract, local = subject.options.get("retract"), subject.options.get("local")
    args = copy.deepcopy(subject.args)
    ways: Any = retract if isinstance(retract, tuple) else (retract,) + (None,) * (len(args) - 1)
    size = matrices(subject, subject.jac)[which].shape[1]
    here = subject.f(*copy.deepcopy(args))
    slopes = []
    for j in range(size):
        step = 1e-3 if ways[which] else 1e-3 * (abs(np.ravel(args[which])[j]) or 1e-3)

        def moved(distance: float, j: int = j) -> Any:
            d = np.zeros(size)
            d[j] = distance
            x = ways[which](args[which], d) if ways[which] else args[which] + d.reshape(np.shape(args[which]))
            y = subject.f(*args[:which], x, *args[which + 1 :])
            return np.ravel(local(here, y) if local else y)

        wide, narrow = ((moved(h) - moved(-h)) / (2 * h) for h in (step, step / 2))
        slopes.append(narrow + (narrow - wide) / 3)
    return np.stack(slopes, axis=1)


def blocks(case: Case) -> int:
    return 1 if case.kind == "hessian" else len(matrices(case.subject, case.subject.jac))


@pytest.mark.parametrize("field", CASES)
def test_right_ones_are_right_by_differences_of_their_own(field: str) -> None:
    for case in CASES[field]:
        if case.wrong is None and case.name not in TOO_HARD:
            right = matrices(case.subject, case.jac)
            for which in range(blocks(case)):
                off = np.abs(right[which] - numeric(case.subject, which))
                size = np.abs(right[which]).max(axis=1, keepdims=True)
                assert (off <= 1e-5 * size + 1e-9 * np.abs(right[which]).max()).all(), case.name


@pytest.mark.parametrize("field", CASES)
def test_there_are_enough_of_them_and_a_third_is_from_public_reports(field: str) -> None:
    expect_enough(CASES[field])


@pytest.mark.parametrize("field", CASES)
@pytest.mark.parametrize("start", range(3))
def test_wrong_ones_are_killed_and_right_ones_pass(field: str, start: int) -> None:
    expect_told(CASES[field][start::3])


# --- functions of Moré, Garbow and Hillstrom ---


def halves(name: str) -> tuple[Any, Any]:
    """Give the function and its derivatives."""
    problem = PROBLEMS[name][0]
    return lambda x: problem(x)[0], lambda x: problem(x)[1]


def start_of(name: str, seed: int) -> Any:
    x = PROBLEMS[name][1]
    return x * (1 + 0.1 * np.random.default_rng(seed).standard_normal(len(x))) if seed else x


def expect_wrong_there(report: GradientReport, wrong: Any, right: Any, argument: int = 0) -> None:
    """Expect that the worst entry is one of those that differ."""
    assert report.verdict == "wrong", report
    found = next(a for a in report.arrays if a.verdict == "wrong")
    off = np.abs(wrong - right) > 1e-9 * np.abs(right)
    assert off[np.unravel_index(np.ravel_multi_index(found.where, found.shape), off.shape)], report


@pytest.mark.parametrize("seed", short_and_long(range(3), 1))
def test_jacobians_of_test_functions_are_right(seed: int) -> None:
    assert len(PROBLEMS) >= 30
    for name in PROBLEMS:
        report = check_jacobian(*halves(name), start_of(name, seed), seed=seed)
        assert report.verdict == ("unproven" if name in TOO_SMALL else "right"), f"{name}\n{report}"


@pytest.mark.parametrize("seed", short_and_long(range(-5, 3), -4))
def test_broken_jacobians_of_test_functions_are_wrong_in_the_right_place(seed: int) -> None:
    """From 0 on each function in all of the ways; before, in one."""
    for k, name in enumerate(PROBLEMS):
        x, (f, jac) = start_of(name, max(seed, 0)), halves(name)
        for how in BROKEN if seed >= 0 else [BROKEN[(k + seed) % 5]]:
            wrong = broken(jac, x, how, max(seed, 0))
            assert wrong is not None, (name, how)
            expect_wrong_there(check_jacobian(f, wrong, x), wrong(x), jac(x))


@pytest.mark.parametrize("pairs", [1, 4])
@pytest.mark.parametrize("seed", short_and_long(range(3), 1))
def test_hessians_of_rosenbrock(pairs: int, seed: int) -> None:
    x = np.tile([-1.2, 1.0], pairs) + 0.1 * np.random.default_rng(seed).standard_normal(2 * pairs)

    def gradient(x: Any) -> Any:
        return np.concatenate([rosen(pair) for pair in x.reshape(-1, 2)])

    def hessian(x: Any) -> Any:
        found = np.zeros((2 * pairs, 2 * pairs))
        for k, pair in enumerate(x.reshape(-1, 2)):
            found[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = rosen_hess(pair)
        return found

    assert check_hessian(gradient, hessian, x, seed=seed).ok
    for how in BROKEN:
        wrong = broken(hessian, x, how, seed)
        assert wrong is not None
        expect_wrong_there(check_hessian(gradient, wrong, x, seed=seed), wrong(x), hessian(x))


# --- bundle adjustment ---


@pytest.mark.parametrize("seed", short_and_long(range(3), 1))
def test_a_reprojection_by_pose_and_point(seed: int) -> None:
    pose, _, point = bundle.poses(seed)
    options: dict[str, Any] = {"retract": (bundle.pose_plus, None), "seed": seed}
    assert check_jacobian(bundle.reprojection, bundle.reprojection_jac, pose, point, **options).ok
    for which in range(2):
        for how in BROKEN:
            wrong = one_block_broken(bundle.reprojection_jac, (pose, point), which, how, seed)
            report = check_jacobian(bundle.reprojection, wrong, pose, point, **options)
            expect_wrong_there(report, wrong(pose, point)[which], bundle.reprojection_jac(pose, point)[which])
            assert [a.verdict == "wrong" for a in report.arrays] == [which == 0, which == 1]


@pytest.mark.parametrize("seed", short_and_long(range(3), 1))
@pytest.mark.parametrize("to_a_measurement", [False, True])
def test_a_relative_pose_by_two_poses(seed: int, to_a_measurement: bool) -> None:
    a, b, _ = bundle.poses(seed)
    options: dict[str, Any] = {"retract": (bundle.pose_plus, bundle.pose_plus), "seed": seed}
    f, jac = bundle.relative, bundle.relative_jac
    if to_a_measurement:
        f, jac = bundle.pose_error, bundle.pose_error_jac
    else:
        options["local"] = bundle.pose_local
    assert check_jacobian(f, jac, a, b, **options).ok
    for how in BROKEN:
        wrong = one_block_broken(jac, (a, b), seed % 2, how, seed)
        report = check_jacobian(f, wrong, a, b, **options)
        expect_wrong_there(report, wrong(a, b)[seed % 2], jac(a, b)[seed % 2])


def one_block_broken(jac: Any, args: tuple[Any, Any], which: int, how: str, seed: int) -> Any:
    """Give derivatives with a mistake in one of two blocks: by its first columns, of as many numbers as there are."""
    rng = np.random.default_rng(seed)
    right = jac(*args)[which]
    row, column = (int(k) for k in rng.choice(np.argwhere(np.abs(right) > 1e-3 * np.abs(right).max())))

    def wrong(*args: Any) -> Any:
        found = [np.array(block) for block in jac(*args)]
        block = found[which]
        if how == "sign":
            block[row, column] *= -1
        elif how == "chain rule":
            block[:, column] *= 500
        elif how == "swapped":
            block[:, [column, column - 1]] = block[:, [column - 1, column]]
        elif how == "dropped term":
            block[row, column] = 0
        else:
            block[row] = np.roll(block[row], 1)
        return tuple(found)

    return wrong


# --- cost ---


@pytest.mark.parametrize("n", [100, 200, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_dense_matrix_takes_four_evaluations_and_a_half_a_column(n: int) -> None:
    f, jac, x = dense(n)
    assert check_jacobian(f, jac, x).ok
    assert f.calls <= 4.5 * n


def test_three_diagonals_of_ten_thousand_take_sixty_evaluations() -> None:
    f, jac, x = broyden(10_000)
    assert check_jacobian(f, jac, x).ok
    assert f.calls <= 60


# --- the script ---


def test_the_script_asks_all_checkers_and_prints_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    script: Any = importlib.import_module("jacobians")
    few = {
        field: tuple(c for c in found if c.subject.name in ("gauss", "between", "sums", "powell", "extended"))
        for field, found in CASES.items()
    }
    monkeypatch.setattr(script, "CASES", few)
    monkeypatch.setattr(script, "TARGET", tmp_path)
    monkeypatch.setattr(script, "cost", lambda: [{"matrix": "none"}])
    script.main()
    written = json.loads((tmp_path / "jacobians.json").read_text())
    for field, found in few.items():
        wrong = sum(case.wrong is not None for case in found)
        rows = written[field]
        assert [row["checker"].split()[0] for row in rows] == ["chainrule", "check_grad", "check_derivative", "chkder"]
        assert {row[f"killed of {wrong}"] for row in rows} <= {str(n) for n in range(wrong - 1, wrong + 1)}
        assert rows[0][f"killed of {wrong}"] == str(wrong)
    assert "| chkder" in capsys.readouterr().out
