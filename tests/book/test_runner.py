"""``chainrule book SCRIPT.py``: scripts with the book's import lines, run as they are, in new processes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import book
from chainrule.book import runner
from chainrule.cli import main

HEAD = "import sys, os\nsys.path.append(os.pardir)\n"
Text = pytest.CaptureFixture[str]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def started(*arguments: Any, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m chainrule.book`` in `cwd`, on a machine without a display."""
    hidden = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, "-m", "chainrule.book", *map(str, arguments)],
        cwd=cwd, env={**hidden, "PYTHONWARNINGS": "default", **environment}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


# --- what a script imports ---


@pytest.mark.parametrize("where", ["beside", "in os.pardir", "nowhere"])
def test_common_and_dataset_are_ours_wherever_others_lie(where: str, tmp_path: Path, capsys: Text) -> None:
    script = write(
        tmp_path / "ch06" / "script.py",
        HEAD + "from common.layers import *\nfrom common.optimizer import SGD\nfrom dataset.mnist import load_mnist\n"
        "import common.util\nprint(Affine.__module__, SGD.__module__, load_mnist.__module__)\n"
        "print(np.__name__, im2col is common.util.im2col, softmax(np.zeros(2)))\n",
    )
    if where != "nowhere":
        folder = script.parent if where == "beside" else tmp_path
        for name in ("common/__init__", "common/layers", "common/optimizer", "common/util", "dataset/mnist"):
            write(folder / f"{name}.py", "raise ImportError('the one that lies around')\n")
    assert main(["book", str(script)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "chainrule.book.common.layers chainrule.training.optimizers chainrule.data.mnist",
        "numpy True [0.5 0.5]",
    ]


MODULES = [
    "functions",
    "gradient",
    "layers",
    "multi_layer_net",
    "multi_layer_net_extend",
    "optimizer",
    "trainer",
    "util",
]


@pytest.mark.parametrize("module", MODULES)
def test_a_star_import_brings_np(module: str, tmp_path: Path, capsys: Text) -> None:
    script = write(tmp_path / "script.py", f"from common.{module} import *\nprint(np.zeros(1))\n")
    assert main(["book", str(script)]) == 0
    assert capsys.readouterr().out == "[0.]\n"


def test_star_imports_bring_the_books_names() -> None:
    names: dict[str, Any] = {}
    exec("from chainrule.book.common.layers import *", names)
    functions = {"identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad", "softmax"}
    losses = {"sum_squared_error", "cross_entropy_error", "softmax_loss"}
    layers = {"Relu", "Sigmoid", "Affine", "SoftmaxWithLoss", "Dropout", "BatchNormalization", "Convolution", "Pooling"}
    assert functions | losses | layers | {"im2col", "col2im", "np"} <= names.keys()
    exec("from chainrule.book import *", names)
    nets = {"MultiLayerNet", "MultiLayerNetExtend", "SimpleConvNet", "DeepConvNet", "TwoLayerNet", "Trainer"}
    others = {"smooth_curve", "shuffle_dataset", "conv_output_size", "load_mnist", "numerical_gradient", "Adam"}
    assert nets | others <= names.keys()


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("from simple_convnet import SimpleConvNet as found", "chainrule.book.ch07"),
        ("from deep_convnet import DeepConvNet as found", "chainrule.book.ch08"),
        ("from multi_layer_net import MultiLayerNet as found", "chainrule.book.common.multi_layer_net"),
        ("from layer_naive import MulLayer as found", "chainrule.graph.nodes"),
        ("from gradient_2d import numerical_gradient as found", "chainrule.nn.gradients"),
        ("from two_layer_net import TwoLayerNet as found", "chainrule.nn.two_layer_net"),
    ],
)
def test_class_files_that_are_missing_are_ours(line: str, place: str, tmp_path: Path, capsys: Text) -> None:
    script = write(tmp_path / "ch05" / "script.py", f"{line}\nprint(found.__module__)\n")
    assert main(["book", str(script)]) == 0
    assert capsys.readouterr().out.strip() == place


