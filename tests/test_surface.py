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
from chainrule.nn import layers
from chainrule.training import optimizers

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
    for name in chainrule.__all__:
        thing = getattr(chainrule, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing


def methods() -> Iterator[tuple[str, Any]]:
    """Give what no base class has: an override shows what that tells."""
    for name, thing in public():
        for attribute, value in vars(thing).items() if inspect.isclass(thing) else ():
            own = inspect.isfunction(value) or isinstance(value, property)
            if not attribute.startswith("_") and own and overridden(thing, attribute) is None:
                yield f"{name}.{attribute}", value


def ours(thing: Any) -> list[Any]:
    """Give a class, and those it is derived from, as far as they are of this package."""
    return [base for base in getattr(thing, "__mro__", ()) if base.__module__.startswith("chainrule.")]


def overridden(cls: type, attribute: str) -> Any:
    """Give what stands under the name in the first base class of ours that has it; None if none has."""
    return next((vars(base)[attribute] for base in ours(cls)[1:] if attribute in vars(base)), None)


def sections(thing: Any) -> NumpyDocString:
    """Give the sections of the docstring, by their titles."""
    return NumpyDocString(inspect.getdoc(thing) or "")


#: The nodes of a graph, the layers of a network, and the optimizers: classes that differ in a formula.
NODES = sorted(
    name for name, thing in vars(chainrule.graph).items() if inspect.isclass(thing) and name.endswith("Layer")
)
FORMULAS: dict[str, Any] = {
    **{name: getattr(chainrule.graph, name) for name in NODES},
    **{name: thing for name, thing in vars(layers).items() if inspect.isclass(thing) and thing is not layers.Layer},
    **{thing.__name__: thing for thing in vars(optimizers).values() if optimizers.Optimizer in ours(thing)[1:]},
}
OVERRIDES = [
    (f"{name}.{attribute}", value, overridden(thing, attribute))
    for name, thing in FORMULAS.items()
    for attribute, value in vars(thing).items()
    if inspect.isfunction(value) and not attribute.startswith("_") and overridden(thing, attribute) is not None
]
#: What all overrides share, once.
SHARED = [
    "graph.base.Node.backward",
    "graph.base.OneInput.forward",
    "graph.base.TwoInputs.forward",
    "nn.layers.base.BaseLayer.backward",
    "nn.layers.base.BaseLayer.forward",
    "training.optimizers.Optimizer.step",
]
#: Not called by users: what comes back from a call, and a protocol. They tell their attributes, or their methods.
NOT_CALLED = {
    "ArrayCheck",
    "Contract",
    "Evaluation",
    "GradientReport",
    "History",
    "Layer",
    "LearningRates",
    "Pictures",
    "ProblemReport",
    "Run",
    "Table",
}
#: Called by `fit` and the engine: callbacks as `Run` tells, and what they ask of an optimizer, a loss, a history.
BY_FIT = re.compile(
    r"EarlyStopping\..*|Optimizer\.prepare|History\.note"
    r"|Loss\.(in_order|evaluate|accuracy|probabilities|classes|right|score|with_weights|to_read|smoothed)"
)
#: Public, and imported from a module of their own.
ELSEWHERE = [
    "testing.assert_adjoint",
    "testing.assert_gradients",
    "testing.assert_hessian",
    "testing.assert_jacobian",
    "sklearn.MLPClassifier",
    *(f"sklearn.MLPClassifier.{method}" for method in ("fit", "partial_fit", "predict", "predict_proba")),
    "sklearn.ConvClassifier",
    *(f"sklearn.ConvClassifier.{method}" for method in ("fit", "partial_fit", "predict", "predict_proba")),
    "sklearn.MLPRegressor",
    *(f"sklearn.MLPRegressor.{method}" for method in ("fit", "partial_fit", "predict")),
    "graph.sum_to",
    *SHARED,
]
#: Of a protocol, or called by our own code with what it has checked.
NOT_CHECKING = re.compile(r"Layer\..*|Parameters\.hold|.*\.step")

PUBLIC = dict([*public(), *methods()])
CALLED = [
    name
    for name, thing in PUBLIC.items()
    if name not in NOT_CALLED
    and not BY_FIT.fullmatch(name)
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


@pytest.mark.parametrize("name", [*(name for name in CALLED if name not in FORMULAS), *ELSEWHERE])
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
    assert any(sections(one)["Raises"] for one in (PUBLIC[name], *ours(PUBLIC[name])))


def test_there_are_overrides_to_look_at() -> None:
    told = {name for name, _, _ in OVERRIDES}
    assert {"MulLayer.backward", "Affine.forward", "Adam.step", "Relu.backward", "SumLayer.forward"} <= told


@pytest.mark.parametrize("name", SHARED)
def test_what_all_overrides_share_stands_in_the_base(name: str) -> None:
    room, _, method = name.rpartition(".")
    place, _, cls = room.rpartition(".")
    told = sections(getattr(getattr(importlib.import_module(f"chainrule.{place}"), cls), method))
    assert [p.name for p in told["Parameters"] if "shape" not in " ".join([p.type, *p.desc])] == []
    assert told["Returns"]
    assert told["Raises"]


@pytest.mark.parametrize(("method", "base"), [pair[1:] for pair in OVERRIDES], ids=[name for name, _, _ in OVERRIDES])
def test_an_override_repeats_nothing_of_it_and_shows_it_all_the_same(method: Any, base: Any) -> None:
    own = NumpyDocString(inspect.cleandoc(method.__doc__ or ""))
    assert [title for title in ("Parameters", "Returns", "Raises") if own[title]] == []
    assert method.__doc__ or inspect.getdoc(method) == inspect.getdoc(base)


@pytest.mark.parametrize("name", FORMULAS)
def test_its_parameters_are_told_by_the_class_or_its_base(name: str) -> None:
    told = [one for base in ours(FORMULAS[name]) for one in sections(base)["Parameters"]]
    names = {name: one for one in told for name in one.name.split(", ")}
    wanted = [parameter for parameter, _ in parameters(FORMULAS[name])]
    assert [parameter for parameter in wanted if parameter not in names] == []
    assert [one.name for one in told if not (one.type and one.desc)] == []


@pytest.mark.parametrize("name", FORMULAS)
def test_its_class_tells_formula_shapes_and_an_example(name: str) -> None:
    cls = FORMULAS[name]
    text = inspect.cleandoc(cls.__doc__ or "")
    assert re.search(r"``\w+ (=|←) [^`]+``", text)
    if not issubclass(cls, optimizers.Optimizer):
        assert re.search(r"∂out/∂|dL/d|gradient", text)  # the rule beside the operation
        assert "shape" in text or "shape" in (inspect.getdoc(cls.forward) or "")
    assert f">>> {name}(" in text.replace(f"= {name}(", f">>> {name}(")


@pytest.mark.parametrize("name", [name for name, _ in public() if name in CHECKING])
def test_an_argument_that_is_nothing_of_the_kind_raises_what_the_docstring_tells(name: str) -> None:
    needed = [p for p, default in parameters(PUBLIC[name]) if default is inspect.Parameter.empty and p != "args"]
    if needed:
        told = {kind for entry in sections(PUBLIC[name])["Raises"] for kind in entry.type.split(", ")}
        with pytest.raises(Exception) as caught:
            PUBLIC[name](*[object()] * len(needed))
        assert type(caught.value).__name__ in told


@pytest.mark.parametrize(
    "name",
    [
        "ArrayCheck",
        "Contract",
        "Evaluation",
        "GradientReport",
        "History",
        "LearningRates",
        "Pictures",
        "ProblemReport",
        "Run",
        "Table",
    ],
)
def test_the_docstring_of_a_result_tells_every_attribute(name: str) -> None:
    told = {one for entry in sections(PUBLIC[name])["Attributes"] for one in entry.name.split(", ")}
    assert set(PUBLIC[name].__dataclass_fields__) <= told


def test_the_reference_has_a_place_for_every_public_name() -> None:
    reference = sorted((ROOT / "docs" / "api").glob("*.md"))
    # The book's page places names of its own, some of them the same.
    pages = "".join(page.read_text(encoding="utf-8") for page in reference if page.name != "book.md")
    placed = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)", pages, re.MULTILINE)
    assert {name for name, _ in public()} - set(placed) == set()
    assert len(placed) == len(set(placed))


# --- the rooms ---

PACKAGE = Path(chainrule.__file__).parent


def module(path: Path) -> str:
    """Give what a file is imported as, without the package: ``nn.layers.affine``."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


#: What stands around the tutorial's modules: they import it when one of their methods is asked for it, or never.
OUTER = (
    "_machine",
    "book",
    "cli",
    "data.download",
    "data.sets",
    "plotting",
    "sklearn",
    "storage.model_files",
    "training.checkpoints",
)
MODULES = {module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_outer(name: str) -> bool:
    """Tell whether a module, or a name in it, is of what stands around."""
    return f"{name}.".startswith(tuple(f"{outer}." for outer in OUTER))


def imported(path: Path) -> set[str]:
    """Give what a file imports of the package as it is imported itself: modules, and names in them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom) and (node.module or "")[:9] == "chainrule"]
    return {f"{node.module}.{name.name}".removeprefix("chainrule.") for node in found for name in node.names}


