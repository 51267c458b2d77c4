"""What the package looks like from outside: its names, its documentation, what an import costs, what is in the box."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
import seed_reference as seed
from chainrule import _kernels

ROOT = Path(__file__).parents[1]
CRATES = [ROOT / "rust" / "kernels", ROOT / "rust" / "bindings"]

FUNCTIONS = [
    "identity_function",
    "step_function",
    "sigmoid",
    "sigmoid_grad",
    "relu",
    "relu_grad",
    "softmax",
    "mean_squared_error",
    "cross_entropy_error",
    "softmax_loss",
    "numerical_gradient",
    "_numerical_gradient_1d",
    "numerical_gradient_2d",
]
CLASSES = ["MulLayer", "AddLayer", "Relu", "Sigmoid", "Affine", "SoftmaxWithLoss", "TwoLayerNet"]
METHODS = [(name, method) for name in CLASSES for method in vars(getattr(seed, name)) if not method.startswith("_")]

Parameters = list[tuple[str, Any]]


# --- names and signatures ---


def parameters(f: Callable[..., Any]) -> Parameters:
    """Give the names and defaults of the parameters of `f`."""
    return [(p.name, p.default) for p in inspect.signature(f).parameters.values()]


def is_called_like(ours: Callable[..., Any], tutorials: Parameters) -> bool:
    """Tell whether `ours` begins with the tutorial's parameters and needs no others."""
    own, n = parameters(ours), len(tutorials)
    return own[:n] == tutorials and all(default is not inspect.Parameter.empty for _, default in own[n:])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_called_like_the_tutorials(name: str) -> None:
    assert is_called_like(getattr(chainrule, name), parameters(getattr(seed, name)))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_made_like_the_tutorials(name: str) -> None:
    assert is_called_like(getattr(chainrule, name), parameters(getattr(seed, name)))


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_is_called_like_the_tutorials(name: str, method: str) -> None:
    ours, tutorials = (getattr(getattr(module, name), method) for module in (chainrule, seed))
    assert is_called_like(ours, parameters(tutorials))


def test_load_mnist_is_called_like_the_tutorials() -> None:
    tutorials: Parameters = [("normalize", True), ("flatten", True), ("one_hot_label", False)]
    assert is_called_like(chainrule.load_mnist, tutorials)


@pytest.mark.parametrize("name", ["init_mnist", "download_mnist"])
def test_a_function_without_arguments_stays_one(name: str) -> None:
    assert is_called_like(getattr(chainrule, name), [])


def test_sum_squared_error_is_there_under_the_second_editions_name() -> None:
    assert is_called_like(chainrule.sum_squared_error, parameters(seed.mean_squared_error))


@pytest.mark.parametrize("name", ["W", "b", "x", "dW", "db", "original_x_shape"])
def test_affine_has_the_tutorials_attribute(name: str) -> None:
    assert hasattr(chainrule.Affine(np.ones((2, 3)), np.ones(3)), name)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("Relu", "mask"),
        ("Sigmoid", "out"),
        ("SoftmaxWithLoss", "loss"),
        ("SoftmaxWithLoss", "y"),
        ("SoftmaxWithLoss", "t"),
    ],
)
def test_a_layer_has_the_tutorials_attribute_none_before_forward(layer: str, name: str) -> None:
    assert getattr(getattr(chainrule, layer)(), name) is None


def test_two_layer_net_has_the_tutorials_attributes() -> None:
    net = chainrule.TwoLayerNet(4, 3, 2, seed=0)
    assert list(net.params) == ["W1", "b1", "W2", "b2"]
    assert list(net.layers) == ["Affine1", "Relu1", "Affine2"]
    assert net.last_layer is net.lastLayer


def test_a_data_error_is_a_value_error() -> None:
    assert chainrule.DataError.__bases__ == (ValueError,)


def test_a_download_error_is_an_os_error() -> None:
    assert chainrule.DownloadError.__bases__ == (OSError,)


@pytest.mark.parametrize("name", ["DataError", "DownloadError"])
def test_an_exception_says_where_it_is_imported_from(name: str) -> None:
    error = getattr(chainrule, name)
    assert error.__module__.split(".")[0] == "chainrule"
    assert error.__doc__


# --- documentation ---


def public() -> Iterator[tuple[str, Any]]:
    for name, thing in vars(chainrule).items():
        shown = name in FUNCTIONS or not name.startswith("_")
        if shown and (inspect.isclass(thing) or inspect.isfunction(thing)):
            yield name, thing


def methods() -> Iterator[tuple[str, Any]]:
    for name, thing in public():
        for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                yield f"{name}.{attribute}", value


def sections(thing: Any) -> list[str]:
    """Give the titles of the numpydoc sections of the docstring."""
    return re.findall(r"^(\w[\w ]*)\n-{3,}$", inspect.getdoc(thing) or "", re.MULTILINE)


TAKES_NO_ARGUMENTS = {"MulLayer", "AddLayer", "Relu", "Sigmoid", "Tanh", "Identity", "SoftmaxWithLoss", "init_mnist"}
# Not made by users: what comes back from a call, a protocol, exceptions, a dict.
NOT_CALLED = {
    "GradientReport",
    "ArrayCheck",
    "Contract",
    "History",
    "Layer",
    "DataError",
    "DownloadError",
    "Parameters",
    "Run",
}


