"""scikit-learn's own tests of MLPClassifier and MLPRegressor, with nothing changed but the import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import sklearn

#: The version whose tests were gone through.
VERSION = "1.9.1"
IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
#: What fails, and why: each of them looks at a private name.
PRIVATE = {
    "test_gradient": "_loss_grad_lbfgs",
    "test_learning_rate_warmstart": "_optimizer",
    "test_adaptive_learning_rate": "_optimizer",
    "test_n_iter_no_change": "_no_improvement_count",
    "test_n_iter_no_change_inf": "_no_improvement_count",
}
#: What scikit-learn's own conftest.py gives its tests, and its default.
CONFTEST = """
import pytest

@pytest.fixture
def global_random_seed():
    return 42
"""


def own_tests() -> Path | None:
    """Give the file that was installed with scikit-learn, if there is one of the version that was gone through."""
    (package,) = find_spec("sklearn.neural_network").submodule_search_locations  # type: ignore[union-attr, misc]
    file = Path(package) / "tests" / "test_mlp.py"
    return file if sklearn.__version__ == VERSION and file.exists() else None


@pytest.mark.timeout(300)
@pytest.mark.skipif(own_tests() is None, reason=f"needs the tests that come with scikit-learn {VERSION}")
def test_scikit_learns_own_tests_pass_but_for_private_names(tmp_path: Path) -> None:
    text = own_tests().read_text("utf-8")  # type: ignore[union-attr]
    assert text.count(IMPORT) == 1
    (tmp_path / "test_mlp.py").write_text(
        text.replace(IMPORT, IMPORT.replace("sklearn.neural_network", "chainrule.sklearn"))
    )
    (tmp_path / "conftest.py").write_text(CONFTEST)
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done: Any = subprocess.run(
        [*command, "test_mlp.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280, check=False
    )
    failed = dict(re.findall(r"^FAILED test_mlp\.py::(\S+) - (.*)$", done.stdout, re.MULTILINE))
    assert failed.keys() == PRIVATE.keys(), done.stdout
    assert all("AttributeError" in why for why in failed.values()), done.stdout
    missing = re.findall(r"AttributeError: '\w+' object has no attribute '(\w+)'", done.stdout)
    assert set(missing) == set(PRIVATE.values()), done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert int(passed[1] if passed else 0) > 50, done.stdout
