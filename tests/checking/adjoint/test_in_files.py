"""Operators that stand in a file of somebody's own."""

from __future__ import annotations

from pathlib import Path

from chainrule.checking.files import check_file

FILE = """
import numpy as np
from chainrule import check_adjoint


def blur(x):
    return 0.5 * x + 0.5 * np.roll(x, 1)


def blur_adjoint(y):
    return 0.5 * y + 0.5 * np.roll(y, 1)


def slope(u):
    return np.stack([np.diff(u, axis=0, append=u[-1:]), np.diff(u, axis=1, append=u[:, -1:])])


def adjointSlope(p):
    a, b = p
    down, right = -a.copy(), -b.copy()
    down[-1], right[:, -1] = 0, 0
    down[1:] += a[:-1]
    right[:, 1:] += b[:, :-1]
    return down + right


def lost(x):
    raise RuntimeError("not today")


def lost_adjoint(y):
    return y


class Matrix:
    shape = (3, 4)

    def matvec(self, x):
        return np.arange(12.0).reshape(3, 4) @ x

    def rmatvec(self, y):
        return np.arange(12.0).reshape(3, 4).T @ y


matrix = Matrix()
CHECKS = {"mine": lambda rng: check_adjoint((np.cumsum, np.cumsum), 9)}
"""


def test_operators_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "operators.py"
    path.write_text(FILE, encoding="utf-8")
    found = {check.name: check for check in check_file(str(path))}
    verdicts = {name: check.verdict for name, check in found.items()}
    expected = {"mine": "wrong", "blur": "wrong", "slope": "right", "lost": "skipped", "matrix": "right"}
    assert verdicts == expected
    assert "A* is A itself" in found["blur"].why
    assert found["blur"].at == FILE.splitlines().index("def blur_adjoint(y):") + 1
    assert "not today" in found["lost"].why
    (one,) = check_file(str(path), "slope")
    assert one.verdict == "right"
