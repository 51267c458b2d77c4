"""A training run on disk: everything needed to continue as if it had never been interrupted.

The file is that of a network (see `storage/model_files.py`), so `load` reads it. Beside the parameters it holds, as
arrays, the state of the optimizer, the history, the rows held out for validation, and the state of callbacks. The
metadata holds the state of the generator, the settings of the run and the instruction set that computed it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._errors import DataError
from chainrule._gate import FloatArray, count, real
from chainrule._warn import warn
from chainrule.nn.network import params_of
from chainrule.storage import model_files
from chainrule.training.callbacks import Run
from chainrule.training.history import History
from chainrule.training.optimizers import Optimizer
from chainrule.training.sets import Sets
from chainrule.training.settings import Settings

_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
#: The dtypes of the history's lists in the file, where they are not float64.
_KINDS = {"steps": np.dtype(np.int64)}
#: Lists that older files do not have; they are not written if they are empty.
_LATER = {"train_r2", "test_r2", "validation_r2"}


class Checkpoints:
    """The checkpoint file of a run, if there is one, and the run to continue from, if there is one.

    Attributes
    ----------
    path : path-like or None
        The file to write the run to.
    stream : int or None
        The seed of the run's stream of masks, if it has one.
    not_held : list of str
        A sentence for each array that the files will not hold although it matters.
    """

    def __init__(self, net: Any, sets: Sets, settings: Settings, *, writes: bool = True) -> None:
        self.path, self._every, self._callbacks = settings.checkpoint, settings.every, settings.callbacks
        self.not_held: list[str] = []
        self.stream: int | None = None
        self._held_out: NDArray[np.int64] | None = None
        self._resumed: _Resumed | None = None
        if self.path is None and settings.resume is None:
            return
        model_files.pack(net)  # raise now what would otherwise be raised at the first checkpoint
        self.not_held = model_files.not_held(net)
        if self.path is not None and writes:
            from chainrule.storage.atomic_write import expect_writable  # pathlib: a fifth of chainrule's import time

            expect_writable(self.path)
        self._configuration = configuration(sets, settings)
        if settings.resume is not None:
            self._resumed = _Resumed.read(settings.resume)
            self._resumed.expect(net, self._configuration)
            self.stream = self._resumed.stream()

    def generator(self, seed: Any, rng: np.random.Generator) -> np.random.Generator:
        """Give the generator of the run to continue, or `rng`."""
        return rng if self._resumed is None else self._resumed.generator(seed, rng)

    def held_out(self, sets: Sets, rng: np.random.Generator) -> NDArray[np.int64]:
        """Give the rows to hold out for validation: newly drawn, or those of the run to continue."""
        n = len(sets.x)
        if self._resumed is None:
            self._held_out = rng.permutation(n)[: sets.share]
        else:
            self._held_out = self._resumed.held_out(n, sets.share)
        return self._held_out

    def restore(self, run: Run, rng: np.random.Generator) -> None:
        """Restore everything as it was when the run was written; after an error, the caller undoes the changes."""
        if self._resumed is not None:
            self._resumed.restore(run, rng, self._callbacks)

    def due(self, epoch: int) -> bool:
        """Tell whether to write a checkpoint after epoch number `epoch`."""
        return self.path is not None and epoch % self._every == 0

    def save(self, run: Run, generator: Any) -> None:
        """Write the run as it is now; `generator` is the state from which the present epoch, or the next, is drawn."""
        if self.path is None:
            return
        from chainrule.storage.atomic_write import write_whole  # needed only to write a file

        kept = [callback.to_keep() if hasattr(callback, "to_keep") else (None, {}) for callback in self._callbacks]
        arrays: dict[str, NDArray[Any]] = {
            f"optimizer/{name}/{i}": array for name, each in run.optimizer.kept.items() for i, array in enumerate(each)
        }
        for name, values in run.history.to_dict().items():
            if values or name not in _LATER:
                arrays[f"history/{name}"] = np.array(values, _KINDS.get(name, np.float64))
        if self._held_out is not None:
            arrays["validation"] = self._held_out
        for i, (_, params) in enumerate(kept):
            arrays |= {f"callbacks/{i}/{name}": array for name, array in params.items()}
        said = {
            "configuration": self._configuration,
            "instruction_set": _kernels.instruction_set(),
            "numbers": _numbers(run.optimizer),
            "iter": run.optimizer.iter,
            "generator": plain(generator),
            "callbacks": [numbers for numbers, _ in kept],
        }
        if self.stream is not None:
            said["stream"] = self.stream
        write_whole(self.path, model_files.pack(run.net, said, arrays))


def configuration(sets: Sets, settings: Settings) -> dict[str, Any]:
    """Give the settings that a resumed run must share with the interrupted one."""
    numbers = _numbers(settings.optimizer)
    if settings.schedule is not None:
        del numbers["lr"]  # the schedule overwrites it anyway
    rule = ", ".join(f"{name}={value!r}" for name, value in numbers.items())
    return {
        "schedule": settings.schedule is not None,
        "optimizer": f"{type(settings.optimizer).__name__}({rule})",
        "examples": list(sets.x.shape),
        "batch_size": settings.batch_size,
        "replace": settings.replace,
        "held_out": sets.share,
        "sets": {name: list(examples.shape) for name, (examples, _) in sets.evaluated.items()},
        "sample_weight": sets.weights is not None,
        "label_smoothing": settings.label_smoothing,
        "augment": None if settings.augment is None else True,
        "largest_norm": settings.largest_norm,
        "callbacks": len(settings.callbacks),
        "evaluate_train": settings.evaluate_train,
        "shards": settings.shards,
    }


@dataclass
class _Resumed:
    """A run as it was when it was written."""

    kept: model_files.Kept
    run: dict[str, Any]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> _Resumed:
        """Read a checkpoint."""
        kept = model_files.unpack(path)
        if kept.run is None:
            kept.refuse("it holds a network, but no training run to resume; load(path) reads the network")
        return cls(kept, kept.run)

    def stream(self) -> int | None:
        """Give the seed of the run's stream of masks, if it has one."""
        seed = self.run.get("stream")
        if not (seed is None or (type(seed) is int and 0 <= seed < 2**63)):
            self.kept.refuse(f"its stream of masks has the seed {seed!r}")
        return seed

    def held_out(self, n: int, share: int) -> NDArray[np.int64]:
        """Give the `share` rows, of `n`, that were held out for validation."""
        rows = self.kept.arrays.get("validation")
        fits = rows is not None and rows.shape == (share,) and rows.dtype == np.int64
        if rows is None or not fits or not ((rows >= 0) & (rows < n)).all() or len(np.unique(rows)) != share:
            self.kept.refuse(f"it does not say which {share} of {n} examples were held out")
        return rows

    def expect(self, net: Any, wanted: dict[str, Any]) -> None:
        """Raise ValueError if this call does not train the same network in the same way."""
        theirs = self.run.get("configuration")
        if not isinstance(theirs, dict):
            self.kept.refuse("its configuration is missing")
        said = model_files.describe(net)
        pairs = {name: (self.kept.network[name], said[name]) for name in ("network", "layers", "loss")}
        pairs |= {name: (theirs.get(name), value) for name, value in wanted.items()}
        held = {name: (array.dtype.name, array.shape) for name, array in self.kept.params.items()}
        pairs["params"] = (
            held,
            {name: (array.dtype.name, array.shape) for name, array in params_of(net).items()},
        )
        for name, (was, now) in pairs.items():
            if was != now:
                raise ValueError(
                    f"{self.kept.path}: the run was made with {name}={was!r}, this call has {name}={now!r}"
                )

    def restore(self, run: Run, rng: np.random.Generator, callbacks: Sequence[Any]) -> None:
        """Restore everything as it was; after an error, the caller undoes the changes to `run`."""
        try:
            history = self._history()
            state = self.run["generator"]
            _try(rng, state)
            optimizer = self._optimizer_arrays(run)
            iterations = count(self.run["iter"], "iter", least=0)
            for name in _numbers(run.optimizer):
                setattr(run.optimizer, name, real(self.run["numbers"][name], name))
            for i, (callback, said) in enumerate(zip(callbacks, self.run["callbacks"], strict=True)):
                if said is not None and hasattr(callback, "bring_back"):
                    run.stopped |= callback.bring_back(said, self._arrays(f"callbacks/{i}/")) is True
        except DataError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            self.kept.refuse(f"the run in it is invalid: {type(error).__name__}: {error}")
        model_files.fill_in(self.kept, run.net)
        run.optimizer.kept, run.optimizer.iter = optimizer, iterations
        run.history = history
        rng.bit_generator.state = state
        here, there = _kernels.instruction_set(), self.run.get("instruction_set")
        if here != there:
            text = (
                f"{self.kept.path}: the run was computed with {there!r}, and this is {here!r}: the last bits may differ"
            )
            warn(text)

    def generator(self, seed: Any, rng: np.random.Generator) -> np.random.Generator:
        """Give the generator whose state will be set: `rng`, or one of the right kind if none was given."""
        state = self.run.get("generator")
        kind = state.get("bit_generator") if isinstance(state, dict) else None
        if kind not in _GENERATORS:
            self.kept.refuse(f"it does not hold the state of a NumPy generator, but of {kind!r}")
        ours = type(rng.bit_generator).__name__
        if ours == kind:
            return rng
        if isinstance(seed, np.random.Generator):
            raise ValueError(f"{self.kept.path}: the run was drawn from {kind}, this call's seed is a {ours}")
        return np.random.Generator(getattr(np.random, kind)())

    def _history(self) -> History:
        lists = {
            f.name: self.kept.arrays[f"history/{f.name}"]
            for f in fields(History)
            if f.name not in _LATER or f"history/{f.name}" in self.kept.arrays
        }
        for name, array in lists.items():
            if array.ndim != 1 or array.dtype != _KINDS.get(name, np.float64):
                raise ValueError(f"{name} of the history is not a list of numbers")
        losses, steps = lists.pop("losses"), lists.pop("steps")
        if steps.size == 0 or (np.diff(steps, prepend=0) <= 0).any() or steps[-1] != len(losses):
            raise ValueError("the history's steps do not match its losses")
        if any(len(values) not in (0, len(steps)) for values in lists.values()):
            raise ValueError("the history's lists differ in length")
        return History(losses.tolist(), steps.tolist(), **{name: values.tolist() for name, values in lists.items()})

    def _optimizer_arrays(self, run: Run) -> dict[str, tuple[FloatArray, ...]]:
        kept = {}
        for name, param in run.net.params.items():
            places = [f"optimizer/{name}/{i}" for i in range(run.optimizer.arrays)]
            found = tuple(self.kept.arrays[place] for place in places if place in self.kept.arrays)
            fits = all((array.shape, array.dtype) == (param.shape, param.dtype) for array in found)
            if not fits or len(found) not in (0, len(places)):
                raise ValueError(f"what the optimizer keeps for {name} does not have its shape and dtype")
            if len(found) == len(places):  # otherwise it has had no gradient yet
                kept[name] = found
        return kept

    def _arrays(self, prefix: str) -> dict[str, FloatArray]:
        """Give the arrays with this prefix, by the rest of their names."""
        return {k.removeprefix(prefix): array for k, array in self.kept.arrays.items() if k.startswith(prefix)}


def _numbers(optimizer: Optimizer) -> dict[str, float]:
    """Give the numbers of an optimizer by name; a callback may change any of them."""
    return {name: float(value) for name, value in vars(optimizer).items() if isinstance(value, float)}


def _try(rng: np.random.Generator, state: Any) -> None:
    """Raise if `rng` cannot take this state."""
    trial = type(rng.bit_generator)(0)
    trial.state = state
    taken: Any = trial.state
    # NumPy accepts any position in a buffer, and would read there.
    for place, end in ((taken["state"].get("pos", 0), 624), (taken.get("buffer_pos", 0), 4)):
        if not 0 <= place <= end:
            raise ValueError(f"the generator's position is {place}, which is not in 0..{end}")


def plain(value: Any) -> Any:
    """Give the state of a generator as numbers and lists."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