@pytest.mark.parametrize("name", [name for name, _ in [*public(), *methods()]])
def test_it_has_a_docstring(name: str) -> None:
    assert dict([*public(), *methods()])[name].__doc__


@pytest.mark.parametrize("name", [name for name, _ in public() if name not in TAKES_NO_ARGUMENTS | NOT_CALLED])
def test_its_docstring_tells_the_parameters(name: str) -> None:
    assert "Parameters" in sections(getattr(chainrule, name))


@pytest.mark.parametrize("name", ["GradientReport", "ArrayCheck", "Contract", "History", "Run"])
def test_the_docstring_of_a_result_tells_every_attribute(name: str) -> None:
    kind = getattr(chainrule, name)
    assert "Attributes" in sections(kind)
    assert all(re.search(rf"\b{field}\b", kind.__doc__) for field in kind.__dataclass_fields__)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, method in methods()
        if inspect.isfunction(method) and len(parameters(method)) > 1 and name[:6] != "Layer."
    ],
)
def test_the_docstring_of_a_method_with_arguments_has_sections(name: str) -> None:
    assert sections(dict(methods())[name])


@pytest.mark.parametrize("name", [name for name, _ in public() if name not in TAKES_NO_ARGUMENTS | NOT_CALLED])
def test_its_docstring_tells_every_parameter_by_name(name: str) -> None:
    thing = getattr(chainrule, name)
    assert all(re.search(rf"\b{re.escape(parameter)}\b", thing.__doc__) for parameter, _ in parameters(thing))


# --- the import ---


def python(code: str, folder: Path) -> str:
    """Run `code` in a new interpreter in `folder`; it must say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_import_prints_nothing(tmp_path: Path) -> None:
    assert python("import chainrule", tmp_path) == ""


def test_an_import_brings_in_nothing_that_only_some_calls_need(tmp_path: Path) -> None:
    heavy = {
        "argparse",
        "chainrule.cli",
        "chainrule.sklearn",
        "gzip",
        "http.client",
        "PIL",
        "matplotlib",
        "platformdirs",
        "sklearn",
        "ssl",
        "tqdm",
        "urllib.request",
    }
    code = "import sys, numpy; before = set(sys.modules); import chainrule; print(*(set(sys.modules) - before))"
    assert heavy & set(python(code, tmp_path).split()) == set()


def test_an_import_starts_no_thread(tmp_path: Path) -> None:
    assert python("import chainrule, threading; print(threading.active_count())", tmp_path) == "1\n"


@pytest.mark.parametrize("call", ["load_mnist", "init_mnist"])
def test_the_data_is_read_without_writing_or_printing_anything(call: str, tmp_path: Path) -> None:
    assert python(f"import chainrule; chainrule.{call}()", tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


# --- what is in the box ---


def manifest(path: Path) -> dict[str, Any]:
    return tomllib.loads((path / "Cargo.toml").read_text(encoding="utf-8"))


def test_the_version_is_the_workspaces() -> None:
    assert chainrule.__version__ == manifest(ROOT)["workspace"]["package"]["version"]


@pytest.mark.parametrize("crate", CRATES, ids=lambda crate: crate.name)
def test_a_crate_takes_its_version_from_the_workspace(crate: Path) -> None:
    assert manifest(crate)["package"]["version"] == {"workspace": True}


def test_one_extension_serves_every_python() -> None:
    assert Path(_kernels.__file__).name in ("_kernels.abi3.so", "_kernels.pyd")


def test_the_kernels_know_nothing_of_python() -> None:
    text = (ROOT / "rust" / "kernels" / "Cargo.toml").read_text(encoding="utf-8")
    assert not re.search("pyo3|numpy", text, re.IGNORECASE)


def test_the_extension_is_the_only_crate_that_names_pyo3() -> None:
    assert {"pyo3", "numpy"} <= manifest(ROOT / "rust" / "bindings")["dependencies"].keys()


def test_a_type_checker_finds_the_types() -> None:
    package = Path(chainrule.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "_kernels.pyi").is_file()


# --- the Rust sources ---

SOURCES = sorted(path for crate in CRATES for path in (crate / "src").rglob("*.rs"))


def name(path: Path) -> str:
    return path.relative_to(ROOT / "rust").as_posix()


def code(path: Path) -> list[str]:
    """Give the lines before the test module, emptied of what stands behind ``//``."""
    text = path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
    return [line.split("//")[0] for line in text.splitlines()]


def test_there_are_rust_sources() -> None:
    assert {"kernels/src/lib.rs", "bindings/src/lib.rs"} <= set(map(name, SOURCES))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_outside_the_tests_panics_on_purpose(path: Path) -> None:
    panics = re.compile(r"\.unwrap\(\)|\.expect\(|\b(panic|todo|unimplemented|unreachable)!")
    assert [line for line in code(path) if panics.search(line)] == []


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_test_module_is_the_end_of_the_file(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("#[cfg(test)]") <= 1  # `code` relies on it


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_unsafe_says_why_it_is_safe(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.search(r"\bunsafe\b", line.split("//")[0]):
            above = number - 1
            while above >= 0 and lines[above].strip().startswith(("//", "#[")) and "SAFETY:" not in lines[above]:
                above -= 1
            assert "// SAFETY:" in lines[above], f"{path.name}:{number + 1}"
