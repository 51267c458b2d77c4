"""book_weights.py: the book's pickles are read, and no pickle does anything else."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import DataError, Network, TwoLayerNet, read_book_weights
from chainrule.nn.layers import Affine, Sigmoid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.pkl"


def read(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return read_book_weights(path)


def book_weights(dtype: Any = np.float32) -> dict[str, Any]:
    """Give arrays with the names and shapes of ``sample_weight.pkl``: 784-50-100-10."""
    r = np.random.default_rng(0)
    sizes = {"W1": (784, 50), "b1": (50,), "W2": (50, 100), "b2": (100,), "W3": (100, 10), "b3": (10,)}
    return {name: r.normal(size=size).astype(dtype) for name, size in sizes.items()}


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        assert (got[name].shape, got[name].tobytes()) == (array.shape, array.tobytes())
        assert got[name].dtype == array.dtype.newbyteorder("=")
        assert got[name].flags.writeable


def as_numpy_1(content: bytes) -> bytes:
    """Give the pickle with the names of NumPy 1, under which the book's file was made."""
    return content.replace(b"cnumpy._core.", b"cnumpy.core.")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_, ">f8"])
def test_a_dict_of_arrays_comes_back_bit_for_bit(path: Path, protocol: int, dtype: Any) -> None:
    wanted = {"W1": np.arange(6).reshape(2, 3).astype(dtype), "b1": np.zeros(0, dtype), "n": np.array(1, dtype)}
    got = read(path, pickle.dumps(wanted, protocol))
    for name, array in wanted.items():
        assert np.array_equal(got[name], array)
        assert (got[name].dtype, got[name].shape) == (array.dtype.newbyteorder("="), array.shape)


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_books_file_with_the_names_of_numpy_1_is_read(path: Path, protocol: int) -> None:
    content = as_numpy_1(pickle.dumps(book_weights(), protocol))
    assert b"numpy.core.multiarray" in content
    assert b"_core" not in content
    assert_same(read(path, content), book_weights())


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_fortran_order_read_as_they_are(path: Path, protocol: int) -> None:
    W = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    got = read(path, pickle.dumps({"W1": W}, protocol))["W1"]
    assert np.array_equal(got, W)
    assert got.flags.c_contiguous


def test_the_weights_go_into_a_network_with_the_same_names(path: Path) -> None:
    weights = book_weights(np.float64)
    W1, b1, W2, b2, W3, b3 = map(np.zeros_like, weights.values())
    layers: dict[str, Any] = {
        "1": Affine(W1, b1),
        "S1": Sigmoid(),
        "2": Affine(W2, b2),
        "S2": Sigmoid(),
        "3": Affine(W3, b3),
    }
    net = Network(layers)
    net.params.update(read(path, pickle.dumps(weights)))
    assert all(np.array_equal(net.params[name], weights[name]) for name in weights)


