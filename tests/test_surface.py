"""What the package looks like from outside: its names, its documentation, what an import costs, what is in the box."""

from __future__ import annotations

import ast
import importlib.metadata
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
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import chainrule
import seed_reference as seed
from chainrule import _kernels

ROOT = Path(__file__).parents[1]
CRATES = [ROOT / "rust" / name for name in ("gradcheck", "kernels", "bindings")]

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


def sections(thing: Any) -> NumpyDocString:
    """Give the sections of the docstring, by their titles."""
    return NumpyDocString(inspect.getdoc(thing) or "")


#: The nodes of a graph.
NODES = sorted(
    name for name, thing in vars(chainrule.graph).items() if inspect.isclass(thing) and name.endswith("Layer")
)
#: Not called by users: what comes back from a call, and a protocol. They tell their attributes, or their methods.
NOT_CALLED = {"GradientReport", "ArrayCheck", "Contract", "History", "Layer", "Run"}
#: Public, and imported from a module of their own.
ELSEWHERE = [
    "testing.assert_gradients",
    "sklearn.MLPClassifier",
    *(f"sklearn.MLPClassifier.{method}" for method in ("fit", "partial_fit", "predict", "predict_proba")),
    "graph.sum_to",
    *(f"graph.{node}{method}" for node in NODES for method in ("", ".forward", ".backward")),
]
#: Of a protocol, or called by our own code with what it has checked.
NOT_CHECKING = re.compile(r"Layer\..*|EarlyStopping\..*|Parameters\.hold|.*\.step")

PUBLIC = dict([*public(), *methods()])
CALLED = [
    name
    for name, thing in PUBLIC.items()
    if name not in NOT_CALLED
    and not isinstance(thing, property)
    and not (inspect.isclass(thing) and issubclass(thing, (Exception, dict)))
]
CHECKING = [
    name
    for name in CALLED
    if [parameter for parameter, _ in parameters(PUBLIC[name]) if parameter != "self"]
    and not NOT_CHECKING.fullmatch(name)
]


@pytest.mark.parametrize("name", PUBLIC)
def test_it_has_a_docstring(name: str) -> None:
    assert PUBLIC[name].__doc__


@pytest.mark.parametrize("name", [*CALLED, *ELSEWHERE])
def test_its_docstring_tells_every_parameter_by_name_in_order_with_type_and_meaning(name: str) -> None:
    wrong = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "PR07"}
    assert [text for code, text in validate(f"chainrule.{name}")["errors"] if code in wrong] == []


@pytest.mark.parametrize("name", CALLED)
def test_its_docstring_tells_the_shape_of_every_array(name: str) -> None:
    of_arrays = [p for p in sections(PUBLIC[name])["Parameters"] if "array" in p.type]
    told = re.compile(r"shape|axes|as for `", re.IGNORECASE)
    assert [p.name for p in of_arrays if not told.search(" ".join([p.type, *p.desc]))] == []


@pytest.mark.parametrize("name", CHECKING)
def test_its_docstring_tells_the_errors(name: str) -> None:
    assert sections(PUBLIC[name])["Raises"]


@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("name", NODES)
def test_a_nodes_methods_tell_shapes_and_errors(name: str, method: str) -> None:
    told = sections(getattr(getattr(chainrule.graph, name), method))
    assert [p.name for p in told["Parameters"] if "shape" not in " ".join([p.type, *p.desc])] == []
    assert told["Returns"]
    assert "TypeError" in {entry.type for entry in told["Raises"]}


@pytest.mark.parametrize("name", [name for name, _ in public() if name in CHECKING])
def test_an_argument_that_is_nothing_of_the_kind_raises_what_the_docstring_tells(name: str) -> None:
    needed = [p for p, default in parameters(PUBLIC[name]) if default is inspect.Parameter.empty and p != "args"]
    if needed:
        told = {kind for entry in sections(PUBLIC[name])["Raises"] for kind in entry.type.split(", ")}
        with pytest.raises(Exception) as caught:
            PUBLIC[name](*[object()] * len(needed))
        assert type(caught.value).__name__ in told


@pytest.mark.parametrize("name", ["GradientReport", "ArrayCheck", "Contract", "History", "Run"])
def test_the_docstring_of_a_result_tells_every_attribute(name: str) -> None:
    told = {one for entry in sections(PUBLIC[name])["Attributes"] for one in entry.name.split(", ")}
    assert set(PUBLIC[name].__dataclass_fields__) <= told


def test_the_reference_has_a_place_for_every_public_name() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    placed = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)", pages, re.MULTILINE)
    assert {name for name, _ in public()} - set(placed) == set()
    assert len(placed) == len(set(placed))


# --- the rooms ---

PACKAGE = Path(chainrule.__file__).parent


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


#: What stands around the tutorial's modules: they import it when one of their methods is asked for it, or never.
OUTER = {"checkpoints", "keeping", "plots", "report_page", "sklearn", "cli", "_figure", "_machine", "_download"}
INNER = [path for path in sorted(PACKAGE.rglob("*.py")) if room(path) not in OUTER | {"__init__", "__main__"}]


def imported(path: Path) -> set[str]:
    """Give the rooms of the package that a file imports as it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom) and (node.module or "")[:9] == "chainrule"]
    rooms = {part for node in found for part in (node.module or "").split(".")[1:2]}
    return rooms | {name.name for node in found if node.module == "chainrule" for name in node.names}


@pytest.mark.parametrize("path", INNER, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_tutorials_modules_import_nothing_of_what_stands_around_them(path: Path) -> None:
    assert imported(path) & OUTER == set()


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


def test_the_citation_is_of_the_same_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", text, re.MULTILINE) == [chainrule.__version__]


def test_the_installed_package_has_its_licences_with_it() -> None:
    names = {path.name for path in importlib.metadata.files("chainrule") or []}
    assert {"LICENSE-MIT", "LICENSE-APACHE", "NOTICE"} <= names


def test_every_action_of_a_workflow_is_pinned_to_a_commit() -> None:
    workflows = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    used = re.findall(r"uses: (.*)$", workflows, re.MULTILINE)
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)] == []


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
