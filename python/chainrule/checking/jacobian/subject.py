"""A function that gives many numbers, and one that gives all their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.comparison import Comparison
from chainrule.checking.finite_differences import Floats
from chainrule.checking.jacobian.blocks import (
    Block,
    Dense,
    JacobianAnswer,
    block_of,
    by_products,
    is_operator,
    is_sparse,
)
from chainrule.checking.jacobian.comparison import JacobianComparison
from chainrule.checking.jacobian.room import bounds_of, cut
from chainrule.checking.reach import arrays_of
from chainrule.checking.reader import Reader
from chainrule.checking.results import bare, mirrored, outcome_of
from chainrule.checking.subject import Answer, Subject


@dataclass
class JacobianSubject(Subject):
    """Two functions of the same arguments: f, and a function for all its derivatives."""

    #: Names of the outputs and of the numbers of each argument, for the report.
    row_names: Sequence[str] = ()
    column_names: Sequence[str] = ()
    #: Arguments that must stay within bounds: (lower, upper).
    bounds: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    #: The shape of f's result; known after the first call.
    out: tuple[int, ...] = ()
    #: For each argument: a function from w to Jᵀ w, if such products are given too.
    backwards: dict[str, Callable[[Floats], Any]] = field(default_factory=dict)
    kind = "jacobian"
    #: The name of the matrix.
    letter: ClassVar[str] = "J"
    of_functions = True
    forward_name: str = "f"
    backward_name: str = "jac"
    goes_forward_itself = True
    of_vectors = True

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Read two functions, or one and a pair (jvp, vjp)."""
        f, jac = reader.thing
        slots, inputs = reader.slots(f)
        name = getattr(f, "__name__", "f")
        subject = cls(
            (f, jac),
            name,
            slots,
            inputs,
            reader.wrt(inputs),
            held_fixed=arrays_of([one for one in (f, jac) if callable(one)]),
        )
        subject.forward_name = name
        subject.row_names, subject.column_names = reader.asked.names
        subject.bounds = _bounds(reader.asked.bounds, subject)
        subject.at_one_point = not isinstance(jac, tuple) and (not callable(jac) or is_operator(jac))
        back = jac[0] if isinstance(jac, tuple) else jac
        subject.backward_name = getattr(back, "__name__", type(back).__name__)
        subject.out = reader.quietly(subject.raw_output, inputs).shape
        subject.expect_fitting()
        return [subject]

    def expect_fitting(self) -> None:
        """Raise ValueError unless there are as many names as outputs or columns."""
        sizes = [math.prod(self.out), *(a.size for a in self.movable.values())][:2]
        for what, names, size in zip(("row", "column"), (self.row_names, self.column_names), sizes, strict=False):
            if names and len(names) != size:
                raise ValueError(f"there are {len(names)} {what}_names, but {size} {what}s")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out everything that jac is needed for: workers only need f."""
        return {**self.__dict__, "backwards": {}}

    def called(self, name: str) -> str:
        """Give the name of the matrix for an argument."""
        return self.letter if len(self.movable) == 1 else f"{self.letter}_{name}"

    def comparison(self) -> type[Comparison]:
        """Compare matrices."""
        return JacobianComparison

    def raw_output(self) -> FloatArray:
        """Give the result of f, as one array."""
        arrays = outcome_of(self.thing[0](*self.handed()), self.thing[0], self.forward_name, cached=False).arrays
        return arrays[0] if len(arrays) == 1 else np.concatenate([a.reshape(-1) for a in arrays])

    def with_inputs(self, inputs: Mapping[str, Any]) -> Subject:
        """Give the same subject with other arguments, within the bounds."""
        bounds = {name: cut(pair, inputs[name].shape) for name, pair in self.bounds.items()}
        clipped = {name: np.clip(inputs[name], *pair) for name, pair in bounds.items()}
        other = super().with_inputs({**inputs, **clipped})
        other.bounds = bounds  # type: ignore[attr-defined]
        return other

    def outputs(self) -> list[FloatArray]:
        """Give the outputs."""
        return [self.raw_output()]

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give the derivatives with respect to each argument."""
        jac = self.thing[1]
        if isinstance(jac, tuple) and any(map(callable, jac)):
            return self._by_products(*jac)
        returned = jac(*self.handed()) if callable(jac) and not is_operator(jac) else jac
        if returned is None:
            raise TypeError(f"{self.full_name(self.backward_name)} gives None; it must give the derivatives")
        answer = JacobianAnswer({}, {})
        for name, value in self._blocks(returned).items():
            if value is None:
                continue
            shape = self.inputs[name].shape
            block = block_of(value, self.out, shape, self.full_name(self.backward_name))
            if block is None:
                answer.misshapen[name] = value
                block_numbers = np.asarray(value.tocoo().data if is_sparse(value) else value)
                answer.gradients[name] = block_numbers if block_numbers.dtype != object else np.zeros(0)
                continue
            answer.blocks[name] = block
            answer.gradients[name] = block.numbers
            if is_operator(value) and _goes_back(value):
                self.backwards[name] = value.rmatvec
            own = value if isinstance(value, np.ndarray) else getattr(value, "data", None)
            if isinstance(own, np.ndarray) and own.dtype != object:  # a lil_matrix holds lists
                answer.gradients[name] = answer.returned[name] = own
        return self._noted(answer)

    def _noted(self, answer: JacobianAnswer) -> JacobianAnswer:
        answer.of_inputs = True
        answer.unasked = tuple(n for n in self.movable if n not in answer.gradients)
        answer.gradients |= dict.fromkeys(answer.unasked)
        return answer

    def _by_products(self, jvp: Any, vjp: Any) -> JacobianAnswer:
        """Give the derivatives in the form of products: ``jvp(*args, *vs)`` and ``vjp(*args, w)``."""
        answer, names = JacobianAnswer({}, {}), list(self.movable)
        shapes = {name: self.inputs[name].shape for name in names}
        size = math.prod(self.out)

        def forwards(name: str) -> Callable[[Floats], Any]:
            def product(v: Floats) -> Any:
                vs = [v.reshape(shapes[n]) if n == name else np.zeros(shapes[n]) for n in names]
                return jvp(*self.handed(), *vs)

            return product

        for name in names:
            if jvp is None:
                rows = [np.ravel(self._product_back(vjp, name, w)) for w in np.eye(size)]
                block: Block = Dense((size, math.prod(shapes[name])), np.array(rows, np.float64))
            else:
                block = by_products(forwards(name), (size, math.prod(shapes[name])))
            answer.blocks[name], answer.gradients[name] = block, block.numbers
            if vjp is not None and jvp is not None:
                self.backwards[name] = partial(self._product_back, vjp, name)
        return self._noted(answer)

    def _product_back(self, vjp: Any, name: str, w: Floats) -> Any:
        return self._blocks(vjp(*self.handed(), w.reshape(self.out)))[name]

    def _blocks(self, returned: Any) -> dict[str, Any]:
        """Assign each block to its argument: by name, or in the order of those that can be moved."""
        names = list(self.movable)
        deep = mirrored(returned, self.slots)
        if deep is not None:
            return {name: deep.get(name) for name in names}
        if isinstance(returned, Mapping) and not is_sparse(returned):  # a dok_matrix is a dict
            keys = {str(key): value for key, value in returned.items()}
            found = {n: keys.get(n, keys.get(bare(n))) for n in names}
            unknown = [key for key in keys if not any(key in (n, bare(n)) for n in names)]
            if unknown:
                raise ValueError(
                    f"{self.full_name(self.backward_name)} gives blocks named {', '.join(unknown)}, but the arguments"
                    f" are {', '.join(names)}"
                )
            return found
        several = isinstance(returned, tuple) or (
            isinstance(returned, list) and len(names) > 1 and any(np.ndim(a) > 0 or is_sparse(a) for a in returned)
        )
        if several and len(returned) != len(names) and len(self.inputs) == 1 and self._fits(returned, names[0]):
            several = False  # a tuple of rows, or of numbers
        if not several:
            if self.wrt is None and len(names) > 1:
                return {next((n for n in names if self._fits(returned, n)), names[0]): returned}
            return {names[0]: returned} if names else {}
        if len(returned) != len(names) and len(returned) == len(self.inputs):
            pairs = zip(self.inputs, returned, strict=True)  # perhaps None for arguments that cannot be moved
            return {n: block for n, block in pairs if n in names}
        if len(returned) != len(names):
            raise ValueError(
                f"{self.full_name(self.backward_name)} gives {len(returned)} blocks for {len(names)} arguments"
                f" ({', '.join(names) or 'none'}); name the arguments they belong to with wrt="
            )
        return dict(zip(names, returned, strict=True))

    def _fits(self, value: Any, name: str) -> bool:
        try:
            return block_of(value, self.out, self.inputs[name].shape, "jac") is not None
        except (TypeError, ValueError):
            return False


def _bounds(bounds: Any, subject: Subject) -> dict[str, tuple[Any, Any]]:
    """Give the bounds of each argument that has any; `bounds` is for the first argument, or a dict by name."""
    if bounds is None:
        return {}
    by_name = dict(bounds) if isinstance(bounds, Mapping) else dict.fromkeys(list(subject.movable)[:1], bounds)
    for name in by_name:
        if name not in subject.movable:
            raise ValueError(f"bounds names {name!r}, but the arguments are {', '.join(subject.movable) or 'none'}")
    return {name: bounds_of(pair, subject.inputs[name], name) for name, pair in by_name.items()}


def _goes_back(operator: Any) -> bool:
    """Tell whether an operator gives products with its transpose; a SciPy operator always has the method."""
    try:
        operator.rmatvec(np.zeros(operator.shape[0]))
    except (AttributeError, NotImplementedError):
        return False
    return True
