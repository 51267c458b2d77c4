"""What a mistake on the command line is answered with: one line first, and the name that was probably meant."""

from __future__ import annotations

import pytest

from chainrule import __version__
from chainrule.cli import main


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (2, "")
    return printed.err.splitlines()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--lr=0.1", "--learning-rate"),
        ("--learning_rate=0.1", "--learning-rate"),
        ("--hidden-size=20", "--hidden"),
        ("--bacth-size=3", "--batch-size"),
        ("--batchsize=3", "--batch-size"),
        ("--optimiser=adam", "--optimizer"),
        ("--Epochs=3", "--epochs"),
    ],
)
def test_an_option_that_there_is_not_is_told_by_the_command_with_the_nearest(
    given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = answer(["train", given], capsys)
    assert first == f"chainrule train: error: unrecognized arguments: {given}; did you mean {meant}?"
    assert second.startswith("usage: chainrule train ")


def test_where_nothing_comes_near_nothing_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    first = answer(["info", "--xyzzy"], capsys)[0]
    assert first == "chainrule info: error: unrecognized arguments: --xyzzy"
    assert "did you mean" not in answer(["frobnicate"], capsys)[0]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["trian"], "train"), (["chek", "file.py"], "check"), (["train", "--optimizer", "adem"], "adam")],
)
def test_a_choice_that_there_is_not_is_answered_with_the_nearest(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = answer(arguments, capsys)
    assert first.endswith(f"; did you mean {meant}?")
    assert second.startswith("usage: chainrule ")


def test_what_is_wrong_stands_in_one_line_before_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    first, *usage = answer(["train", "--epochs", "none"], capsys)
    assert first.startswith("chainrule train: error: argument --epochs: ")
    assert usage[0].startswith("usage: chainrule train ")
    assert not [line for line in usage if "error" in line]


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        (["help"], ["--help"]),
        (["help", "train"], ["train", "--help"]),
        (["help", "check"], ["check", "--help"]),
        (["version"], ["--version"]),
    ],
)
def test_help_and_version_are_words_too(
    arguments: list[str], same: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for each in (arguments, same):
        with pytest.raises(SystemExit) as caught:
            main(each)
        assert caught.value.code == 0
        said.append(capsys.readouterr())
    assert said[0] == said[1]
    assert said[0].out
    assert (said[0].out == f"chainrule {__version__}\n") == (arguments == ["version"])
