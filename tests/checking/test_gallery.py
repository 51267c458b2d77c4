"""The gallery of wrong gradients: each is wrong where it says, the check says so and why, and mended it is right."""

from __future__ import annotations

import inspect
import re
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.checking.files import check_file
from test_docs import commands, run, same

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
MAKE = runpy.run_path(str(GALLERY / "make.py"))
REPORT_ON = cache(MAKE["report_on"])
#: What is wrong and why, as it follows from the code; no cause where none is short.
FOUND: dict[str, tuple[set[str], str | None]] = {
    "mean_absolute_error": ({"y"}, None),
    "huber_loss": ({"y"}, "one factor for all entries, 1.111"),
    "binary_cross_entropy": ({"x"}, "factor C (C = 3)"),
    "cross_entropy": ({"x"}, "1e-07 in the logarithm of the loss, which the gradient leaves out"),
    "focal_loss": ({"x"}, None),
    "weight_decay": ({"b"}, "proportional to the parameter (off by -0.1 times it: decay on one side only?)"),
    "leaky_relu": ({"x"}, None),
    "gelu": ({"x"}, None),
    "softmax": ({"x"}, None),
    "affine": ({"b"}, "factor 1/N (N = 5, a mean for a sum)"),
    "softmax_regression": ({"b"}, "wrong shape"),
    "add_row": ({"b"}, "no sum over the batch"),
    "batch_norm": ({"x"}, "one factor for each column, -7.57 to 9.533"),
    "layer_norm": ({"x"}, None),
    "dropout": ({"x"}, None),
    "embedding": ({"W"}, None),
    "convolution": ({"w", "x"}, None),
    "padding": ({"x"}, "wrong shape"),
    "max_pooling": ({"x"}, None),
    "average_pooling": ({"x"}, "one factor for each column, 0.5 to 1"),
    "upsampling": ({"x"}, None),
    "lstm": ({"W", "b", "x", "h"}, None),
    "attention": ({"q", "k"}, None),
    "hidden_layer": ({"W1"}, None),
    "tied_weights": ({"W"}, None),
    "step_too_early": ({"x"}, "not linear in dout"),
    "shared_node": ({"x"}, "one factor for all entries, 2.385"),
    "division": ({"x"}, None),
}


def made(code: str) -> tuple[Any, ...]:
    """Run the code of an entry; give what it says to check, and with what."""
    names: dict[str, Any] = {}
    exec(compile(code, "entry", "exec"), names)
    (make,) = names["CHECKS"].values()
    return tuple(make(np.random.default_rng(0)))


# --- differences that share nothing with the check ---


def outputs(subject: Any, arguments: list[Any]) -> list[Any]:
    """Give what comes out, as a list of arrays."""
    if hasattr(subject, "rng"):
        subject.rng = np.random.default_rng(0)  # the same mask each time
    forward = subject[0] if isinstance(subject, tuple) else getattr(subject, "loss", None) or subject.forward
    out = forward(*arguments)
    return [np.array(a) for a in (out if isinstance(out, tuple) else (out,))]


def claimed(
    subject: Any, arguments: list[Any], names: list[str], held: dict[str, Any], weights: list[Any]
) -> dict[str, Any]:
    """Give what the code says the gradients are, by name."""
    if isinstance(subject, tuple):
        return {names[0]: weights[0] * subject[1](*arguments)}
    if hasattr(subject, "gradient"):
        return dict(subject.gradient(*arguments))
    before = {name: a.copy() for name, a in held.items()}
    outputs(subject, arguments)
    takes = list(inspect.signature(subject.backward).parameters)
    steps = takes[-1:] == ["learning_rate"]
    given = subject.backward(*(weights if takes else ()), *([1.0] if steps else []))
    grads = dict(zip(names, given if isinstance(given, tuple) else (given,), strict=False))
    for name, a in before.items():
        grads[name] = a - getattr(subject, name) if steps else getattr(subject, f"d{name}")
        getattr(subject, name)[...] = a
    return grads


def parameters(subject: Any) -> dict[str, Any]:
    """Give the arrays that a new subject holds, by name."""
    if isinstance(subject, tuple):
        return {}
    return dict(getattr(subject, "params", None) or {n: a for n, a in vars(subject).items() if hasattr(a, "dtype")})


def wrong_by_differences(code: str) -> set[str]:
    """Give the names of the arrays whose gradients are not what central differences are."""
    subject, *arguments = made(code)
    network = hasattr(subject, "gradient")
    forward = subject[0] if isinstance(subject, tuple) else subject.loss if network else subject.forward
    names = list(inspect.signature(forward).parameters)
    inputs = dict(zip(names, arguments, strict=True))
    held = parameters(subject)
    arrays = held | ({} if network else {n: a for n, a in inputs.items() if n not in ("t", "ids")})
    first = outputs(subject, arguments)
    takes_none = hasattr(subject, "backward") and not inspect.signature(subject.backward).parameters
    rng = np.random.default_rng(1)
    weights = [np.ones(()) if takes_none or network else rng.uniform(0.5, 1.5, out.shape) for out in first]
    grads = {name: np.array(grad) for name, grad in claimed(subject, arguments, names, held, weights).items()}
    wrong = set()
    for name, a in arrays.items():
        slopes = np.zeros(a.shape)
        for index in np.ndindex(a.shape):
            centre, sides = a[index], []
            for h in (1e-5, -1e-5):
                a[index] = centre + h
                sides.append(
                    sum(float(np.sum(w * out)) for w, out in zip(weights, outputs(subject, arguments), strict=True))
                )
            a[index] = centre
            slopes[index] = (sides[0] - sides[1]) / 2e-5
        if grads[name].shape != a.shape or np.abs(grads[name] - slopes).max() > 1e-8:
            wrong.add(name)
    return wrong


