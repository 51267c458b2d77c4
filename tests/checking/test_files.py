"""``chainrule check FILE.py[:NAME]``: what is found in a file, a line each, and the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from chainrule.checking.files import check_file
from chainrule.cli import main
from chainrule.cli.output import print_annotation

LAYERS = """
import numpy as np


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.{sum}(axis=0)
        return dout @ self.W.T


class Log:
    def forward(self, x):
        self.x = x
        return np.log(x)

    def backward(self, dout):
        return dout / self.x


class Loss:
    def forward(self, x, t):
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx / len(self.t)


def f(x):
    return (x**2).sum()


def grad_f(x):
    return 2 * x


def wave(x, y):
    return np.sin(x * y).sum()


def wave_grad(x, y):
    return y * np.cos(x * y), x * np.cos(x * y)


def alone(x):
    return x
"""

ODD = """
class Conv:
    def __init__(self, blades):
        self.kernel = blades
        self.kernel.flags.writeable = False  # no parameter

    def forward(self, x):
        return sum(x[:, k : k + x.shape[1] - len(self.kernel) + 1] * w for k, w in enumerate(self.kernel))

    def backward(self, dout):
        border = len(self.kernel) - 1
        padded = np.pad(dout, ((0, 0), (border, border)))
        size = padded.shape[1] - border
        return sum(padded[:, k : k + size] * w for k, w in enumerate(self.kernel[::-1]))
"""
CHECKS = """
CHECKS = {"Conv": lambda rng: (Conv(rng.standard_normal(3)), rng.standard_normal((2, 7)))}
"""


@pytest.fixture
def write(tmp_path: Path) -> object:
    def write(text: str, name: str = "mine.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_layers_and_pairs_are_found_in_their_order(write: object) -> None:
    checks = list(check_file(write(LAYERS.format(sum="sum"))))  # type: ignore[operator]
    assert [(c.name, c.report and c.report.verdict) for c in checks] == [
        (name, "right") for name in ("Affine", "Log", "Loss", "f", "wave")
    ]


def test_a_line_each_and_exit_0(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(LAYERS.format(sum="sum"))]) == 0  # type: ignore[operator]
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "right     Affine(W (4, 3), b (3,)).forward(x (5, 4))",
        "right     Log().forward(x (5, 4))",
        "right     Loss().forward(x (5, 4), t int (5,))",
        "right     f(x (4,))",
        "right     wave(x (4,), y (4,))",
    ]
    assert lines[0].partition(": ")[2].startswith("W, b, x agree to ")


def test_a_wrong_one_gives_its_reason_and_exit_1(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(LAYERS.format(sum="mean"))]) == 1  # type: ignore[operator]
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("wrong     Affine(W (4, 3), b (3,)).forward(x (5, 4)): b[")
    assert line.endswith("cause: factor 1/N (N = 5, a mean for a sum)")


def test_one_name_only(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(LAYERS.format(sum="mean")) + ":Loss"]) == 0  # type: ignore[operator]
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_whole_report_when_asked(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--verbose", write(LAYERS.format(sum="mean")) + ":Affine"])  # type: ignore[operator]
    assert "GRADIENTS DIFFER" in capsys.readouterr().out


def test_what_cannot_be_made_is_skipped_with_what_to_do_and_exit_2(
    write: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write("import numpy as np\n" + ODD)]) == 2  # type: ignore[operator]
    line = capsys.readouterr().out.strip()
    assert line == (
        "skipped   Conv: do not know what to pass as blades; say so in the file: CHECKS = {'Conv': lambda rng: …}"
    )


def test_a_file_says_for_itself_what_to_check_with(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write("import numpy as np\n" + ODD + CHECKS)]) == 0  # type: ignore[operator]
    assert capsys.readouterr().out.startswith("right     Conv: x agree to ")


def test_a_neighbour_can_be_imported(write: object) -> None:
    write("scale = 3.0", "neighbour.py")  # type: ignore[operator]
    path = write("import neighbour\nf = lambda x: x\ndef g(x): return neighbour.scale * x\ndef grad_g(x): return 3.0\n")  # type: ignore[operator]
    checks = list(check_file(path))
    assert [(c.name, c.report and c.report.verdict) for c in checks] == [("g", "right")]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            "x = 1\n",
            "",
            "has nothing to check: no class with forward and backward, no function f with grad_f, no CHECKS",
        ),
        ("1 / 0\n", "", "cannot be run: ZeroDivisionError: division by zero"),
        ("def f(x:\n", "", "cannot be run: SyntaxError"),
        ("raise SystemExit(0)\n", "", "cannot be run: SystemExit: 0"),
        ("CHECKS = [1]\n", "", "CHECKS must be a dict of names to functions, got list"),
        (
            LAYERS.format(sum="sum"),
            ":Nope",
            "has no layer, network or pair called Nope; it has Affine, Log, Loss, f, wave",
        ),
    ],
)
def test_unusable_files_are_refused_in_one_sentence(
    text: str, name: str, message: str, write: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(text) + name]) == 2  # type: ignore[operator]
    printed = capsys.readouterr()
    assert printed.out == ""
    running, error = printed.err.splitlines()[:2]
    assert message in printed.err
    assert running.startswith("running ")
    assert error.startswith("chainrule: error: ")


def test_the_path_is_as_before_though_the_file_changes_it(write: object) -> None:
    before = list(sys.path)
    list(check_file(write("import sys\nsys.path.insert(0, '/added')\n" + LAYERS.format(sum="sum"))))  # type: ignore[operator]
    assert sys.path == ["/added", *before]
    sys.path.remove("/added")


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere.py"]) == 2
    assert capsys.readouterr().err == "chainrule: error: nowhere.py: there is no such file\n"
    assert main(["check", "."]) == 2
    assert capsys.readouterr().err == "chainrule: error: .: this is a folder; name a file in it\n"


def test_a_file_that_is_not_python(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write("x", "mine.txt")]) == 2  # type: ignore[operator]
    assert "is no Python file: its name must end in .py" in capsys.readouterr().err


def test_verbose_goes_with_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--verbose"]) == 2
    assert "--verbose goes with a file" in capsys.readouterr().err


# --- for other programs ---

VIEW = """
class Right:
    def forward(self, x): return 2 * x
    def backward(self, dout): return 2 * dout