@pytest.mark.parametrize(
    ("folder", "place", "told"),
    [
        ("ch04", "chainrule.book.ch04", False),
        ("ch05", "chainrule.nn.two_layer_net", False),
        ("mine", "chainrule.nn.two_layer_net", True),
    ],
)
def test_two_layer_net_is_that_of_the_chapter(
    folder: str, place: str, told: bool, tmp_path: Path, capsys: Text
) -> None:
    text = "from two_layer_net import TwoLayerNet\nprint(TwoLayerNet.__module__)\n"
    assert main(["book", str(write(tmp_path / folder / "train.py", text))]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == place
    assert ("two_layer_net is chapter 5's" in captured.err) == told


def test_class_files_beside_the_script_are_its_own_and_are_forgotten_afterwards(tmp_path: Path, capsys: Text) -> None:
    for name in ("first", "second"):
        write(tmp_path / name / "simple_convnet.py", f"def SimpleConvNet():\n    return {name!r}\n")
        text = "from simple_convnet import SimpleConvNet\nprint(SimpleConvNet())\n"
        assert main(["book", str(write(tmp_path / name / "script.py", text))]) == 0
    assert capsys.readouterr().out.split() == ["first", "second"]
    assert {"common", "dataset", "simple_convnet"} & sys.modules.keys() == set()


# A class file as the book's readers have it: layers by their names, weights that are bound when they are loaded.
CLASS_FILE = """
import pickle
from collections import OrderedDict
from common.layers import *


class Net:
    def __init__(self):
        self.params = {"W1": np.ones((2, 1, 3, 3)), "b1": np.zeros(2)}
        self.layers = OrderedDict(Conv1=Convolution(self.params["W1"], self.params["b1"]), Relu1=Relu())

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def load_params(self, file_name="params.pkl"):
        with open(file_name, "rb") as f:
            self.params = pickle.load(f)
        self.layers["Conv1"].W = self.params["W1"]
        self.layers["Conv1"].b = self.params["b1"]
"""
ROUNDS = """
from net import Net

net = Net()
net.load_params()
x = np_ones = net.params["W1"][:1] * 0 + 1
before = net.predict(x).ravel()
for array in net.params.values():
    array[...] *= 2
print(before.tolist(), net.predict(x).ravel().tolist())
"""


def test_weights_that_were_loaded_are_bound_to_the_layers(tmp_path: Path, capsys: Text) -> None:
    write(tmp_path / "net.py", CLASS_FILE)
    weights = {"W1": np.arange(18.0).reshape(2, 1, 3, 3) / 16, "b1": np.array([1.0, -100.0])}
    (tmp_path / "params.pkl").write_bytes(pickle.dumps(weights))
    assert main(["book", str(write(tmp_path / "script.py", ROUNDS))]) == 0
    # 0..8 sixteenths sum to 2.25, and 1 is added; the second filter is below 0.
    assert capsys.readouterr().out == "[3.25, 0.0] [6.5, 0.0]\n"


# --- where it runs, and with what ---


@pytest.mark.parametrize(
    ("start", "name"), [(".", "ch07/script.py"), ("ch07", "script.py"), ("other", "../ch07/script.py")]
)
def test_it_runs_in_its_own_folder_from_any_other(
    start: str, name: str, tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path / "ch07" / "script.py",
        "import os, pathlib, sys\nprint(os.getcwd())\nprint(pathlib.Path('beside.txt').read_text())\n"
        "print(sys.argv[1:], __name__)\n",
    )
    write(tmp_path / "ch07" / "beside.txt", "found")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / start)
    assert main(["book", name, "--seed", "5", "x"]) == 0
    folder = os.path.realpath(tmp_path / "ch07")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [folder, "found", "['--seed', '5', 'x'] __main__"]
    assert captured.err == ""


def test_afterwards_all_is_as_it_was(tmp_path: Path, capsys: Text) -> None:
    before = os.getcwd(), list(sys.path), list(sys.argv), pickle.load, pickle.Unpickler, sys.modules["__main__"]
    script = write(
        tmp_path / "script.py", "import sys\nsys.path.append('/nowhere')\nsys.argv = []\nraise SystemExit(7)\n"
    )
    assert main(["book", str(script)]) == 7
    assert (os.getcwd(), sys.path, sys.argv, pickle.load, pickle.Unpickler, sys.modules["__main__"]) == before


