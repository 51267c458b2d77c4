"""A network on disk: one safetensors file, which no code runs from.

Its numbers are the parameters, under their names, so that any reader of safetensors finds them. The key ``chainrule``
of its metadata says, in JSON, what network they belong to: kinds and names of the layers and the numbers that go with
them. A training run (`training/checkpoints.py`) keeps what it needs in the same file, beside the parameters.

Source: https://github.com/huggingface/safetensors, which defines the format.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from chainrule import _kernels
from chainrule._errors import DataError
from chainrule._gate import FloatArray, expect_network, fitting, real
from chainrule._warn import warn
from chainrule.data.idx import expect_regular
from chainrule.nn import engine
from chainrule.nn.kinds import LAYERS, LOSSES, by_name
from chainrule.nn.layers import Affine, BatchNormalization, Convolution, Flatten, Reshape
from chainrule.nn.network import Network, everything, expect_each_named, name_params, params_of, statistics_of
from chainrule.nn.networks import NETWORKS
from chainrule.nn.parameters.networks import found_by_gradient, not_kept
from chainrule.storage.safetensors import DTYPES, HALVES, numbers_of, pieces

#: Raised when a file says something that an older chainrule would misread.
FORMAT = 2
#: What counts as a parameter of a layer of the user's own, for files that hold fewer: since 2, what has a gradient.
_PARAMETERS = 2
_KEY = "chainrule"
#: What the names of a run's arrays begin with.
_RUN = "run/"
_NETWORKS = {kind.__name__: kind for kind in NETWORKS}
_LAYERS, _LOSSES = by_name(LAYERS), by_name(LOSSES)


def load(path: str | os.PathLike[str], into: Any = None) -> Any:
    """Read a network that `Network.save` or a checkpoint of `fit` wrote.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    into : Network, optional
        Put the parameters into this network, whose names and shapes must be those of the file, and give it back. So a
        network with layers of your own is loaded, and a safetensors file from elsewhere. Values are cast to its dtype.

    Returns
    -------
    Network
        A new one, with the file's dtypes (float32 for float16 and bfloat16), of the class it was saved as; or `into`.

    Raises
    ------
    DataError
        If the file is not whole, is no safetensors file, comes from a newer chainrule, or does not fit `into`. The
        message says where and why; nothing has been changed then.
    ValueError
        If the file's network has layers of your own and there is no `into`, or a parameter of `into` is read-only.
    TypeError
        If `into` is no network.
    OSError
        If the file cannot be read.

    Warns
    -----
    RuntimeWarning
        If the file was written by a version that did not find all parameters of layers of your own: those it does not
        hold stay as they are in `into`.

    Notes
    -----
    Nothing in the file is run, and no more is allocated than the file holds, or twice that for float16 and bfloat16.
    Keys of its metadata that are not chainrule's are kept in ``net.metadata``, and saved again with it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from chainrule import TwoLayerNet, load
    >>> net = TwoLayerNet(4, 3, 2, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "net.safetensors")
    ...     net.save(path)
    ...     again = load(path)
    >>> type(again).__name__, bool((again.params["W1"] == net.params["W1"]).all())
    ('TwoLayerNet', True)
    """
    if into is not None:
        expect_network(into)
    kept = unpack(path)
    if into is None:
        return _build(kept)
    fill_in(kept, into)
    return into


def save(net: Any, path: str | os.PathLike[str]) -> None:
    """Write `net` to `path`: see `Network.save`."""
    from chainrule.storage.atomic_write import write_whole  # only who writes a file needs it

    content = pack(net)
    for text in not_held(net):
        warn(text)
    write_whole(path, content)


def not_held(net: Any) -> list[str]:
    """Give a sentence for each array of the layers that their forward goes by, and that a file does not hold."""
    if not isinstance(net, Network):
        return []
    return [
        f"the file does not hold {type(net.layers[key]).__name__}.{place.name} (layer {key!r}): no gradient was found"
        " beside it, so it is no parameter; a network that the file is loaded into has to have it already. If it is a"
        f" constant, make it read-only: net.layers[{key!r}].{place.name}.flags.writeable = False"
        if isinstance(place.value, np.ndarray)
        else f"the file does not hold {type(net.layers[key]).__name__}.{place.name} (layer {key!r}): it is a plain"
        f" number; make it an array: net.layers[{key!r}].{place.name} = np.array({place.value!r})"
        for key, place in not_kept(net.layers)
    ]


class Kept:
    """What is in a file."""

    def __init__(self, path: str, params: dict[str, FloatArray], metadata: dict[str, str]) -> None:
        self.path, self.params = path, params
        #: The description of the network; empty if the file is not from chainrule.
        self.network: dict[str, Any] = {}
        #: The numbers and words of a training run, and its arrays; None and empty if there was none.
        self.run: dict[str, Any] | None = None
        self.arrays: dict[str, FloatArray] = {}
        #: Arrays of the network that follow the data.
        self.statistics: dict[str, FloatArray] = {}
        #: The metadata that is not chainrule's.
        self.metadata = metadata

    def refuse(self, reason: str) -> NoReturn:
        """Raise a DataError."""
        raise DataError(f"{self.path}: {reason}")


def pack(
    net: Any, run: Mapping[str, Any] | None = None, arrays: Mapping[str, FloatArray] | None = None
) -> Iterator[memoryview]:
    """Give the bytes of a file that holds `net`, and a run with its arrays if there is one."""
    import json

    params, statistics = params_of(net), statistics_of(net)
    description = {"format": FORMAT, "version": _kernels.__version__, "params": list(params), **describe(net)}
    description["parameters"] = _PARAMETERS
    if statistics:
        description["statistics"] = list(statistics)
    if run is not None:
        description["run"] = run
    if twice := params.keys() & statistics.keys():
        raise ValueError(f"a parameter has the name of running statistics: {_names(twice)}")
    everything = params | statistics | {_RUN + name: array for name, array in (arrays or {}).items()}
    own = getattr(net, "metadata", {}) if isinstance(net, Network) else {}
    if not (isinstance(own, dict) and all(isinstance(word, str) for pair in own.items() for word in pair)):
        raise TypeError(f"net.metadata must be a dict of strings to strings, got {own!r}")
    metadata = own | {_KEY: json.dumps(description, ensure_ascii=False, allow_nan=False)}
    return pieces(everything, metadata)


def unpack(path: str | os.PathLike[str]) -> Kept:
    """Read a file whole, and check everything about it that does not depend on a network."""
    name = os.fspath(path)
    content = _read(name)
    try:
        metadata, tensors = _kernels.from_safetensors(content)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    arrays = {}
    for tensor, dtype, shape, first in tensors:
        if dtype not in DTYPES | HALVES:
            known = ", ".join(sorted(DTYPES | HALVES))
            raise DataError(f"{name}: at byte {first}: tensor {tensor!r} has dtype {dtype}, none of {known}")
        # As many numbers as the file holds, but a 0 among the sizes may hide sizes that NumPy cannot count with.
        if len(shape) > 64 or math.prod(max(size, 1) for size in shape) > np.iinfo(np.intp).max // 8:
            raise DataError(f"{name}: at byte {first}: tensor {tensor!r} has a shape that no array can have: {shape}")
        arrays[tensor] = numbers_of(content, dtype, math.prod(shape), first).reshape(shape)
    kept = Kept(name, arrays, metadata)
    text = metadata.pop(_KEY, None)
    if text is not None:
        _understand(kept, text)
    for tensor, array in (kept.params | kept.statistics).items():
        if array.dtype.kind != "f":
            kept.refuse(f"parameter {tensor!r} has dtype {array.dtype}, not float32 or float64")
    return kept


def fill_in(kept: Kept, net: Any) -> None:
    """Copy the parameters of a file into `net`; all are looked at before the first is changed."""
    held = params_of(net)
    missing = held.keys() - kept.params.keys()
    if missing and kept.network.get("parameters", 1) == 1 and isinstance(net, Network):
        # An older file: it was whole when it was written.
        late = found_by_gradient(net.layers)
        if all(id(held[name]) in late for name in missing):
            names = [name for name in held if name in missing]
            text = f"{kept.path}: written before {_names(names)} was a parameter: it stays as it is in the network"
            warn(text)
            held = {name: array for name, array in held.items() if name not in missing}
    if held.keys() != kept.params.keys():
        kept.refuse(f"it holds the parameters {_names(kept.params)}, the network has {_names(held)}")
    following = statistics_of(net)
    if following.keys() != kept.statistics.keys():
        kept.refuse(f"it holds the statistics {_names(kept.statistics)}, the network has {_names(following)}")
    arrays, held = kept.params | kept.statistics, held | following
    for name, array in arrays.items():
        if array.shape != np.shape(held[name]):
            kept.refuse(f"its {name!r} has shape {array.shape}, the network's {np.shape(held[name])}")
    ready = {name: fitting(held[name], array, f"params[{name!r}]") for name, array in arrays.items()}
    for name, array in ready.items():
        np.copyto(held[name], array)


def describe(net: Any) -> dict[str, Any]:
    """Say what `load` is to build; what is the user's own is named, with the word ``own``."""
    if not isinstance(net, Network):
        return {"network": _own(net), "layers": [], "loss": _own(None)}
    expect_each_named(net)
    names = {id(array): name for name, array in everything(net).items()}
    layers = []
    for name, layer in net.layers.items():
        if not isinstance(name, str):
            raise TypeError(f"a network is saved with layers whose names are strings, got {name!r}")
        kind = LAYERS.get(type(layer))
        if kind is not None and engine.knows(layer):
            arrays = (*kind.parameters, *kind.statistics)
            given: dict[str, Any] = {part: names[id(getattr(layer, part))] for part in arrays}
            given |= {part: _plain(getattr(layer, part)) for part in kind.numbers}
            layers.append({"name": name, "kind": type(layer).__name__, **given})
        else:
            layers.append({"name": name, **_own(layer)})
    ours = type(net) in _NETWORKS.values()
    loss = net.last_layer
    return {
        "network": _network(net) if ours else _own(net),
        "layers": layers,
        "loss": {"kind": type(loss).__name__} if engine.known_loss(loss) is not None else _own(loss),
    }


