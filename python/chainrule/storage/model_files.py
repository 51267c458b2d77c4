"""A network on disk: one safetensors file. Loading it runs no code.

Its tensors are the parameters, under their names, so that any reader of safetensors finds them. The key ``chainrule``
of its metadata describes their network in JSON: the kinds and names of the layers, and the numbers of each. A training
run (`training/checkpoints.py`) keeps what it needs in the same file, beside the parameters.

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

#: The version of the format; it rises when files hold something that an older chainrule would misread.
FORMAT = 2
#: The version of the rule for parameters of users' own layers: since 2, arrays with a gradient. Older files hold fewer.
_PARAMETERS = 2
_KEY = "chainrule"
#: The prefix of the names of a run's arrays.
_RUN = "run/"
_NETWORKS = {kind.__name__: kind for kind in NETWORKS}
_LAYERS, _LOSSES = by_name(LAYERS), by_name(LOSSES)


def load(path: str | os.PathLike[str], into: Any = None) -> Any:
    """Read a network from a file that `Network.save` wrote, or from a checkpoint of `fit`.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    into : Network, optional
        Put the parameters into this network and return it. Its names and shapes must match the file; values are cast to
        its dtype. Use this for a network with layers of your own, or for a safetensors file from elsewhere.

    Returns
    -------
    Network
        `into`, or a new network with the class that was saved and the file's dtypes (float32 for float16 and bfloat16).

    Raises
    ------
    DataError
        If the file is incomplete, is not a safetensors file, comes from a newer chainrule, or does not fit `into`. The
        message says where and why, and nothing is changed.
    ValueError
        If the file's network has layers of your own and there is no `into`, or a parameter of `into` is read-only.
    TypeError
        If `into` is not a network.
    OSError
        If the file cannot be read.

    Warns
    -----
    RuntimeWarning
        If the file was written by a version that did not find all parameters of layers of your own. Parameters that are
        missing in the file stay as they are in `into`.

    Notes
    -----
    No code in the file is run, and no memory is allocated for data that the file does not hold, or twice that for
    float16 and bfloat16. Metadata keys that are not chainrule's are kept in ``net.metadata``, and saved with the
    network again.

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
    from chainrule.storage.atomic_write import write_whole  # needed only to write a file

    content = pack(net)
    for text in not_held(net):
        warn(text)
    write_whole(path, content)


def not_held(net: Any) -> list[str]:
    """Give a sentence for each array that the layers' forward depends on but that a file does not hold."""
    if not isinstance(net, Network):
        return []
    return [
        f"the file does not hold {type(net.layers[key]).__name__}.{place.name} (layer {key!r}): no gradient was found"
        " beside it, so it is not a parameter; a network that you load the file into must have it already. If it is a"
        f" constant, make it read-only: net.layers[{key!r}].{place.name}.flags.writeable = False"
        if isinstance(place.value, np.ndarray)
        else f"the file does not hold {type(net.layers[key]).__name__}.{place.name} (layer {key!r}): it is a plain"
        f" number; make it an array: net.layers[{key!r}].{place.name} = np.array({place.value!r})"
        for key, place in not_kept(net.layers)
    ]


class Kept:
    """The content of a file."""

    def __init__(self, path: str, params: dict[str, FloatArray], metadata: dict[str, str]) -> None:
        self.path, self.params = path, params
        #: The description of the network; empty if the file is not from chainrule.
        self.network: dict[str, Any] = {}
        #: The numbers and words of a training run, and its arrays; None and empty without a run.
        self.run: dict[str, Any] | None = None
        self.arrays: dict[str, FloatArray] = {}
        #: Arrays of the network that follow the data (running statistics).
        self.statistics: dict[str, FloatArray] = {}
        #: The metadata of others, not chainrule's.
        self.metadata = metadata

    def refuse(self, reason: str) -> NoReturn:
        """Raise a DataError that names the file."""
        raise DataError(f"{self.path}: {reason}")


def pack(
    net: Any, run: Mapping[str, Any] | None = None, arrays: Mapping[str, FloatArray] | None = None
) -> Iterator[memoryview]:
    """Give the bytes of a file that holds `net`, and the run with its arrays if there is one."""
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
    """Read a whole file, and check everything that does not depend on a network."""
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
            raise DataError(f"{name}: at byte {first}: tensor {tensor!r} has dtype {dtype}, not one of {known}")
        # The number of entries fits the file, but a 0 among the sizes may hide sizes that are too large for NumPy.
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
    """Copy the parameters of a file into `net`; all are checked before the first is changed."""
    held = params_of(net)
    missing = held.keys() - kept.params.keys()
    if missing and kept.network.get("parameters", 1) == 1 and isinstance(net, Network):
        # An older file, which was complete when it was written.
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
    """Describe what `load` should build; a user's own class is named under the key ``own``."""
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
    """Give a number, or several, in the form of JSON, from which the layer is made again."""
    if isinstance(value, tuple):
        return [int(size) for size in value]
    return value if type(value) is int else float(value)


