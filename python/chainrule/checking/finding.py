"""What there is to check in a module: layers, networks, losses and pairs of functions, by the names that they go by."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from chainrule.checking.arguments import is_for_others
from chainrule.checking.guesses import LOSSES
from chainrule.checking.jacobian.hessian import HessianSubject
from chainrule.checking.jacobian.subject import JacobianSubject
from chainrule.checking.pair import BothSubject, PairSubject
from chainrule.checking.subject import Subject
from chainrule.checking.subjects import KINDS

#: In the name of a function that goes forwards, and in that of the one that goes back.
COUNTERPARTS = (
    ("forward", "backward"), ("Forward", "Backward"), ("fwd", "bwd"), ("fprop", "bprop"), ("forwards", "backwards"),
    ("feedforward", "backprop"), ("_fw", "_bw"), ("fw_", "bw_"),
)  # fmt: skip
#: What the gradient of ``f`` is called; underscores and capitals do not count.
GRADIENTS = (
    "grad{}", "{}grad", "d{}", "{}d", "{}gradient", "gradient{}", "{}derivative", "derivative{}", "{}prime", "prime{}",
    "{}deriv", "deriv{}", "{}der", "der{}", "{}derivate", "{}backward", "backward{}", "{}bprop", "{}backprop", "{}bwd",
    "{}dx", "{}delta", "{}grads", "{}gradients", "grads{}", "nabla{}", "{}back",
)  # fmt: skip
#: What the Jacobian of ``f`` is called, and its Hessian, which is held against its gradient.
JACOBIANS = ("{}jac", "jac{}", "{}jacobian", "jacobian{}", "j{}", "{}j")
HESSIANS = ("{}hess", "hess{}", "{}hessian", "hessian{}")

#: Arguments that ask a function for its derivative instead of its value: ``sigmoid(x, deriv=True)``.
FLAGS = ("derivative", "deriv", "derivate", "derive", "der", "prime", "grad", "gradient", "diff", "derivation")


@dataclass(frozen=True)
class Found:
    """One thing to check: a class, an object, two functions or one."""

    name: str
    kind: type[Subject]
    thing: Any
    #: What its arguments go to: a method's name, or the function's.
    forward: str
    #: Whose line is shown.
    backward: Any = None

    def function(self, subject: Any) -> Any:
        """Give what goes forwards, of an object that has been made."""
        if isinstance(subject, tuple):
            return subject[0]
        return subject if inspect.isroutine(subject) else getattr(subject, self.forward)

    def derivative(self, subject: Any) -> Any:
        """Give what goes back."""
        return subject[1] if isinstance(subject, tuple) else getattr(subject, self.backward.__name__)

    @property
    def line(self) -> int | None:
        """The line that backward begins in."""
        return line_of(self.backward) or line_of(self.thing)

    @property
    def is_loss(self) -> bool:
        """Whether it gives a number to be made small, as far as names tell."""
        names = (self.name.lower(), self.forward.lower())
        return self.kind.takes_data or self.kind.gives_both or any(word in name for word in LOSSES for name in names)


def line_of(thing: Any) -> int | None:
    """Give the line that a function or class begins in."""
    try:
        return inspect.getsourcelines(inspect.unwrap(thing))[1]
    except (OSError, TypeError, ValueError):
        return None


def find(module: ModuleType, left_out: Iterable[str] = ()) -> Iterator[Found]:
    """Give what there is to check in a module, in the order of its names; nothing that it imports."""
    out = set(left_out)
    own = {name: thing for name, thing in vars(module).items() if name not in out and not name.startswith("_")}
    functions = {n: t for n, t in own.items() if isinstance(t, FunctionType) and t.__module__ == module.__name__}
    pairs = {found.name: found for found in _pairs(functions, own)}
    taken = {id(function) for found in pairs.values() for function in found.thing}
    for name, thing in own.items():
        here = getattr(thing, "__module__", None) == module.__name__
        if isinstance(thing, type):
            if here:
                yield from _of_class(name, thing)
        elif name in pairs:
            yield pairs[name]
        elif isinstance(thing, FunctionType):
            if here and id(thing) not in taken and any(word in name.lower() for word in LOSSES):
                yield Found(name, BothSubject, thing, name, thing)
        elif not isinstance(thing, ModuleType):
            found = _of_object(name, thing, type(thing).__module__ == module.__name__)
            if found is not None:
                yield found


def _of_class(name: str, kind: type) -> Iterator[Found]:
    if inspect.isabstract(kind):
        return
    methods = _methods(kind)
    found = _by_methods(name, kind, methods)
    if found is not None:
        if not is_abstract(methods[found.forward]) and not is_abstract(found.backward):
            yield found
        return
    functions = {n: getattr(kind, n) for n, m in _raw(kind).items() if isinstance(m, staticmethod)}
    for pair in _pairs(functions, functions):
        yield Found(f"{name}.{pair.name}", PairSubject, pair.thing, pair.forward, pair.backward)


def _of_object(name: str, thing: Any, here: bool) -> Found | None:
    found = _by_methods(name, thing, _methods(type(thing)))
    # Of what is defined elsewhere, only what is surely meant to be checked.
    return (
        found if found is None or here or (found.forward == "forward" and not found.kind.gradients_optional) else None
    )


def _by_methods(name: str, thing: Any, methods: Mapping[str, Any]) -> Found | None:
    """Tell what a thing with these methods is, in the order in which the check does."""
    for kind in KINDS:
        names = kind.methods_in(methods)
        if names is not None:
            return Found(name, kind, thing, names[0], methods[names[1]])
    return None


def _methods(kind: type) -> dict[str, Any]:
    """Give the methods of a class, not those that every class has."""
    return {
        n: m.__func__ if isinstance(m, staticmethod | classmethod) else m for n, m in _raw(kind).items() if _calls(m)
    }


def _raw(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        found.update(vars(base))
    return found


def _calls(thing: Any) -> bool:
    return callable(thing) or isinstance(thing, staticmethod | classmethod)


def is_abstract(method: Any) -> bool:
    """Tell whether a method does nothing but raise NotImplementedError, or nothing at all."""
    code = getattr(method, "__code__", None)
    if code is None or is_for_others(method):
        return code is not None
    done = list(dis.get_instructions(code))
    idle = all(step.opname in ("RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST") for step in done)
    return idle and all(step.argval is None for step in done if step.opname.endswith("CONST"))


def _pairs(functions: Mapping[str, FunctionType], around: Mapping[str, Any]) -> Iterator[Found]:
    """Give pairs of functions by their names, under that of the first of the two, if nothing has it."""
    used: set[str] = set()
    plain = {
        plain_name(name): name for name, thing in around.items() if callable(thing) and not isinstance(thing, type)
    }
    for name, function in functions.items():  # x_forward and x_backward, x_backward_alt
        ahead = _ahead_of(name, functions)
        if ahead is not None:
            shown = ahead if ahead not in used else name
            used |= {shown, name}
            yield Found(shown, PairSubject, (functions[ahead], function), ahead, function)
    for name, function in functions.items():
        if name in used:
            continue
        flag = _flag_of(function)
        if flag is not None:
            yield Found(name, PairSubject, (function, partial(function, **{flag: True})), name, function)
            continue
        left = {key: other for key, other in plain.items() if other not in (name, *used)}
        gradient, jacobian = _called(GRADIENTS, name, left), _called(JACOBIANS, name, left)
        first, hessian = gradient or jacobian, _called(HESSIANS, name, left)
        if first is not None:
            kind = PairSubject if gradient is not None else JacobianSubject
            yield Found(name, kind, (function, around[first]), name, around[first])
            if hessian is not None:
                yield Found(hessian, HessianSubject, (around[first], around[hessian]), first, around[hessian])


def _called(patterns: Iterable[str], name: str, left: Mapping[str, str]) -> str | None:
    """Give the first of those that are left which is called by one of the patterns after `name`."""
    return next((left[key] for p in patterns if (key := p.format(plain_name(name))) in left), None)


def _flag_of(function: FunctionType) -> str | None:
    """Give the name of the argument that asks for the derivative, if it is off by default."""
    asked = inspect.signature(function).parameters.values()
    return next((p.name for p in asked if p.name.lower() in FLAGS and p.default is False), None)


def _ahead_of(name: str, functions: Mapping[str, Callable[..., Any]]) -> str | None:
    """Give the name of the function whose way back is called `name`."""
    for ahead, back in COUNTERPARTS:
        if back in name:
            start, _, end = name.rpartition(back)
            ends = [end]
            while "_" in ends[-1]:  # batchnorm_backward_alt goes with batchnorm_forward
                ends.append(ends[-1].rpartition("_")[0])
            for tail in ends:
                if f"{start}{ahead}{tail}" in functions:
                    return f"{start}{ahead}{tail}"
    return None


def plain_name(name: str) -> str:
    """Give a name without capitals and underscores."""
    return name.replace("_", "").lower()