@pytest.mark.parametrize("name", [name for name in MODULES if not is_outer(name) and name[:2] != "__"])
def test_the_tutorials_modules_import_nothing_of_what_stands_around_them(name: str) -> None:
    assert [one for one in imported(MODULES[name]) if is_outer(one)] == []


@pytest.mark.parametrize("name", OUTER)
def test_what_stands_around_is_where_it_is_looked_for(name: str) -> None:
    assert name in MODULES


# --- the import ---


def python(code: str, folder: Path) -> str:
    """Run `code` in a new interpreter in `folder`; it must say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_star_import_brings_the_public_names_and_no_module() -> None:
    names: dict[str, Any] = {}
    exec("from chainrule import *", names)
    assert set(chainrule.__all__) <= names.keys()
    assert [name for name, thing in names.items() if inspect.ismodule(thing)] == []
    assert {*FUNCTIONS, *CLASSES, "load_mnist"} <= names.keys()  # the tutorial's


def test_an_import_prints_nothing(tmp_path: Path) -> None:
    assert python("import chainrule", tmp_path) == ""


def test_an_import_brings_in_nothing_that_only_some_calls_need(tmp_path: Path) -> None:
    heavy = {
        "argparse",
        "csv",
        "chainrule.checking.report",
        "chainrule.cli",
        "chainrule.data.folders",
        "chainrule.data.images",
        "chainrule.data.tables",
        "chainrule.plotting.plots",
        "chainrule.plotting.report_page",
        "chainrule.sklearn",
        "chainrule.storage.book_weights",
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

SOURCES = sorted(path for crate in CRATES for path in (crate / "src").rglob("*.rs") if path.name != "tests.rs")


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
