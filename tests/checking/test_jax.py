"""JAX: both modes held against differences and each other, in float32 and float64, with trees of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

jax: Any = pytest.importorskip("jax")

from chainrule import check_gradients  # noqa: E402
from frameworks.jax_code import RIGHT, WRONG, Wrong, mlp, normal, pushed, unary, with_jvp, x  # noqa: E402
from frameworks.jax_issues import ISSUES  # noqa: E402

jnp = jax.numpy


@pytest.fixture(autouse=True, scope="module")
def _compiled_quickly() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_is_called_right(name: str) -> None:
    for seed in range(2):
        report = check_gradients(*RIGHT[name](), seed=seed)
        assert report.verdict == "right", str(report)


@pytest.mark.parametrize("wrong", WRONG + ISSUES, ids=lambda wrong: wrong.name)
def test_wrong_code_is_called_wrong_and_why(wrong: Wrong) -> None:
    report = check_gradients(*wrong.make())
    assert report.verdict == "wrong", str(report)
    assert (report.cause or "").startswith(wrong.cause), str(report)


def test_there_are_enough_of_them_and_a_third_is_from_public_reports() -> None:
    assert len(WRONG + ISSUES) >= 40
    assert len(RIGHT) >= 20
    assert 3 * len(ISSUES) >= len(WRONG + ISSUES)


def test_both_modes_are_compared_and_held_against_each_other() -> None:
    report = check_gradients(mlp, {"w": normal(3, 2), "b": normal(2)}, x())
    assert [a.name for a in report.arrays] == ["p['b']", "p['w']", "x", "p['b'] (jvp)", "p['w'] (jvp)", "x (jvp)"]
    held = {c.name: c.held for c in report.contracts}
    assert held["forward and reverse mode agree"]
    assert held["forward mode is linear in the tangent"]
    assert held["the same under jax.jit"]


def test_a_mode_that_there_is_not_is_said() -> None:
    report = check_gradients(unary(jnp.sin, lambda x, g: jnp.cos(x) * g), x())
    assert [a.name for a in report.arrays] == ["x"]
    (missing,) = [c for c in report.contracts if c.held is None]
    assert "no forward mode" in (missing.detail or "")
    report = check_gradients(*RIGHT["forward only"]())
    assert report.ok
    assert "forward mode only" in " ".join(report.notes)


def test_modes_that_differ_are_told_apart() -> None:
    """A rule for reverse mode that is half, and one for forward mode that is whole."""
    half = unary(lambda x: x**2, lambda x, g: x * g)

    def rule(primals: Any, tangents: Any) -> Any:
        return primals[0] ** 2, 2 * primals[0] * tangents[0]

    both = with_jvp(half, rule)
    assert check_gradients(both, x()).ok
    assert check_gradients(half, x()).cause == "factor 1/2"


def test_float32_is_proved_in_float64_and_the_switch_is_put_back() -> None:
    report = check_gradients(mlp, {"w": normal(3, 2), "b": normal(2)}, x())
    assert report.settings["dtype"] == "float32"
    assert report.ok
    assert max(a.max_relative for a in report.arrays) < 1e-6
    assert not jax.config.jax_enable_x64
    assert jnp.ones(2).dtype == jnp.float32


def test_float64_stays_float64() -> None:
    with jax.enable_x64(True):
        report = check_gradients(jnp.sin, jnp.asarray(np.random.default_rng(0).standard_normal(4)))
    assert report.ok
    assert report.settings["dtype"] == "float64"


def test_what_was_rounded_to_float32_is_said() -> None:
    report = check_gradients(jax.jit(jnp.sin), np.random.default_rng(0).standard_normal(4))
    assert "JAX computes in float32 here" in " ".join(report.notes)


def test_code_that_insists_on_float32_is_not_proved_beyond_it() -> None:
    report = check_gradients(lambda x: jnp.sin(x).astype(jnp.float32), x())
    assert report.verdict != "wrong"
    assert "no copy in float64" in " ".join(report.notes)


def test_the_callers_arrays_are_not_written() -> None:
    given = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    before = given.copy()
    check_gradients(jax.jit(jnp.sin), given)
    assert np.array_equal(given, before)


def test_arguments_held_fixed_and_asked_for() -> None:
    report = check_gradients(lambda x, y: x * y, x(), normal(4, 3, seed=1), wrt="y")
    assert [a.name for a in report.arrays] == ["y", "y (jvp)"]
    assert report.held_fixed == ("x",)


def test_complex_numbers_and_halves_are_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        check_gradients(jnp.sin, jnp.ones(3, jnp.complex64))
    with pytest.raises(TypeError, match="bfloat16"):
        check_gradients(jnp.sin, jnp.ones(3, jnp.bfloat16))
    with pytest.raises(TypeError, match="no array of floats"):
        check_gradients(jnp.argmax, x())


def test_a_tangent_is_used_once() -> None:
    report = check_gradients(pushed(lambda x: x**2, lambda x, t: 2 * x * t + 1), x())
    assert any(c.name == "forward mode is linear in the tangent" and c.held is False for c in report.contracts)


def test_what_is_not_finite_is_called_that_and_nothing_else() -> None:
    """It was called not linear, or kept outside the residuals: nan is equal to nothing."""
    report = check_gradients(lambda x: jnp.sqrt(jnp.sum(x**2)) ** 2, jnp.zeros(3))
    assert [c.cause for c in report.contracts if c.held is False] == ["not finite"]
    assert "that of x[0] is nan" in str(report)
