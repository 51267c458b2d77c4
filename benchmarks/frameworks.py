"""Which checker sees which mistake in code for PyTorch and JAX: tests/frameworks.

Run it: ``python benchmarks/frameworks.py`` where both are installed. It prints Markdown tables and writes
target/frameworks.json. What is not installed is left out, and said.

===========  ========================================================================================================
chainrule    `check_gradients` as it comes: killed if the report says wrong, a false alarm if it says so of right
             code; with strict=True where the mistake changes no number of a careful caller's. Named is the cause
             that is written beside the case. The place is judged by differences of one output after the other
             (`places`), where an entry of an argument is named.
gradcheck    `torch.autograd.gradcheck` with its defaults, of the same in float64: tensors of floats that are
             handed over, and a module's parameters.
check_grads  `jax.test_util.check_grads` with its defaults, to the first order, in float32: arrays of floats that are
             handed over, in both modes where there are both.
===========  ========================================================================================================

An error of theirs on a wrong case counts as killed, on a right one as a case that cannot be run. A pair of functions
is what they do not take. Code for JAX is compiled without most optimizations, for all checkers: that is quicker.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import places
import seen
from results import ROOT, TARGET, pipes, write

from chainrule import check_gradients

sys.path.insert(0, str(ROOT / "tests"))

INSTALL = "pip install 'chainrule[frameworks]' pytest"
Case = Callable[[], tuple[Any, ...]]


class NotTakenError(TypeError):
    """What a checker does not take."""


def main(only: Callable[[str], bool] = lambda name: True) -> None:
    """Ask all checkers about all cases, print, and write the JSON."""
    tables: dict[str, Any] = {}
    for framework, ask in (("torch", of_torch), ("jax", of_jax)):
        missing = [name for name in (framework, "pytest") if find_spec(name) is None]
        if missing:
            print(f"### {framework}: not asked; {' and '.join(missing)} not installed: {INSTALL}\n")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tables[framework], title = ask(only)
        print(f"### {title}\n\n{pipes(tables[framework])}\n", flush=True)
    if not tables:
        sys.exit(f"nothing to compare: {INSTALL}")
    write(tables, TARGET / "frameworks.json")


def titled(name: str, version: str, wrong: Sequence[Any], reported: Sequence[Any]) -> str:
    return f"{name} {version}: {len(wrong)} wrong, of which {sum(w in reported for w in wrong)} from public reports"


def ours(wrong: Sequence[Any], right: Mapping[str, Case], judge: Callable[..., bool | None]) -> dict[str, str]:
    """Count what our check says; `judge` tells whether a place is right."""
    killed = named = alarms = unproven = placed = judged = 0
    for case in wrong:
        made = case.make()
        report = check_gradients(*made, strict=getattr(case, "hazard", False))
        place = judge(made[0], made[1:], report)
        judged += place is not None
        placed += place is True
        if place is False:
            print(f"chainrule, another place: {case.name}")
        killed += report.verdict == "wrong"
        named += bool(case.cause) and (report.cause or "").startswith(case.cause)
    for make in right.values():
        verdict = check_gradients(*make()).verdict
        alarms += verdict == "wrong"
        unproven += verdict == "unproven"
    return seen.row(
        "chainrule", (killed, len(wrong)), (alarms, len(right)), refused=0, unproven=str(unproven),
        place=f"{placed} of {judged}", cause=f"{named} of {sum(bool(case.cause) for case in wrong)}",
    )  # fmt: skip


def other(name: str, passes: Callable[..., bool], wrong: Sequence[Any], right: Mapping[str, Case]) -> dict[str, str]:
    """Count what another checker says; and print what it passes, calls wrong, and cannot run."""
    counts = {"killed": 0, "not taken": 0, "alarms": 0, "unable": 0}
    told: dict[str, list[str]] = {"passes": [], "calls wrong": [], "cannot run": []}
    for case in wrong:
        try:
            if passes(*case.make()):
                told["passes"].append(case.name)
            else:
                counts["killed"] += 1
        except NotTakenError:
            counts["not taken"] += 1
        except Exception:  # whatever it raises about a wrong one: it has been noticed
            counts["killed"] += 1
    for which, make in right.items():
        try:
            if not passes(*make()):
                counts["alarms"] += 1
                told["calls wrong"].append(which)
        except Exception:  # a pair, or what it stumbles over
            counts["unable"] += 1
            told["cannot run"].append(which)
    for what, names in told.items():
        print(f"{name} {what}: {', '.join(names) or 'none'}")
    print()
    return seen.row(
        name, (counts["killed"], len(wrong)), (counts["alarms"], len(right)), refused=counts["not taken"],
        unable=counts["unable"],
    )  # fmt: skip


# --- PyTorch ---


def of_torch(only: Callable[[str], bool]) -> tuple[list[dict[str, str]], str]:
    """Give the table of PyTorch's code, and its title."""
    torch: Any = import_module("torch")
    code, issues, correct = (import_module(f"frameworks.torch_{name}") for name in ("wrong", "issues", "right"))
    wrong = [case for case in code.WRONG + issues.ISSUES if only(case.name)]
    right = {name: seeded(torch, make) for name, make in correct.RIGHT.items() if only(name)}
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [ours(wrong, right, places.of_torch)]
    twice = {name: lambda make=make: tuple(map(correct.doubled, make())) for name, make in right.items()}
    theirs = other("gradcheck", by_gradcheck, wrong, twice)
    return [*rows, theirs], titled("torch", torch.__version__.partition("+")[0], wrong, issues.ISSUES)