def test_a_seed_is_as_if_the_script_began_with_it(tmp_path: Path, capsys: Text) -> None:
    script = write(tmp_path / "script.py", "import numpy as np\nprint(np.random.rand())\n")
    assert main(["book", "--seed", "3", str(script)]) == 0
    np.random.seed(3)
    assert capsys.readouterr().out == f"{np.random.rand()}\n"


@pytest.mark.parametrize(("leaves", "code"), [("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit('no')", 1)])
def test_the_exit_code_is_the_scripts(leaves: str, code: int, tmp_path: Path) -> None:
    assert main(["book", str(write(tmp_path / "script.py", f"import sys\n{leaves}\n"))]) == code


def test_what_a_script_raises_is_told_from_the_script_on(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = write(tmp_path / "ch06" / "script.py", "def f():\n    return 1 / 0\n\n\nf()\n")
    monkeypatch.chdir(tmp_path)
    assert main(["book", "ch06/script.py"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[0] == "Traceback (most recent call last):"
    assert err.count(f'File "{script}"') == err.count('File "') == 2
    assert err.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_a_script_that_is_no_python_is_told(tmp_path: Path, capsys: Text) -> None:
    assert main(["book", str(write(tmp_path / "script.py", "print 'Python 2'\n"))]) == 1
    assert "SyntaxError" in capsys.readouterr().err


def test_what_the_second_volume_has_is_told_to_be_missing(tmp_path: Path, capsys: Text) -> None:
    script = write(tmp_path / "script.py", "from common.time_layers import *\n")
    assert main(["book", str(script)]) == 1
    assert "common.time_layers is not a module that chapters 4 to 8" in capsys.readouterr().err


def test_without_matplotlib_it_is_said_what_to_install(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert main(["book", str(write(tmp_path / "script.py", "import matplotlib.pyplot as plt\n"))]) == 1
    assert "pip install 'chainrule[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--seed", "-1", "x.py"], ["--seed"], ["--color", "red", "x.py"]])
def test_wrong_arguments_are_exit_2(arguments: list[str], capsys: Text) -> None:
    with pytest.raises(SystemExit) as left:
        main(["book", *arguments])
    assert left.value.code == 2
    assert "usage: chainrule book" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["nowhere.py", "."])
