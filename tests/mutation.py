"""Change a module of chainrule in one place at a time, and tell which changes its tests let pass: ``make mutation``.

    python tests/mutation.py nn/gradients.py data/idx.py

The changes are those of cosmic-ray, made in a copy of ``python/`` in a temporary folder. The tests of ``a/b.py`` are
``tests/a/test_b.py`` or, if there is no such file, those of the folder; others may be named with --tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
#: ``int | None`` changed to ``int << None``: annotations are not run, and nearly every | stands in one.
NOT_THESE = """[cosmic-ray.filters.operators-filter]
exclude-operators = ["core/ReplaceBinaryOperator_BitOr_.*"]
"""


def tests_of(module: str) -> Path:
    """Give the tests that belong to a module: those of its own file, or of its folder."""
    path = Path("tests", module)
    own = path.with_name(f"test_{path.name}")
    return own if (ROOT / own).exists() else path.parent


def mutate(module: str, tests: list[str], seconds: float) -> int:
    """Print what survives, and give how many that are."""
    with TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "python", Path(folder, "python"), ignore=shutil.ignore_patterns("__pycache__"))
        target = Path(folder, "python", "chainrule", module)
        # No file of bytecode: two changes within a second, of one length, would be taken for the same.
        python = [sys.executable, "-B"]
        command = [*python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", *tests]
        configuration = {
            "module-path": str(target),
            "timeout": seconds,
            "excluded-modules": [],
            "test-command": shlex.join(command),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in configuration.items()]
        text = "\n".join(["[cosmic-ray]", *lines, "[cosmic-ray.distributor]", 'name = "local"', NOT_THESE])
        Path(folder, "c.toml").write_text(text, encoding="utf-8")
        around = os.environ | {"PYTHONPATH": str(Path(folder, "python"))}
        tool = [*python, "-m", "cosmic_ray.cli"]
        files = [str(Path(folder, "c.toml")), str(Path(folder, "c.sqlite"))]

        def run(*arguments: str) -> str:
            done = subprocess.run(
                [*tool, *arguments], cwd=ROOT, env=around, stdout=subprocess.PIPE, text=True, check=True
            )
            return done.stdout

        subprocess.run(command, cwd=ROOT, env=around, stdout=subprocess.DEVNULL, check=True)  # as it is, it passes
        run("init", *files)
        subprocess.run(
            [*python, "-m", "cosmic_ray.tools.filters.operators_filter", *reversed(files)], cwd=ROOT, check=True
        )
        run("exec", *files)
        results = [json.loads(line)[1] for line in run("dump", files[1]).splitlines()]
    results = [result for result in results if result and result["test_outcome"]]
    survived = [result for result in results if result["test_outcome"] == "survived"]
    for result in survived:
        print(result["diff"].replace(str(target), module), end="\n\n")
    print(f"{module}: {len(survived)} of {len(results)} survived {' '.join(tests)}", flush=True)
    return len(survived)


def main() -> None:
    """Read the command line and go through the modules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="+", metavar="module", help="as nn/gradients.py, below python/chainrule")
    parser.add_argument("--tests", nargs="+", help="other tests than those of its name")
    parser.add_argument("--seconds", type=float, default=120, help="a change that takes longer counts as seen")
    given = parser.parse_args()
    for module in given.modules:
        mutate(module, given.tests or [str(tests_of(module))], given.seconds)


if __name__ == "__main__":
    main()
