"""Ctrl-C at the first moments of a command: while it is imported, while its arguments are read."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from chainrule import cli
from chainrule.cli import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's SIGINT")

#: What the installed script does.
SCRIPT = "from chainrule_command import main; sys.exit(main())"
#: Ctrl-C is heard, even if whoever started the tests has it ignored.
HEARD = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
#: Ctrl-C when a module is about to be imported: Python asks each finder for it.
AT_IMPORT = """
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            print("reached", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""
#: Ctrl-C so many seconds after that, from a thread of its own.
AFTER_IMPORT = """
import threading
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "chainrule":
            threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.meta_path.insert(0, Interrupt())
"""
#: Ctrl-C when a class of Cython's, which numpy.random is written in, becomes a sequence.
AT_REGISTERING = """
import abc, collections.abc
register = abc.ABCMeta.register
def interrupt(cls, subclass):
    if cls is collections.abc.Sequence and subclass.__module__.startswith("numpy.random"):
        print("reached", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    return register(cls, subclass)
abc.ABCMeta.register = interrupt
"""
#: Ctrl-C when NumPy is asked for its version, as rust-numpy asks.
AT_VERSION = """
import numpy.lib
class Interrupted(numpy.lib.NumpyVersion):
    def __init__(self, version):
        print("reached", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        super().__init__(version)
numpy.lib.NumpyVersion = Interrupted
"""


def python(*code: str, arguments: tuple[str, ...] = ("info",)) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "\n".join([HEARD, *code]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_installed_script_starts_outside_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"chainrule": "chainrule_command:main"}


def test_what_it_starts_in_imports_nothing_that_takes_long() -> None:
    done = python("before = set(sys.modules); import chainrule_command; print(*sorted(set(sys.modules) - before))")
    assert (done.stdout, done.stderr) == ("__future__ chainrule_command\n", "")


@pytest.mark.fault("T8b")
@pytest.mark.parametrize(
    "name",
    [
        "chainrule",
        "numpy",
        "numpy._core._multiarray_umath",
        "chainrule._kernels",
        "chainrule.nn.engine",
        "chainrule.training.fit",
        "argparse",
        "chainrule.cli",
        "chainrule.cli.train",
    ],
)
def test_t8b_ctrl_c_while_the_command_is_imported_ends_with_130_and_one_line(name: str) -> None:
    done = python(AT_IMPORT.format(name=name), SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "reached\n", "chainrule: interrupted\n")


@pytest.mark.fault("T8b")
def test_t8b_ctrl_c_in_a_callback_which_lets_no_exception_out_ends_the_import_too() -> None:
    """Python prints an exception of a finalizer, and goes on."""
    finalizer = "class Last:\n    def __del__(self): os.kill(os.getpid(), signal.SIGINT); sum(range(1000))"
    dropped = "class Drop:\n    def find_spec(self, name, path=None, target=None): name == 'numpy' and Last()"
    done = python(finalizer, dropped, "sys.meta_path.insert(0, Drop())", SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "chainrule: interrupted\n")


@pytest.mark.fault("T8b")
def test_t8b_what_hears_no_ctrl_c_while_it_is_imported_is_imported_with_the_command() -> None:
    """Cython's modules drop an exception that comes while they register with an abstract class: the run would go on."""
    done = python(AT_REGISTERING, SCRIPT, arguments=("train", "--epochs", "1000000"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "reached\n", "chainrule: interrupted\n")


@pytest.mark.fault("T8b")
def test_t8b_ctrl_c_while_numpy_says_its_version_is_an_interrupt_and_no_panic() -> None:
    done = python(AT_VERSION, "import chainrule")
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "reached\n")
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.fault("T8b")
@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3])
def test_t8b_ctrl_c_at_any_other_moment_ends_with_130_and_one_line(seconds: float, digits: str) -> None:
    """How far the command has come by then is the machine's affair; how it ends is not."""
    arguments = ("train", "--data-dir", digits, "--epochs", "1000000")
    done = python(AFTER_IMPORT.format(seconds=seconds), SCRIPT, arguments=arguments)
    assert (done.returncode, done.stderr) == (130, "chainrule: interrupted\n")


@pytest.mark.fault("T8b")
@pytest.mark.parametrize("name", ["chainrule.cli", "chainrule.cli.train"])
@pytest.mark.parametrize("module", ["chainrule", "chainrule.book"])
def test_t8b_python_m_listens_as_soon_as_the_package_is_there(name: str, module: str) -> None:
    run = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    done = python(AT_IMPORT.format(name=name), run)
    assert (done.returncode, done.stdout, done.stderr) == (130, "reached\n", "chainrule: interrupted\n")


@pytest.mark.fault("T8b")
def test_t8b_ctrl_c_while_a_command_imports_what_it_alone_needs_ends_with_130(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.touch()
    done = python(AT_IMPORT.format(name="chainrule.book.runner"), SCRIPT, arguments=("book", str(script)))
    assert (done.returncode, done.stdout, done.stderr) == (130, "reached\n", "chainrule: interrupted\n")


@pytest.mark.fault("T8b")
@pytest.mark.parametrize("name", ["hold_any_text", "build_parser"])
def test_t8b_ctrl_c_while_the_arguments_are_read_ends_with_130(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, name, interrupted)
    assert main(["info"]) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "chainrule: interrupted\n")


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    """As behind ``nohup``."""
    done = python("signal.signal(signal.SIGINT, signal.SIG_IGN)", AT_IMPORT.format(name="numpy"), SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("reached\nchainrule ")


def test_the_command_listens_to_ctrl_c_as_python_does_once_it_is_imported() -> None:
    print_handler = "import chainrule.cli; chainrule.cli.main = lambda _: print(signal.getsignal(signal.SIGINT)) or 3"
    done = python(print_handler, SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (3, "<built-in function default_int_handler>\n", "")


def test_a_package_that_is_missing_is_told_as_python_tells_it() -> None:
    done = python("sys.modules['numpy'] = None", SCRIPT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback ")
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: ")
