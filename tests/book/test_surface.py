"""What the book's package looks like from outside: its docstrings, and what its star imports may bring."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
from numpydoc.validate import validate

import chainrule
from chainrule import book

FOLDER = "chainrule.book."
MODULES = ["ch04", "ch07", "ch08", *(f"common.{name}" for name in ("layers", "trainer", "util"))]
MODULES += ["common.multi_layer_net", "common.multi_layer_net_extend"]
#: Told once, in the base class of all layers.
SHARED = ("forward", "backward")


def own() -> dict[str, Any]:
    """Give what the package defines itself and shows: classes, functions, and methods of those classes."""
    found: dict[str, Any] = {}
    for place in MODULES:
        module = importlib.import_module(FOLDER + place)
        for name in module.__all__:
            thing = getattr(module, name)
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            found[f"{place}.{name}"] = thing
            for method, value in inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else ():
                if method[0] != "_" and not (method in SHARED and not value.__doc__):
                    found[f"{place}.{name}.{method}"] = value
    return found


OWN = own()


def test_there_is_something_to_look_at() -> None:
    assert {
        "ch07.SimpleConvNet.load_params",
        "common.layers.Dropout.forward",
        "common.trainer.Trainer.train",
    } <= OWN.keys()


@pytest.mark.parametrize("name", OWN)
def test_its_docstring_tells_every_parameter(name: str) -> None:
    wrong = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR04", "PR07"}
    assert [text for code, text in validate(FOLDER + name)["errors"] if code in wrong] == []


@pytest.mark.parametrize("name", [name for name, thing in OWN.items() if inspect.isclass(thing)])
def test_a_class_tells_its_source_and_shows_an_example(name: str) -> None:
    text = inspect.getdoc(OWN[name]) or ""
    assert "Deep Learning from Scratch" in text
    assert ">>> " in text


def test_a_star_import_brings_no_module_but_np() -> None:
    names: dict[str, Any] = {}
    exec("from chainrule.book import *", names)
    modules = {name for name, thing in names.items() if inspect.ismodule(thing)}
    assert modules == {"np"}


def test_no_module_of_it_hides_a_name_of_chainrule() -> None:
    modules = {name for name, thing in vars(book).items() if inspect.ismodule(thing) and name[0] != "_"} - {"np"}
    assert modules & ({*chainrule.__all__, *book.__all__, "history", "load", "layers"}) == set()