class Wrong:
    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        return 3 * dout  # 50 %
class View:
    def forward(self, x): return x[:]
    def backward(self, dout): return dout.copy()
class Strange:
    def __init__(self, blades): ...
    def forward(self, x): return x * 1
    def backward(self, dout): return dout * 1
class Constant:
    def forward(self, x): return x * 0
    def backward(self, dout): return dout * 0
"""


def test_hazards_are_told_and_fail_if_strict(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(VIEW)  # type: ignore[operator]
    assert main(["check", f"{path}:View"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("right     View().forward(x (5, 4)): x agree to ")
    assert "hazard: " in line
    assert main(["check", f"{path}:View", "--strict"]) == 1
    assert capsys.readouterr().out.startswith("wrong     View().forward(x (5, 4)): ")


def test_each_is_an_object_of_json(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(VIEW)  # type: ignore[operator]
    assert main(["check", path, "--format", "jsonl"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(f["name"], f["verdict"], f["line"]) for f in found] == [
        ("Right", "right", 4), ("Wrong", "wrong", 9), ("View", "right", 13), ("Strange", "skipped", 17),
        ("Constant", "unproven", 20),
    ]  # fmt: skip
    assert {(f["schema"], f["event"], f["file"]) for f in found} == {(2, "check", path)}
    assert found[1]["made"] == "Wrong().forward(x (5, 4))"
    assert found[1]["report"]["arrays"][0]["verdict"] == "wrong"
    assert found[3]["report"] is None
    assert "blades" in found[3]["reason"]


def test_github_gets_annotations_at_the_line_of_backward(
    write: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(VIEW, "a,b.py")  # type: ignore[operator]
    monkeypatch.chdir(Path(path).parent)
    assert main(["check", path, "--format", "github"]) == 1
    right, wrong, view, hazard, strange, constant = capsys.readouterr().out.splitlines()
    assert right.startswith("right     Right().forward(x (5, 4)): x agree to ")
    assert wrong.startswith("::error file=a%2Cb.py,line=9,title=Wrong%3A wrong::Wrong().forward(x (5, 4)): x[")
    assert "%0AGRADIENTS DIFFER" in wrong  # the whole report, in one line
    assert view.startswith("right     View()")
    assert hazard.startswith("::notice file=a%2Cb.py,line=13,title=View%3A hazard::")
    assert strange.startswith("::warning file=a%2Cb.py,line=17,title=Strange%3A skipped::Strange: do not know what")
    assert constant.startswith("::warning file=a%2Cb.py,line=20,title=Constant%3A unproven::")


def test_signs_that_github_reads_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_annotation("error", "50 %: a, b", "1 %\r\n2: 3, 4", "x.py", 7)
    assert capsys.readouterr().out == "::error file=x.py,line=7,title=50 %25%3A a%2C b::1 %25%0D%0A2: 3, 4\n"
    print_annotation("error", "t", "text")
    assert capsys.readouterr().out == "::error title=t::text\n"


def test_quiet_leaves_out_what_is_right_in_every_format(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(VIEW)  # type: ignore[operator]
    for form in ("text", "jsonl", "github"):
        main(["check", f"{path}:Right", "--quiet", "--format", form])
        assert capsys.readouterr().out == ""


def test_what_a_file_prints_goes_to_stderr(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    text = "print('hello')\nclass A:\n    def forward(self, x): print('there'); return 2 * x\n"
    path = write(text + "    def backward(self, dout): return 2 * dout\n")  # type: ignore[operator]
    assert main(["check", path, "--format", "jsonl"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert printed.err.startswith("hello\nthere\n")


def test_verbose_goes_with_text(write: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(VIEW), "--verbose", "--format", "jsonl"]) == 2  # type: ignore[operator]
    assert "--verbose goes with a file and with text" in capsys.readouterr().err