def _network(net: Network) -> dict[str, Any]:
    decay = {"weight_decay_lambda": float(net.weight_decay_lambda)} if net.weight_decay_lambda else {}
    return {"kind": type(net).__name__, **decay}


def _plain(value: Any) -> Any:
    """Give a number, or some, as JSON has them; a layer is made again of that."""
    if isinstance(value, tuple):
        return [int(size) for size in value]
    return value if type(value) is int else float(value)


def _own(thing: Any) -> dict[str, Any]:
    return {"kind": type(thing).__name__, "own": True}


def _build(kept: Kept) -> Network:
    """Make the network a file describes."""
    into = "load(path, into=net) puts its parameters into a network you have made"
    said = kept.network
    if not said:
        kept.refuse(f"its metadata does not describe a network of chainrule's; {into}")
    own = [part["kind"] for part in (said["network"], *said["layers"], said["loss"]) if part.get("own")]
    if own:
        raise ValueError(f"{kept.path}: the network is made with {_names(dict.fromkeys(own))} of your own; {into}")
    try:
        layers = {part["name"]: _layer(part, kept.params | kept.statistics) for part in said["layers"]}
        loss = _LOSSES[said["loss"]["kind"]]()
        kind = _NETWORKS[said["network"]["kind"]]
        decay = real(said["network"].get("weight_decay_lambda", 0.0), "weight_decay_lambda")
    except (KeyError, TypeError, ValueError) as error:
        kept.refuse(f"its description of the network does not hold together: {type(error).__name__}: {error}")
    if len(layers) < len(said["layers"]):
        kept.refuse("its description of the network does not hold together: two layers have one name")
    _expect_to_fit(kept, layers)
    net = kind.__new__(kind)  # its own __init__ would draw weights
    Network.__init__(net, layers, loss)
    net.metadata, net.weight_decay_lambda = kept.metadata, decay
    name_params(net, kept.params)  # the layers' arrays, under the names they had
    if not net.params.keys() == params_of(net).keys() == kept.params.keys():
        kept.refuse(f"it holds the parameters {_names(kept.params)}, its layers have {_names(params_of(net))}")
    following = statistics_of(net)
    if following.keys() != kept.statistics.keys():
        kept.refuse(f"it holds the statistics {_names(kept.statistics)}, its layers have {_names(following)}")
    # Statistics by their bytes: layers that share an array have it under two names.
    others = [name for name, array in kept.params.items() if net.params[name] is not array]
    others += [name for name, array in following.items() if array.tobytes() != kept.statistics[name].tobytes()]
    if others:
        kept.refuse(f"its layers have other arrays for {_names(others)}")
    return net