def seeded(torch: Any, make: Case) -> Case:
    def made() -> tuple[Any, ...]:
        torch.manual_seed(0)
        return make()

    return made


def by_gradcheck(thing: Any, *args: Any) -> bool:
    """Tell whether gradcheck passes it."""
    torch: Any = import_module("torch")
    tools: Any = import_module("torch.utils._pytree")
    if isinstance(thing, tuple):
        raise NotTakenError("a pair of functions")
    leaves, tree = tools.tree_flatten(args)
    places = [i for i, leaf in enumerate(leaves) if torch.is_tensor(leaf) and leaf.is_floating_point()]
    inputs = [leaves[i].detach().clone().requires_grad_() for i in places]
    parameters = [p for p in thing.parameters() if p.requires_grad] if isinstance(thing, torch.nn.Module) else []

    def function(*tensors: Any) -> Any:
        given = list(leaves)
        for i, tensor in zip(places, tensors, strict=False):
            given[i] = tensor
        found, _ = tools.tree_flatten(thing(*tools.tree_unflatten(given, tree)))
        return tuple(out for out in found if torch.is_tensor(out) and out.is_floating_point())

    return bool(torch.autograd.gradcheck(function, (*inputs, *parameters), raise_exception=False))


# --- JAX ---


def of_jax(only: Callable[[str], bool]) -> tuple[list[dict[str, str]], str]:
    """Give the table of JAX's code, and its title."""
    jax: Any = import_module("jax")
    code, issues = (import_module(f"frameworks.jax_{name}") for name in ("code", "issues"))
    wrong = [case for case in code.WRONG + issues.ISSUES if only(case.name)]
    right = {name: make for name, make in code.RIGHT.items() if only(name)}
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        rows = [ours(wrong, right, places.of_jax)]
        theirs = other("check_grads", by_check_grads, wrong, right)
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    return [*rows, theirs], titled("jax", jax.__version__, wrong, issues.ISSUES)


def by_check_grads(thing: Any, *args: Any) -> bool:
    """Tell whether check_grads passes it."""
    jax, tools = import_module("jax"), import_module("jax.test_util")
    if isinstance(thing, tuple):
        raise NotTakenError("a pair of functions")
    leaves, tree = jax.tree_util.tree_flatten(args)
    floating = jax.numpy.floating
    arrays = [hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, floating) for leaf in leaves]
    places = [i for i, leaf in enumerate(leaves) if (arrays[i] if any(arrays) else isinstance(leaf, float))]
    values = tuple(jax.numpy.asarray(leaves[i]) for i in places)

    def function(*arrays: Any) -> Any:
        given = list(leaves)
        for i, array in zip(places, arrays, strict=True):
            given[i] = array
        found = jax.tree_util.tree_leaves(thing(*jax.tree_util.tree_unflatten(tree, given)))
        return [out for out in found if jax.numpy.issubdtype(out.dtype, floating)]

    try:
        tools.check_grads(function, values, order=1, modes=modes(jax, function, values))
    except AssertionError:
        return False
    return True


def modes(jax: Any, function: Callable[..., Any], values: tuple[Any, ...]) -> list[str]:
    """Give the modes that there are: a function with a rule for one has no other."""
    found = []
    for mode, derivative in (("fwd", jax.jacfwd), ("rev", jax.jacrev)):
        try:
            derivative(function)(*values)
        except Exception:  # there is none, or it cannot be run: what is left is asked
            continue
        found.append(mode)
    return found or ["fwd", "rev"]


if __name__ == "__main__":
    main()