class Runs:
    """Calls any function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, np.load, np.fromfile, open])
def test_f8_a_function_is_named_and_not_called(path: Path, protocol: int, function: Any) -> None:
    content = pickle.dumps({"W1": Runs(function, f"open({str(path.parent / 'ran')!r}, 'w')")}, protocol)
    with pytest.raises(DataError, match=r"at byte \d+: it names '[\w.]+'; a dict of arrays needs no such thing"):
        read(path, content)
    assert not (path.parent / "ran").exists()


def test_f8_os_system_is_not_called(path: Path) -> None:
    ran = path.parent / "ran"
    for content in (
        f"cos\nsystem\n(S'touch {ran}'\ntR.",
        f"(S'touch {ran}'\nios\nsystem\n.",
        f"cposix\nsystem\n(V{ran}\ntR.",
    ):
        with pytest.raises(DataError):
            read(path, content.encode())
    assert not ran.exists()


@pytest.mark.parametrize(
    ("thing", "match"),
    [
        ({"W1": np.array([{}], dtype=object)}, "dtype 'O8', not of real numbers"),
        ({"W1": np.zeros(2, complex)}, "dtype 'c16', not of real numbers"),
        ({"W1": np.zeros(2, "U3")}, "dtype 'U3', not of real numbers"),
        ({"W1": np.zeros(2, "f4,f4")}, "dtype 'V8', not of real numbers"),
        ({"W1": np.zeros(2, "M8[s]")}, "dtype 'M8', not of real numbers"),
        ({"W1": np.zeros(2, np.longdouble)}, "not of real numbers"),
        ({"W1": [1.0, 2.0]}, "more than a dict of arrays"),
        ({"W1": 1.0}, "more than a dict of arrays"),
        ({"W1": 1}, "its entry 'W1' is not an array"),
        ({"W1": None}, "its entry 'W1' is not an array"),
        ({1: np.zeros(2)}, "a name in it is of type int, not a string"),
        ({"W1": {"W": np.zeros(2)}}, "its entry 'W1' is not an array"),
        ({"W1": np.float64(1)}, "it names 'numpy._core.multiarray.scalar'"),
        (OrderedDict(W1=np.zeros(2)), "it names 'collections.OrderedDict'"),
        (np.zeros(2), "not a dict of arrays"),
        (TwoLayerNet(2, 2, 2, seed=0), "it names '(copyreg|chainrule)"),
        ({"W1": np.ndarray}, "its entry 'W1' is not an array"),
        ({"W1": np.ma.zeros(2)}, "it names 'numpy.ma"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_f8_anything_but_a_dict_of_real_arrays_is_refused(path: Path, thing: Any, match: str, protocol: int) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read(path, pickle.dumps(thing, protocol))
    assert str(path) in str(caught.value)


def test_f8_an_array_never_filled_is_refused(path: Path) -> None:
    content = (
        b"}X\x02\x00\x00\x00W1cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntRs."
    )
    with pytest.raises(DataError, match="its entry 'W1' is not an array"):
        read(path, content)


SMALL = pickle.dumps({"W1": np.zeros(3)}, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"}",
        b"0.",
        b"N.",
        b"t.",
        b"\x85.",
        b"}}s.",
        b"h\x07.",
        b"R.",
        b"NNR.",
        b"NNb.",
        b"(d",
        b"}.}.",
        b"cnumpy\n.",
        b"I" + b"9" * 5000 + b"\n.",
        b"cnumpy\ndtype\n(S'f8'\ntRNb.",
        b"cnumpy\ndtype\n(S'f8'\ntR(I3\nS'?'\ntb.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"r\xff\xff\xff\xff.",
        SMALL + b"x",
        SMALL[:-1],
        SMALL[:40],
        SMALL.replace(b"K\x03\x85", b"K\x04\x85"),
    ],
)
def test_f6_what_is_no_whole_pickle_is_refused(path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"at byte \d+: ") as caught:
        read(path, content)
    assert str(path) in str(caught.value)


def test_f6_a_short_file_cannot_ask_for_much_memory(path: Path) -> None:
    numbers = bytes(8 * 2**17)
    array = (
        b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR(I131072\ntX\x01\x00\x00\x00CtR"
    )
    many = b"".join(b"X\x06\x00\x00\x00%06d" % i + array for i in range(1000))
    again = b"}(X\x01\x00\x00\x00xB" + len(numbers).to_bytes(4, "little") + numbers + b"q\x00" + many + b"u."
    bombs = {
        "the same bytes again and again": again,
        "a place far out in the memo": b"}r\xff\xff\xff\x7f0.",
        "bytes that are not there": b"\x8e" + (2**40).to_bytes(8, "little") + b".",
    }
    for name, content in bombs.items():
        tracemalloc.start()
        with pytest.raises(DataError):
            read(path, content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The file, its copy in the stream, and the arrays: a few times its size.
        assert peak < 6 * len(content) + 2**20, name


@pytest.mark.parametrize(
    "before_and_after",
    [
        (b"}", b"Ns."),
        (b"\x8c\x05numpy", b"\x93."),
        (b"cnumpy\ndtype\n", b"\x85R."),
        (b"cnumpy\ndtype\n\x8c\x02f8\x85RN", b"\x86b."),
        (b"c_codecs\nencode\n\x8c\x01a", b"\x86R."),
    ],
)
def test_f6_f8_a_tuple_of_tuples_is_neither_hashed_nor_printed(path: Path, before_and_after: Any) -> None:
    before, after = before_and_after
    deep = b")" + b"\x85" * 300_000  # a hash of it overflows the stack
    wide = b")q\x00" + b"h\x00\x86q\x00" * 60  # to print it, or its hash, takes 2**60 steps
    for nested in (wide, deep):
        with pytest.raises(DataError, match="of type tuple, not a string"):
            read(path, b"\x80\x04" + before + nested + after)


@settings(max_examples=300)
@given(st.binary() | st.lists(st.sampled_from([bytes([i]) for i in b"}(dutsbRcN0.h\x00q\x00\x85K\x01]"])).map(b"".join))
def test_f6_any_bytes_are_read_or_a_data_error(content: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(DataError):
        read(Path(folder, "x"), content)


@pytest.mark.parametrize("text", [rb"c\u\nx\n.", rb"S'\q'\n.", rb"c\8\nx\n."])
def test_f6_an_escape_that_python_does_not_know_is_no_warning(path: Path, text: bytes) -> None:
    with pytest.raises(DataError):
        read(path, text.replace(rb"\n", b"\n"))


@settings(max_examples=300)
@given(st.data())
def test_f6_a_pickle_with_any_bytes_changed_is_read_or_a_data_error(data: st.DataObject) -> None:
    changed = bytearray(
        pickle.dumps({"W1": np.ones((2, 3)), "b1": np.zeros(3, np.float32)}, data.draw(st.integers(0, 5)))
    )
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(changed) - 1), st.integers(0, 255)))):
        changed[at] = byte
    with TemporaryDirectory() as folder, suppress(DataError):
        for array in read(Path(folder, "x"), bytes(changed)).values():
            assert array.dtype.kind in "fiub"


def test_f9_a_pipe_is_refused(path: Path) -> None:
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("needs pipes")
    os.mkfifo(path)
    with pytest.raises(DataError, match="not a regular file"):
        read_book_weights(path)
