"""The attack in a short form, always of the same cases; and that it finds what is planted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attack import corpus
from attack.finding import Finding
from attack.smaller import smaller
from attack.targets import TARGETS
from attack.watch import TESTS, repeated, watched

#: How many cases the short form tries: some seconds' worth.
SHORT = {
    "idx": 2000,
    "gzip": 2000,
    "pickle": 2000,
    "model": 2000,
    "checkpoint": 1000,
    "expression": 1500,
    "image": 2000,
    "gates": 4000,
    "kernels": 8000,
    "interrupts": 60,
    "system": 150,
    "together": 12,
    "leaks": 54,
}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the processes are watched by POSIX's means")


@pytest.mark.parametrize("name", TARGETS)
def test_an_attack_finds_nothing(name: str) -> None:
    seconds = 6 if name == "leaks" else 100  # which calls each entry point for as long as there is time
    outcome = watched(name, TARGETS[name][0], seed=0, seconds=seconds, most=SHORT[name], slower=6)
    assert [f"{finding.kind}\n{finding.seen}" for finding in outcome.findings] == []
    assert outcome.executions == SHORT[name]


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        ("Raises", "UnicodeError elsewhere not ours"),
        ("Dies", "died of SIGSEGV"),
        ("Hangs", "no answer for 2 s"),
    ],
)
def test_what_is_planted_is_found_and_made_small_and_seen_again(planted: str, kind: str, tmp_path: Path) -> None:
    place = f"attack.planted:{planted}"
    outcome = watched("planted", place, seed=0, seconds=60, most=3000, deaths=1)
    assert [finding.kind for finding in outcome.findings] == [kind]
    (found,) = outcome.findings
    assert b"!" in found.case
    assert len(found.case) < 20
    read = Finding.read(found.write(tmp_path))
    assert read == found
    again = repeated(read, place)
    assert again is not None
    assert again.kind == kind


def test_planted_growth_of_memory_is_found() -> None:
    outcome = watched("planted", "attack.planted:Grows", seed=0, seconds=60, most=1000, slower=6)
    assert [finding.kind for finding in outcome.findings] == ["memory rose"]
    assert b"!" in outcome.findings[0].case


def test_the_same_seed_tries_the_same_cases() -> None:
    """As many kinds of ends are no proof, but another case would most likely have another."""
    notes = [watched("idx", TARGETS["idx"][0], seed, 100, 700).notes for seed in (3, 3)]
    assert notes[0] == notes[1]


def test_a_case_is_made_as_small_as_it_can_be() -> None:
    assert smaller(b"some text, and! some more of it", lambda case: b"!" in case) == b"!"
    assert smaller(b"xx{a}yy", lambda case: b"{" in case and b"}" in case) == b"{}"


def test_the_corpus_takes_what_is_new_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    assert corpus.keep("a", [b"one", b"\xff\n", b"x" * 1000]) == 2
    assert corpus.keep("a", [b"one", b"two"]) == 1
    assert corpus.kept("a") == [b"\xff\n", b"one", b"two"]
    assert corpus.kept("b") == []


@pytest.mark.parametrize(("target", "code", "end"), [("idx", 0, "nothing was found"), ("planted", 1, "1 found")])
def test_the_command_says_the_seed_and_what_was_found(target: str, code: int, end: str, tmp_path: Path) -> None:
    run = (
        "import sys; from attack.targets import TARGETS; TARGETS['planted'] = 'attack.planted:Raises', 1;"
        "from attack.__main__ import main; sys.exit(main())"
    )
    options = ["--only", target, "--seed", "5", "--most", "3000", "--minutes", "1", "--found", str(tmp_path)]
    around = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    command = [sys.executable, "-c", run, *options]
    done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    first, counted, *_, last = done.stdout.splitlines()
    assert (first, last) == ("seed 5", end)
    assert counted.split()[:3] == [target, "3,000", "executions"]
    assert len(list(tmp_path.iterdir())) == code