def _own(thing: Any) -> dict[str, Any]:
    return {"kind": type(thing).__name__, "own": True}


def _build(kept: Kept) -> Network:
    """Make the network that a file describes."""
    into = "load(path, into=net) puts its parameters into a network that you have made"
    said = kept.network
    if not said:
        kept.refuse(f"its metadata does not describe a network of chainrule; {into}")
    own = [part["kind"] for part in (said["network"], *said["layers"], said["loss"]) if part.get("own")]
    if own:
        raise ValueError(f"{kept.path}: the network was made with {_names(dict.fromkeys(own))} of your own; {into}")
    try:
        layers = {part["name"]: _layer(part, kept.params | kept.statistics) for part in said["layers"]}
        loss = _LOSSES[said["loss"]["kind"]]()
        kind = _NETWORKS[said["network"]["kind"]]
        decay = real(said["network"].get("weight_decay_lambda", 0.0), "weight_decay_lambda")
    except (KeyError, TypeError, ValueError) as error:
        kept.refuse(f"its description of the network is invalid: {type(error).__name__}: {error}")
    if len(layers) < len(said["layers"]):
        kept.refuse("its description of the network is invalid: two layers have the same name")
    _expect_to_fit(kept, layers)
    net = kind.__new__(kind)  # __init__ would draw weights
    Network.__init__(net, layers, loss)
    net.metadata, net.weight_decay_lambda = kept.metadata, decay
    name_params(net, kept.params)  # the layers' arrays, under the names they had
    if not net.params.keys() == params_of(net).keys() == kept.params.keys():
        kept.refuse(f"it holds the parameters {_names(kept.params)}, its layers have {_names(params_of(net))}")
    following = statistics_of(net)
    if following.keys() != kept.statistics.keys():
        kept.refuse(f"it holds the statistics {_names(kept.statistics)}, its layers have {_names(following)}")
    # Compare statistics by their bytes: layers that share an array have it under two names.
    others = [name for name, array in kept.params.items() if net.params[name] is not array]
    others += [name for name, array in following.items() if array.tobytes() != kept.statistics[name].tobytes()]
    if others:
        kept.refuse(f"its layers have other arrays for {_names(others)}")
    return net


def _expect_to_fit(kept: Kept, layers: Mapping[str, Any]) -> None:
    """Refuse a layer that does not fit the output of the one before, as far as is known without an example."""
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
            kept.refuse(f"layer {name!r} does not fit the output of the layer before it: {error}")
        channels = gives
        if isinstance(layer, Affine):
            shape = layer.W.shape[1:]
        elif isinstance(layer, Reshape):
            shape = layer.shape


def _channels(layer: Any, given: int | None) -> tuple[int | None, int | None]:
    """Give the number of channels that a layer takes and gives: most layers keep the number `given`."""
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
    """Read the description, and separate the parameters from the arrays of a run."""
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
            raise TypeError("a kind is not a string")
        if not all(isinstance(part["name"], str) for part in said["layers"]):
            raise TypeError("a name is not a string")
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
        kept.refuse(f"its metadata {_KEY!r} is not what chainrule writes: {type(error).__name__}: {error}")
    others = {name: array for name, array in kept.params.items() if name not in named}
    strange = [name for name in others if run is None or not name.startswith(_RUN)]
    if strange:
        kept.refuse(f"tensor {strange[0]!r} is not in the description of the network or the run")
    kept.params, kept.statistics, kept.network, kept.run = params, statistics, said, run
    kept.arrays = {name.removeprefix(_RUN): array for name, array in others.items()}


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


#: The first bytes of files that may be mistaken for ours, and what to do with such a file instead.
_OTHERS = {
    b"\x93NUMPY": "a NumPy array; numpy.load(path, allow_pickle=False) reads it",
    b"PK\x03\x04": "a zip archive, such as PyTorch's .pt (there: safetensors.torch.save_file) or NumPy's .npz",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, such as Keras's .h5; save its arrays as safetensors there",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
}
_PICKLES = (*(bytes([0x80, protocol]) for protocol in range(2, 6)), b"(dp", b"}q", b"]q", b"ccopy_reg", b"c__")


def _read(name: str) -> bytes:
    """Give the bytes of a regular file; raise DataError if they begin like a file of another kind."""
    expect_regular(name)
    with open(name, "rb") as file:
        content = file.read()
    if content[8:9] == b"{":
        return content
    if content.startswith(_PICKLES):
        raise DataError(
            f"{name}: at byte 0: a pickle, which can run code, so load does not read it; read_book_weights(path) reads"
            " the book's sample_weight.pkl and params.pkl without running any code"
        )
    for magic, text in _OTHERS.items():
        if content.startswith(magic):
            raise DataError(f"{name}: at byte 0: {text}")
    return content
