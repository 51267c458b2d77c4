"""plain_pickles.py: lists, dicts and numbers are read, and whatever the bytes are, nothing else happens."""

from __future__ import annotations

import pickle
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import DataError, TwoLayerNet
from chainrule.storage.plain_pickles import read_plain_pickle

numbers = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
things = st.recursive(
    numbers,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@settings(max_examples=200)
@given(things, st.integers(0, 5))
def test_what_is_plain_comes_back(thing: Any, protocol: int) -> None:
    content = pickle.dumps(thing, protocol)
    found, length = read_plain_pickle(content + b"more", "file")
    assert found == thing
    assert length == len(content)


@pytest.mark.parametrize("protocol", range(6))
def test_what_is_shared_stays_shared(protocol: int) -> None:
    array = np.arange(3.0)
    inner = [1]
    thing = {"a": array, "b": [array, (array, inner)], "c": inner}
    found, _ = read_plain_pickle(pickle.dumps(thing, protocol), "file")
    assert found["a"] is found["b"][0] is found["b"][1][0]
    assert found["c"] is found["b"][1][1]
    assert np.array_equal(found["a"], array)


@pytest.mark.parametrize(
    "scalar", [np.float64(0.1), np.float32(0.1), np.float16(0.5), np.int64(-3), np.uint8(7), np.True_]
)
@pytest.mark.parametrize("protocol", range(6))
def test_a_scalar_of_numpy_comes_back(scalar: Any, protocol: int) -> None:
    found, _ = read_plain_pickle(pickle.dumps([scalar], protocol), "file")
    assert (found, type(found[0])) == ([scalar], type(scalar))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_parameters_of_a_network_come_back_as_a_dict(protocol: int) -> None:
    net = TwoLayerNet(3, 2, 2, seed=0)
    found, _ = read_plain_pickle(pickle.dumps(net.params, protocol), "file")
    assert type(found) is dict
    assert list(found) == list(net.params)
    assert all(np.array_equal(found[name], array) for name, array in net.params.items())


def test_a_tuple_of_tuples_is_not_hashed() -> None:
    deep = b")" + b"\x85" * 300_000
    with pytest.raises(DataError, match="a key in it is of type tuple"):
        read_plain_pickle(b"\x80\x04}" + deep + b"Ns.", "file")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]cnumpy\ndtype\na.",  # a function
        b"\x80\x04}cnumpy\ndtype\nNs.",
        b"cnumpy\ndtype\n.",
        b"]cnumpy.core.multiarray\n_reconstruct\n(tRa.",  # an array without its bytes
        b"cnumpy.core.multiarray\n_reconstruct\n(tR\x85.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"a.",
        b"]a.",
        b"K\x01K\x02a.",
        b"",
    ],
)
def test_what_is_not_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^file: at byte \d+: "):
        read_plain_pickle(content, "file")


@settings(max_examples=300)
@given(
    st.binary() | st.lists(st.sampled_from([bytes([i]) for i in b"}(dutsbRcN0.h\x00q\x00\x85K\x01]aelG"])).map(b"".join)
)
def test_any_bytes_are_read_or_a_data_error(content: bytes) -> None:
    with suppress(DataError):
        read_plain_pickle(content, "file")