def _expect_to_fit(kept: Kept, layers: Mapping[str, Any]) -> None:
    """Refuse a layer that does not take what the one before gives, as far as that is known without an example."""
    shape: tuple[int, ...] | None = None  # of an example; not known before an Affine or a Reshape
    channels: int | None = None
    for name, layer in layers.items():
        takes, gives = _channels(layer, channels)
        try:
            if shape is not None:
                *_, shape = layer._described(shape)
            elif channels is not None and takes != channels:
                raise ValueError(f"it expects {takes} channels, got {channels}")
        except ValueError as error:
            kept.refuse(f"layer {name!r} does not take what the one before it gives: {error}")
        channels = gives
        if isinstance(layer, Affine):
            shape = layer.W.shape[1:]
        elif isinstance(layer, Reshape):
            shape = layer.shape


def _channels(layer: Any, given: int | None) -> tuple[int | None, int | None]:
    """Tell how many channels a layer takes and gives: most take what is `given`, and give that."""
    if isinstance(layer, Convolution):
        return layer.W.shape[1], len(layer.W)
    if isinstance(layer, BatchNormalization):
        return len(layer.gamma), len(layer.gamma)
    return given, None if isinstance(layer, Flatten) else given


def _layer(part: Mapping[str, Any], params: Mapping[str, FloatArray]) -> Any:
    kind = _LAYERS[part["kind"]]
    row = LAYERS[kind]
    arrays = {name: params[part[name]] for name in (*row.parameters, *row.statistics)}
    return kind(**arrays, **{name: part[name] for name in row.numbers})