def test_a_script_that_is_not_there_is_exit_2(script: str, tmp_path: Path) -> None:
    done = started(script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("chainrule: error: ")


# --- pickles ---

READS = "import pickle\nwith open('file.pkl', 'rb') as f:\n    found = {call}\nprint(found)\n"
PLAIN: Any = {
    "losses": [2.5, np.float64(0.25), 3],
    "name": "run",
    "none": None,
    "deep": {"a": {1: (2, "b", np.float32(1.5))}},
    "yes": True,
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", ["pickle.load(f)", "pickle.loads(f.read())", "pickle.Unpickler(f).load()"])
def test_plain_pickles_load(call: str, protocol: int, tmp_path: Path, capsys: Text) -> None:
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(PLAIN, protocol))
    assert main(["book", str(write(tmp_path / "script.py", READS.format(call=call)))]) == 0
    assert capsys.readouterr().out == f"{PLAIN}\n"


def test_several_pickles_in_one_file_are_read_one_after_the_other(tmp_path: Path, capsys: Text) -> None:
    (tmp_path / "file.pkl").write_bytes(pickle.dumps([1.5]) + pickle.dumps(np.arange(3)) + pickle.dumps("end"))
    script = write(
        tmp_path / "script.py",
        "from pickle import load\nwith open('file.pkl', 'rb') as f:\n    while True:\n        try:\n"
        "            print(load(f, encoding='latin1'))\n        except EOFError:\n            break\n",
    )
    assert main(["book", str(script)]) == 0
    assert capsys.readouterr().out.splitlines() == ["[1.5]", "[0 1 2]", "end"]


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return eval, (f"open({str(self.path)!r}, 'w')",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", ["pickle.load(f)", "pickle.loads(f.read())", "pickle.Unpickler(f).load()"])
def test_a_pickle_that_runs_code_is_a_named_error(call: str, protocol: int, tmp_path: Path, capsys: Text) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "file.pkl").write_bytes(pickle.dumps({"W1": [Runs(ran)]}, protocol))
    assert main(["book", str(write(tmp_path / "script.py", READS.format(call=call)))]) == 1
    assert not ran.exists()
    last = capsys.readouterr().err.splitlines()[-1]
    assert "DataError" in last
    assert "it names " in last
    assert "eval" in last


@pytest.mark.parametrize(
    ("thing", "match"),
    [
        ({(1, 2): 3}, "a key in it is of type tuple"),
        ([{1, 2}], "it names '(builtins|__builtin__).set'|holds more than"),
        ([np.dtype("f8")], "a dtype"),
        ((np.dtype("f8"),), "it holds a tuple that is incomplete"),
        ([np.zeros(2, object)], "dtype 'O8'"),
        ([1j], "it names '(builtins|__builtin__).complex'"),
        ([book.Trainer], "it names 'chainrule"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_is_not_plain_is_refused(thing: Any, match: str, protocol: int, tmp_path: Path) -> None:
    import re

    from chainrule import DataError
    from chainrule.book.pickles import loads

    with pytest.raises(DataError) as caught:
        loads(pickle.dumps(thing, protocol))
    assert re.search(match, str(caught.value))


# --- pictures ---

DRAWS = """
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
plt.figure()
plt.figure()
plt.show()
print(plt.get_fignums())
"""


@pytest.mark.parametrize("environment", [{}, {"MPLBACKEND": "Agg"}])
def test_pictures_that_cannot_be_shown_are_saved_and_told(environment: dict[str, str], tmp_path: Path) -> None:
    script = write(tmp_path / "ch06" / "draws.py", DRAWS)
    (tmp_path / "draws-2.png").write_bytes(b"of somebody else")
    done = started(script, cwd=tmp_path, **environment)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    here = Path(os.path.realpath(tmp_path))
    saved = [here / name for name in ("draws.png", "draws-3.png", "draws-4.png")]
    assert done.stderr.splitlines() == [f"chainrule: picture saved: {path}" for path in saved]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in saved)
    assert (tmp_path / "draws-2.png").read_bytes() == b"of somebody else"
    assert list((tmp_path / "ch06").iterdir()) == [script]


def test_a_picture_that_cannot_be_saved_does_not_stop_the_script(tmp_path: Path, capsys: Text) -> None:
    import matplotlib.pyplot as plt

    from chainrule.book import display
    from chainrule.book.pictures import show

    with display.pictures_of(tmp_path / "gone" / "script.py"):
        display._folder = tmp_path / "gone"
        plt.figure()
        show()
    assert "picture not saved" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "shows"),
    [({"MPLBACKEND": "TkAgg"}, True), ({"MPLBACKEND": "agg"}, False), ({"MPLBACKEND": "pdf", "DISPLAY": ":0"}, False)],
)
def test_the_users_backend_decides(environment: dict[str, str], shows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.book.display import can_show

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert can_show() == shows


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="there is always a display")
def test_without_a_display_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.book.display import can_show

    for name in ("MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not can_show()


# --- the book's loop, over ours ---

LOOP = (
    HEAD
    + """
import numpy as np
from dataset.mnist import load_mnist
from common.multi_layer_net import MultiLayerNet
from common.trainer import Trainer

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
network = MultiLayerNet(input_size=784, hidden_size_list=[20], output_size=10)
trainer = Trainer(network, x_train[:200], t_train[:200], x_test[:100], t_test[:100], epochs=2, mini_batch_size=100)
trainer.train()
"""
)


def test_the_trainer_prints_what_the_books_prints(tmp_path: Path, capsys: Text) -> None:
    assert runner.run(write(tmp_path / "ch06" / "loop.py", LOOP), seed=0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "train loss", "=== epoch", "train loss", "train loss", "=== epoch", "train loss",
        "=============== Final Test Accuracy ===============", "test acc",
    ]  # fmt: skip
    assert lines[1].startswith("=== epoch:1, train acc:0.")
    assert ", test acc:0." in lines[1]
    assert lines[1].endswith(" ===")
    assert 0 < float(lines[-1].partition(":")[2]) < 1
