"""Fixtures for pytest, such as ``check_gradients``, which fails a test whose gradient is wrong.

The entry point ``pytest11`` registers them, so every pytest run in an environment with chainrule loads this file. It is
a package beside chainrule, not in it, and imports neither chainrule nor NumPy before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from chainrule import GradientReport


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--gradient-seed`` to pytest."""
    group = parser.getgroup("chainrule", "gradient checks (chainrule)")
    group.addoption(
        "--gradient-seed", type=_seed, default=0, metavar="N", help="the seed of check_gradients (default %(default)s)"
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Name the seed, which is needed to reproduce a failure."""
    return f"chainrule: --gradient-seed={config.getoption('gradient_seed')}"


def _fixture(name: str, what: str) -> Any:
    """Give a fixture that calls ``chainrule.testing.assert_<name>`` with the seed from the command line."""

    def fixture(request: pytest.FixtureRequest) -> Callable[..., GradientReport]:
        from chainrule import testing

        asserts = getattr(testing, f"assert_{name}")
        default = request.config.getoption("gradient_seed")

        def check(*args: Any, **options: Any) -> GradientReport:
            __tracebackhide__ = True  # pytest shows the line of the test, not this one
            options.setdefault("seed", default)
            report: GradientReport = asserts(*args, **options)
            return report

        return check

    fixture.__doc__ = f"""Check {what} as ``chainrule.check_{name}`` does, and fail unless all of it is right.

    It takes the same arguments, and ``allow_unproven=True`` to accept what could not be compared. It returns the
    report, or fails with the whole report as the assertion's text. The seed is that of ``--gradient-seed`` unless one
    is given.
    """
    return pytest.fixture(name=f"check_{name}")(fixture)


check_gradients = _fixture("gradients", "gradients")
check_jacobian = _fixture("jacobian", "a Jacobian")
check_hessian = _fixture("hessian", "a Hessian")
check_adjoint = _fixture("adjoint", "an operator and its adjoint")


def _seed(text: str) -> int:
    from argparse import ArgumentTypeError

    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"the seed must be a whole number of at least 0, got {text!r}")
    return int(text)
