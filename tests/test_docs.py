"""Every snippet of the README and of docs/ runs, and prints what stands under it.

A page is run from top to bottom in one namespace and one empty folder. A ``text`` block right under a ``python`` block
is what that prints; a ``console`` block holds commands, of which those of chainrule are run, and their output, of which
``…`` stands for the beginning. A block under the comment ``<!-- not run: why -->`` is left alone.
"""

from __future__ import annotations

import math
import re
import runpy
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))

FENCE = re.compile(r"(?P<left><!-- not run: [^>]+-->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


class Block(NamedTuple):
    """A fenced block: the line of the page that it begins in, what it is, and whether it stands right under another."""

    line: int
    language: str
    text: str
    follows: bool


def blocks(page: str) -> Iterator[Block]:
    """Give the blocks of a page that are to be looked at."""
    end = 0
    for fence in FENCE.finditer(page):
        if not fence["left"]:
            line = page.count("\n", 0, fence.start("text"))
            yield Block(line, fence["language"], fence["text"], not page[end : fence.start()].strip())
        end = fence.end()


def same(shown: str, printed: str) -> bool:
    """Compare two outputs: words and whole numbers below 1000 exactly, other numbers to half a percent.

    On another instruction set a training ends a little elsewhere. Numbers written with an exponent are differences, of
    which not even the order is the same everywhere; seconds are nobody's business.
    """
    shown, printed = (re.sub(r"\d+\.\d+ s\b|[ \t]+", " ", text).strip() for text in (shown, printed))
    if shown.startswith("…\n"):
        shown = shown[2:]
        printed = "\n".join(printed.splitlines()[-len(shown.splitlines()) :])
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    return all(
        a == b
        or ("e" in a and "e" in b)
        or (
            ("." in a) == ("." in b)
            and ("." in a or abs(float(a)) >= 1000)
            and math.isclose(float(a), float(b), rel_tol=0.005, abs_tol=1e-9)
        )
        for a, b in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    )


def expect_output(page: Path, line: int, shown: str, printed: str) -> None:
    assert same(shown, printed), f"{page.relative_to(ROOT)}:{line} shows\n{shown}\nbut what comes is\n{printed}"


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block and its output."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield command.replace("make train", "chainrule train"), output


def run(command: str, folder: Path) -> tuple[int, str]:
    """Run a command line of chainrule; give its exit code, and what it says."""
    words = shlex.split(command, comments=True)
    done = subprocess.run(
        [sys.executable, "-m", "chainrule", *words[1:]], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "page",
    PAGES,
    ids=[page.relative_to(ROOT).as_posix() for page in PAGES],
)
def test_the_snippets_of_a_page_run_and_print_what_stands_under_them(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    printed = ""
    for line, language, text, follows in blocks(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile("\n" * line + text, page, "exec"), names)
            printed = capsys.readouterr().out
        elif language == "text" and follows:
            expect_output(page, line, text, printed)
        elif language == "console":
            for command, output in commands(text):
                if Path(command.split()[0]).name == "chainrule":
                    code, said = run(command, tmp_path)
                    assert output or code == 0, f"{page.relative_to(ROOT)}:{line} {command}\n{said}"
                    if output:
                        expect_output(page, line, output, said)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_a_script(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(notebook))


def test_each_picture_is_shown_with_words_for_it_and_is_small() -> None:
    shown = set()
    for page in PAGES:
        for alt, name in re.findall(r"!\[([^\]]*)\]\((pictures/[^)]+)\)", page.read_text(encoding="utf-8")):
            assert alt, f"{page.name} does not say what {name} shows"
            shown.add(page.parent / name)
    there = {path for path in (ROOT / "docs" / "pictures").iterdir() if path.suffix in (".svg", ".png")}
    assert shown == there
    assert all(path.stat().st_size < 150_000 for path in there)


def written(svg: str) -> str:
    """Give what a recording has on its lines at the end."""
    rows: dict[str, str] = {}
    for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        y = text.get("y", "")
        rows[y] = rows.get(y, "") + (text.text or "")
    return "\n".join(rows.values())


def test_the_recording_is_of_what_the_commands_print_and_takes_20_seconds() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "pictures" / "recording.py"))
    kept, made = (ROOT / "docs" / "pictures" / "check.svg").read_text(encoding="utf-8"), script["svg"]()
    assert same(written(kept), written(made)), written(made)
    for found in ("wrongAffine", "cause:factor1/N", "mean for a sum", "rightAffine", "sed-i's/mean/sum/'affine.py"):
        assert found in written(kept) or found in written(kept).replace(" ", "")
    moments = [float(moment) for moment in re.findall(r"hidden}([\d.]+)%", kept)]
    assert moments == sorted(moments)
    # The last line is there for three seconds of the twenty, or more.
    assert 75 < moments[-1] < 85
    assert "infinite" in kept.split("prefers-reduced-motion:no-preference")[1]
    assert "animation" not in kept.split("@media (prefers-reduced-motion")[0]
    assert not re.search(r"<script|href|@import|url\(| on\w+=", kept)


def test_the_pictures_of_the_chapters_are_those_that_the_script_draws() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "pictures" / "chapters.py"))
    for page, pictures in script["PICTURES"].items():
        for text in (page, page.replace(".md", "-zh.md")):
            found = re.findall(r"\(pictures/([^)]+)\)", (ROOT / "docs" / text).read_text(encoding="utf-8"))
            assert found == list(pictures), text


def test_there_are_pages_and_notebooks() -> None:
    assert {"README", "index", "tutorial", "tutorial-zh"} <= {page.stem for page in PAGES}
    assert len(NOTEBOOKS) == 3


# --- the runner itself ---


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("4", "5"),
        ("a 1", "b 1"),
        ("0.97", "0.96"),
        ("9256", "9156"),
        ("999", "1000"),
        ("ok 2.0", "ok 2"),
        ("1.5\n2", "1.5"),
        ("-1.5", "1.5"),
    ],
)
def test_another_output_is_told(shown: str, printed: str) -> None:
    assert not same(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("x 4\n", "x  4"),
        ("0.9701", "0.9698"),
        ("9256", "9254"),
        ("1.2e-13", "7e-15"),
        ("in 1.6 s", "in 12.0 s"),
        ("…\nb", "a\nb\n"),
    ],
)
def test_the_same_output_on_another_machine_is_the_same(shown: str, printed: str) -> None:
    assert same(shown, printed)


def test_a_block_knows_its_line_and_what_it_stands_under() -> None:
    page = "a\n\n```python\nb\n```\n\n```text\nc\n```\nd\n```text\ne\n```\n<!-- not run: why -->\n```python\nf\n```\n"
    assert list(blocks(page)) == [(3, "python", "b\n", False), (7, "text", "c\n", True), (11, "text", "e\n", False)]
