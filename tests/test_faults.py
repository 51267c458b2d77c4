"""Every row of docs/faults.md has a test that carries its id, and every id that a test carries is a row.

That a test shows its row is for a reader to see; that there is one, for this file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"

#: The last number of each letter: what the page has of one letter runs from 1 to it, so that no row gets lost unseen.
LAST = {"A": 20, "L": 7, "S": 5, "T": 11, "D": 3, "F": 17, "N": 7, "C": 4, "X": 5, "M": 2, "P": 1, "R": 6}
#: Rows that were put beside one of the same number when it was found to hold in part only.
SECOND = ["S2b", "T5b", "T6b", "T7b", "T8b"]

ROW = re.compile(r"^\| ([A-Z]\d+[a-z]?) \|.*?(?<!\\)\| (.*) \|$")


def rows(page: str) -> dict[str, str]:
    """Give the state of each id of the page's tables: "holds", "untested" or "not yet"."""
    found: dict[str, str] = {}
    heading = ""
    for line in page.splitlines():
        heading = line if line.startswith("## ") else heading
        if row := ROW.match(line):
            name, happens = row.groups()
            assert name not in found, f"{name} stands twice on the page"
            untested = "untested" if happens.startswith("Untested") else "holds"
            found[name] = "not yet" if heading == "## Not yet" else untested
    return found


def marks(source: str) -> dict[str, list[str]]:
    """Give the tests of a module that carry each id."""
    found: dict[str, list[str]] = {}
    for test in ast.walk(ast.parse(source)):
        if not isinstance(test, ast.FunctionDef) or not test.name.startswith("test_"):
            continue
        for mark in test.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                for name in mark.args:
                    found.setdefault(ast.literal_eval(name), []).append(test.name)
    return found


def complaints(page: Mapping[str, str], tested: Iterable[str]) -> list[str]:
    """Say what does not fit between the rows of the page and the ids that tests carry."""
    carried = set(tested)
    lost = [f"{name} has no test" for name, state in page.items() if state == "holds" and name not in carried]
    return lost + [f"{name} is no row of the page" for name in sorted(carried - set(page))]


@pytest.fixture(scope="module")
def page() -> dict[str, str]:
    return rows(PAGE.read_text(encoding="utf-8"))


def test_every_row_has_a_test_and_every_mark_a_row(page: Mapping[str, str]) -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("test_*.py"))]
    assert complaints(page, [name for source in sources for name in marks(source)]) == []


def test_the_page_has_lost_no_row(page: Mapping[str, str]) -> None:
    numbered = [f"{letter}{number}" for letter, last in LAST.items() for number in range(1, last + 1)]
    assert sorted(page) == sorted([*numbered, *SECOND])


# --- what compares them ---

SMALL = """
## Arrays

| id | what is wrong | what happens |
| --- | --- | --- |
| A1 | too wide | `ValueError` |
| A2 | `"a"\\|"b"`, see A9 | fine |
| C1b | no machine | Untested: there is none |

## Not yet

| id | what is wrong | what happens |
| --- | --- | --- |
| A3 | anything | a crash |
"""

MARKED = """
import pytest

@pytest.mark.fault("A1", "A3")
@pytest.mark.parametrize("x", [1])
def test_one(x): ...

@pytest.mark.fault("A1")
@pytest.mark.slow
def test_two(): ...

@pytest.mark.fault("A2")
def no_test(): ...

# pytest.mark.fault("A2")
"""


def test_the_page_is_read_row_by_row() -> None:
    assert rows(SMALL) == {"A1": "holds", "A2": "holds", "C1b": "untested", "A3": "not yet"}
    with pytest.raises(AssertionError, match="A1 stands twice"):
        rows(SMALL + "| A1 | again | nothing |\n")


def test_marks_count_on_tests_only() -> None:
    assert marks(MARKED) == {"A1": ["test_one", "test_two"], "A3": ["test_one"]}


@pytest.mark.parametrize(
    ("tested", "expected"),
    [
        (["A1", "A2"], []),
        (["A1", "A2", "A3", "C1b"], []),
        (["A1"], ["A2 has no test"]),
        ([], ["A1 has no test", "A2 has no test"]),
        (["A1", "A2", "A4"], ["A4 is no row of the page"]),
    ],
)
def test_what_does_not_fit_is_told(tested: list[str], expected: list[str]) -> None:
    assert complaints(rows(SMALL), tested) == expected