@pytest.mark.parametrize("name", FOUND)
def test_differences_of_another_kind_see_the_mistake_and_that_it_is_mended(name: str) -> None:
    entry = MAKE["read"](name)
    assert wrong_by_differences(entry.code) == FOUND[name][0]
    assert wrong_by_differences(entry.mended) == set()


# --- the check ---


@pytest.mark.parametrize("name", FOUND)
def test_the_check_says_what_is_wrong_and_why(name: str) -> None:
    report = REPORT_ON(name)
    arrays, cause = FOUND[name]
    assert report.verdict == "wrong"
    assert ({a.name for a in report.arrays if not a.ok}, report.cause) == (arrays, cause), str(report)


@pytest.mark.parametrize("name", FOUND)
def test_mended_it_is_called_right(name: str, tmp_path: Path) -> None:
    (tmp_path / "mended.py").write_text(MAKE["read"](name).mended, encoding="utf-8")
    (check,) = check_file(str(tmp_path / "mended.py"), strict=True)
    assert check.verdict == "right", check.line


def test_the_entries_that_are_said_to_be_wrong_are_wrong_and_no_others() -> None:
    """Worked out from what the files hand over, not from what the check says."""
    y, t = made(MAKE["read"]("mean_absolute_error").code)[1:]
    x = made(MAKE["read"]("leaky_relu").code)[1]
    lstm = np.zeros((5, 8), bool)
    lstm[:, :2] = True  # the forget gate comes first
    pooled = made(MAKE["read"]("max_pooling").code)[1]
    times = np.zeros(pooled.shape, int)
    for row, start in np.ndindex(2, 5):
        times[row, start + np.argmax(pooled[row, start : start + 3])] += 1
    expected = {
        ("mean_absolute_error", "y"): y < t,
        ("leaky_relu", "x"): x < 0,
        ("dropout", "x"): np.random.default_rng(0).random((5, 4)) < 0.5,
        ("embedding", "W"): np.arange(5)[:, None] == np.full((1, 3), 1),
        ("convolution", "x"): np.arange(7)[None] > np.zeros((2, 1)),
        ("max_pooling", "x"): times > 1,
        ("average_pooling", "x"): np.arange(5)[None] == np.full((3, 1), 4),
        ("lstm", "W"): lstm,
        ("lstm", "b"): lstm[0],
    }
    drawn = set()
    for name in FOUND:
        for array in REPORT_ON(name).arrays:
            if MAKE["places"](array) is not None:
                drawn.add((name, array.name))
                assert np.array_equal(array.relative > MAKE["WRONG"], expected[name, array.name]), name
    assert drawn == set(expected)


# --- the page ---


def test_each_file_has_its_place_and_says_where_it_was_met() -> None:
    files = {path.stem for path in GALLERY.glob("*.py")} - {"make"}
    assert files == set(FOUND) == {name for names in MAKE["GROUPS"].values() for name in names}
    for name in files:
        entry = MAKE["read"](name)
        assert all(
            re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+/(issues|pull|tree)/[\w/-]+", link) for link in entry.links
        )
        assert entry.links
        assert all((entry.title, entry.about, entry.what, entry.in_the_report, entry.met))


@pytest.mark.parametrize("name", FOUND)
def test_what_is_quoted_of_a_report_stands_in_it(name: str) -> None:
    report = " ".join(str(REPORT_ON(name)).lower().split())
    for quoted in re.findall(r'"([^"]+)"', MAKE["read"](name).in_the_report):
        for part in quoted.lower().split(" … "):
            assert part in report


def test_the_page_is_what_the_files_say() -> None:
    """Which entry a report shows, of several that are off alike, is left to the machine."""

    def pieces(page: str) -> list[str]:
        return re.split(r"^```text\n(.*?)^```$", page, flags=re.M | re.S)

    kept, fresh = (pieces(page) for page in (MAKE["PAGE"].read_text(encoding="utf-8"), MAKE["page"]()))
    assert kept[::2] == fresh[::2], "python docs/gallery/make.py writes another page"
    for shown, printed in zip(kept[1::2], fresh[1::2], strict=True):
        shown, printed = (re.sub(r"\[[\d, ]+\]: analytic .*", "", text) for text in (shown, printed))
        assert same(shown, printed), f"shown is\n{shown}\nbut what comes is\n{printed}"


def test_the_exercise_goes_as_the_page_shows_it(tmp_path: Path) -> None:
    text = (GALLERY / "affine.py").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```console\n(.*?)^```$", MAKE["PAGE"].read_text(encoding="utf-8"), re.M | re.S)
    (sed, _), (command, output) = commands(block)
    pattern = re.findall(r"'/(\^.*)/,\$d'", sed)[0]
    lines = text.splitlines(keepends=True)
    end = next(i for i, line in enumerate(lines) if re.search(pattern, line))
    (tmp_path / "affine.py").write_text("".join(lines[:end]), encoding="utf-8")
    code, said = run(command, tmp_path)
    assert code == 1
    assert same(output, said)
    entry = MAKE["read"]("affine")
    (tmp_path / "affine.py").write_text("".join(lines[:end]).replace(entry.wrong, entry.right), encoding="utf-8")
    code, said = run(command, tmp_path)
    assert (code, "right     Affine" in said) == (0, True)