def _understand(kept: Kept, text: str) -> None:
    """Read the description, and tell the parameters from the arrays of a run."""
    import json

    try:
        said = json.loads(text)
        written = said["format"]
        if type(written) is not int or written < 1:
            raise ValueError(f"format is {written!r}")
        if written > FORMAT:
            kept.refuse(f"written by format {written}, this is {FORMAT}; a newer chainrule reads it")
        parts = [said["network"], *said["layers"], said["loss"]]
        if not all(isinstance(part["kind"], str) for part in parts):
            raise TypeError("a kind is not a word")
        if not all(isinstance(part["name"], str) for part in said["layers"]):
            raise TypeError("a name is not a word")
        run = said.get("run")
        if not (run is None or isinstance(run, dict)):
            raise TypeError("the run is not an object")
        named = [*said["params"], *said.get("statistics", ())]
        if len(named) != len(set(named)):
            raise ValueError("an array is named twice")
        params = {name: kept.params[name] for name in said["params"]}
        statistics = {name: kept.params[name] for name in said.get("statistics", ())}
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        kept.refuse(f"its metadata {_KEY!r} is not as chainrule writes it: {type(error).__name__}: {error}")
    others = {name: array for name, array in kept.params.items() if name not in named}
    strange = [name for name in others if run is None or not name.startswith(_RUN)]
    if strange:
        kept.refuse(f"tensor {strange[0]!r} belongs to nothing")
    kept.params, kept.statistics, kept.network, kept.run = params, statistics, said, run
    kept.arrays = {name.removeprefix(_RUN): array for name, array in others.items()}


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


#: How files begin that somebody may take for one of ours, and what to do with them instead.
_OTHERS = {
    b"\x93NUMPY": "an array of NumPy's; numpy.load(path, allow_pickle=False) reads it",
    b"PK\x03\x04": "a zip archive, such as PyTorch's .pt (there: safetensors.torch.save_file) or NumPy's .npz",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, such as Keras's .h5; save its arrays as safetensors there",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
}
_PICKLES = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"(dp", b"}q", b"]q", b"ccopy_reg", b"c__")


def _read(name: str) -> bytes:
    """Give the bytes of a regular file, unless they begin like a file of another kind."""
    expect_regular(name)
    with open(name, "rb") as file:
        content = file.read()
    if content[8:9] == b"{":
        return content
    if content.startswith(_PICKLES):
        raise DataError(
            f"{name}: at byte 0: a pickle, which runs code when it is read, so it is not; read_book_weights(path) reads"
            " the book's sample_weight.pkl and params.pkl without running any"
        )
    for magic, text in _OTHERS.items():
        if content.startswith(magic):
            raise DataError(f"{name}: at byte 0: {text}")
    return content
