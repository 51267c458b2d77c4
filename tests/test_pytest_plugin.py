"""The fixture ``check_gradients`` in somebody's own pytest run."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

LAYER = """
import numpy as np


class Scale:
    def __init__(self, w):
        self.w = w

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dout):
        self.dw = (dout * self.x).sum(axis=0) * {factor}
        return dout * self.w


def test_scale(check_gradients):
    rng = np.random.default_rng(0)
    report = check_gradients(Scale(rng.standard_normal(3)), rng.standard_normal((5, 3)){options})
    assert report.verdict == {verdict!r}
    print("seed", report.settings["seed"])
"""


def run(pytester: pytest.Pytester, *options: str, **parts: str) -> pytest.RunResult:
    """Run the test in a Python of its own, in which nothing but what it asks for is loaded."""
    pytester.makepyfile(LAYER.format(**{"factor": "1", "options": "", "verdict": "right", **parts}))
    return pytester.runpytest_subprocess(
        "-p", "pytest_chainrule", "-W", "error", "-p", "no:cacheprovider", "-s", *options
    )


def test_a_right_layer_passes_and_the_report_is_given(pytester: pytest.Pytester) -> None:
    run(pytester).assert_outcomes(passed=1)


def test_a_wrong_layer_fails_with_the_whole_report_and_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, factor="2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*array * shape * compared *", "*w * 3 of 3 *DIFFERS", "*cause: factor 2*", "*GRADIENTS DIFFER*"]
    )
    result.stdout.fnmatch_lines([">*check_gradients(Scale(*"])
    assert "pytest_chainrule" not in result.stdout.str().partition("FAILURES")[2].partition("short test summary")[0]


@pytest.mark.parametrize(("options", "outcome"), [("", {"failed": 1}), (", allow_unproven=True", {"passed": 1})])
def test_what_is_unproven_fails_unless_allowed(
    pytester: pytest.Pytester, options: str, outcome: dict[str, int]
) -> None:
    pytester.makepyfile(
        "import numpy as np\n"
        "def test_constant(check_gradients):\n"
        f"    check_gradients((lambda x: 0 * x.sum(), lambda x: 0 * x), np.ones(3){options})\n"
    )
    pytester.runpytest_subprocess("-p", "pytest_chainrule").assert_outcomes(**outcome)


def test_options_of_the_check_are_passed_on(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import numpy as np\n"
        "class View:\n"
        "    def forward(self, x): return x.reshape(-1)\n"
        "    def backward(self, dout): return dout.reshape(2, 3).copy()\n"
        "def test_loose(check_gradients): assert check_gradients(View(), np.ones((2, 3))).hazards\n"
        "def test_strict(check_gradients): check_gradients(View(), np.ones((2, 3)), strict=True)\n"
    )
    pytester.runpytest_subprocess("-p", "pytest_chainrule").assert_outcomes(passed=1, failed=1)


def test_the_header_names_the_seed_which_the_check_then_has(pytester: pytest.Pytester) -> None:
    result = run(pytester)
    result.stdout.fnmatch_lines(["chainrule: --gradient-seed=0", "*seed 0*"])
    result = run(pytester, "--gradient-seed", "7")
    result.stdout.fnmatch_lines(["chainrule: --gradient-seed=7", "*seed 7*"])
    run(pytester, "--gradient-seed", "7", options=", seed=3").stdout.fnmatch_lines(["*seed 3*"])


@pytest.mark.parametrize("seed", ["-1", "x", "1.5"])
def test_a_seed_that_is_none_is_refused(pytester: pytest.Pytester, seed: str) -> None:
    result = run(pytester, f"--gradient-seed={seed}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--gradient-seed*the seed must be a whole number of at least 0*"])


def test_loading_it_imports_neither_numpy_nor_chainrule() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import pytest_chainrule;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["pytest_chainrule"]


def test_a_run_that_asks_for_no_check_imports_neither(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        "import sys\ndef test_nothing(): assert not {'numpy', 'chainrule', 'chainrule.checking'} & set(sys.modules)\n"
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others may import NumPy
    pytester.runpytest_subprocess("-p", "pytest_chainrule").assert_outcomes(passed=1)


def test_it_is_registered_under_the_name_of_its_module() -> None:
    """Then ``-p pytest_chainrule`` beside the entry point loads it once, and ``-p no:pytest_chainrule`` not at all."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"pytest_chainrule": "pytest_chainrule"}
    assert project["tool"]["maturin"]["python-packages"] == ["chainrule", "chainrule_command", "pytest_chainrule"]
    for point in importlib.metadata.entry_points(group="pytest11", name="pytest_chainrule"):
        assert point.load().check_gradients
