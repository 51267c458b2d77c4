"""_gate.py on its own: what it lets in, as what, and with which words it refuses the rest."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from chainrule._gate import (
    class_ids,
    compute_dtype,
    count,
    fill,
    floats,
    parameter,
    positive,
    real,
    shape,
    targets,
    weighted,
    writeable,
)

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def is_ready(a: Any) -> bool:
    """Tell whether `a` is what the kernels read."""
    return (
        type(a) is np.ndarray
        and a.dtype in (F32, F64)
        and a.dtype.isnative
        and a.flags.c_contiguous
        and a.flags.aligned
    )


class Dlpack:
    """An array of another library: DLPack and nothing else."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __dlpack__(self, **options: Any) -> Any:
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


class Arrayish:
    """An object with ``__array__``."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.a if dtype is None else self.a.astype(dtype)


# --- floats ---


@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_ready_array_passes_uncopied(dtype: Any) -> None:
    x = np.ones((2, 3), dtype)
    assert floats(x, "x") is x


@pytest.mark.fault("A2")
@pytest.mark.parametrize("make", [np.ndarray.tolist, tuple, memoryview, Dlpack, Arrayish])
def test_a2_anything_asarray_takes_is_accepted(make: Any) -> None:
    x = rng().standard_normal(5)
    ready = floats(make(x), "x")
    assert is_ready(ready)
    np.testing.assert_array_equal(ready, x)


@pytest.mark.fault("A3")
@pytest.mark.parametrize("bad", [None, "1.0", b"1", {"a": 1}, {1.0}])
def test_a3_what_is_no_array_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(TypeError, match=rf"^image must be an array of numbers, got {type(bad).__name__}$"):
        floats(bad, "image")


@pytest.mark.fault("A3")
def test_a3_a_ragged_list_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"^image must be an array of numbers with rows of one length"):
        floats([[1, 2], [3]], "image")


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.int64, np.uint64])
def test_a4_whole_numbers_become_float64(dtype: Any) -> None:
    ready = floats(np.array([0, 1], dtype), "x")
    assert ready.dtype == F64
    assert ready.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_a5_half_precision_becomes_float32(dtype: Any) -> None:
    ready = floats(np.array([0.5, -2], dtype), "x")
    assert ready.dtype == F32
    assert ready.tolist() == [0.5, -2]


@pytest.mark.parametrize("wanted", [F32, F64])
@pytest.mark.parametrize("given_dtype", [np.float32, np.float64, np.float16, np.uint8])
def test_a6_the_dtype_asked_for_is_given(given_dtype: Any, wanted: Any) -> None:
    ready = floats(np.array([1, 2], given_dtype), "x", wanted)
    assert ready.dtype == wanted
    assert ready.tolist() == [1, 2]


REFUSED = ["complex64", "complex128", "object", "datetime64[s]", "timedelta64[s]", "U3", "S3", "V4", "i4,f4"]


@pytest.mark.fault("A7")
@pytest.mark.parametrize("dtype", REFUSED)
def test_a7_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match=r"^x has dtype .+; chainrule computes in float32 or float64$"):
        floats(np.zeros(2, dtype), "x")


@pytest.mark.fault("A7")
def test_a7_complex_is_refused_word_for_word() -> None:
    with pytest.raises(TypeError, match=r"^x has dtype complex64; chainrule computes in float32 or float64$"):
        floats(np.zeros(2, np.complex64), "x")


@pytest.mark.fault("A7")
@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="longdouble is float64 here")
def test_a7_longdouble_is_refused() -> None:
    with pytest.raises(TypeError, match=r"x has dtype (float|longdouble)"):
        floats(np.zeros(2, np.longdouble), "x")


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn"])
def test_a7_eight_bit_floats_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"x has dtype {name}"):
        floats(np.zeros(2, getattr(ml_dtypes, name)), "x")


@pytest.mark.parametrize(("dtype", "native"), [(">f4", F32), (">f8", F64), ("<f4", F32), (">f2", F32), (">i2", F64)])
def test_a8_any_byte_order_is_accepted(dtype: str, native: Any) -> None:
    ready = floats(np.array([1, 258], dtype), "x")
    assert is_ready(ready)
    assert ready.dtype == native
    assert ready.tolist() == [1, 258]


def layouts() -> dict[str, Any]:
    base = rng().standard_normal((6, 8))
    unaligned = np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(np.float64).reshape(6, 8)
    return {
        "fortran": np.asfortranarray(base),
        "transposed": base.T,
        "sliced": base[1::2, ::3],
        "negative": base[::-1, ::-2],
        "broadcast": np.broadcast_to(base[0], (3, 8)),
        "misaligned": unaligned,
    }


@pytest.mark.fault("A9")
@pytest.mark.parametrize("name", layouts())
def test_a9_any_layout_is_made_ready(name: str) -> None:
    x = layouts()[name]
    ready = floats(x, "x")
    assert is_ready(ready)
    np.testing.assert_array_equal(ready, x)


@pytest.mark.fault("A9")
def test_a9_a_float32_field_of_packed_records_keeps_its_numbers() -> None:
    # Five bytes a record: a stride that is no multiple of four. Read as if it were, the sum comes out as 12.
    records = np.zeros(12, dtype=[("flag", "u1"), ("value", "<f4")])
    records["value"] = np.arange(12)
    assert records.strides == (5,)
    ready = floats(records["value"], "x")
    assert is_ready(ready)
    assert ready.sum() == records["value"].sum() == 66


@given(arrays(np.float32, array_shapes(max_dims=4), elements=st.floats(-1, 1, width=32)), st.randoms())
@settings(deadline=None, derandomize=True)
def test_a9_any_view_keeps_its_numbers(base: Any, random: Any) -> None:
    steps = tuple(slice(None, None, random.choice([1, -1, 2, -3])) for _ in base.shape)
    view = base[steps].transpose(random.sample(range(base.ndim), base.ndim))
    ready = floats(view, "x")
    assert is_ready(ready)
    np.testing.assert_array_equal(ready, view)


def test_a10_a_read_only_array_is_accepted() -> None:
    x = np.frombuffer(np.ones(3).tobytes())
    assert floats(x, "x").tolist() == [1, 1, 1]


@pytest.mark.parametrize("size", [(0,), (0, 10), (3, 0)])
def test_a11_empty_arrays_keep_their_shape(size: tuple[int, ...]) -> None:
    assert floats(np.zeros(size), "x").shape == size


def test_a12_an_array_without_axes_stays_one() -> None:
    assert floats(np.array(2), "x").shape == ()
    assert floats(2.5, "x").shape == ()


def test_a13_nan_infinity_and_subnormals_pass() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e-45, -0.0], np.float32)
    assert floats(x[::-1], "x").tobytes() == x[::-1].tobytes()


def test_a14_a_masked_array_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"^x is a masked array; .*x\.filled\(0\)"):
        floats(np.ma.masked_array([1.0]), "x")


def test_a14_a_matrix_becomes_a_plain_array() -> None:
    with pytest.warns(PendingDeprecationWarning):
        x = np.matrix([[1.0, 2.0]])
    assert is_ready(floats(x, "x"))


@pytest.mark.fault("A14")
def test_a14_a_subclass_becomes_a_plain_array() -> None:
    class Sub(np.ndarray[Any, Any]):
        pass

    ready = floats(np.ones(3).view(Sub), "x")
    assert is_ready(ready)


@pytest.mark.parametrize(
    ("given_dtype", "computed"),
    [("f4", F32), ("f8", F64), ("f2", F32), ("?", F64), ("u1", F64), ("i8", F64), (ml_dtypes.bfloat16, F32)],
)
def test_compute_dtype(given_dtype: Any, computed: Any) -> None:
    assert compute_dtype(np.dtype(given_dtype)) == computed


# --- parameter, fill, writeable ---


def test_a_float_parameter_is_held_whatever_its_layout() -> None:
    W = np.ones((4, 6))[:, ::2]
    assert parameter(W, "W") is W


@pytest.mark.parametrize("W", [[[1, 2]], np.ones((2, 2), int), np.ones(2, ">f8")])
def test_any_other_parameter_is_made_ready(W: Any) -> None:
    assert is_ready(parameter(W, "W"))


def test_a17_fill_copies_into_the_array_held() -> None:
    held = np.zeros((2, 3), np.float32)
    fill(held, np.arange(6).reshape(2, 3), "W1")
    assert held.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert held.dtype == np.float32


def test_a17_fill_from_a_view_of_itself_is_as_if_copied() -> None:
    held = np.arange(4.0)
    fill(held, held[::-1], "b1")
    assert held.tolist() == [3, 2, 1, 0]


def test_a17_fill_refuses_another_shape_and_writes_nothing() -> None:
    held = np.zeros(3)
    with pytest.raises(ValueError, match=r"W1 has shape \(3,\), got a value of shape \(1,\)"):
        fill(held, [1.0], "W1")
    assert held.tolist() == [0, 0, 0]


def test_a17_nan_may_be_filled_in_and_too_large_becomes_infinite() -> None:
    held = np.zeros(2, np.float32)
    fill(held, [np.nan, 1e300], "W1")
    np.testing.assert_array_equal(held, np.array([np.nan, np.inf], np.float32))


@pytest.mark.fault("A10")
def test_a10_a_read_only_parameter_is_refused_by_name() -> None:
    W = np.frombuffer(np.ones(3).tobytes())
    with pytest.raises(ValueError, match=r"^params\['W1'\] is read-only"):
        writeable(W, "params['W1']")
    with pytest.raises(ValueError, match=r"^W1 is read-only"):
        fill(W, np.ones(3), "W1")


# --- class ids ---


@pytest.mark.parametrize("bad", [10, -1, 2**40, np.nan, np.inf, -0.5])
def test_l1_an_id_outside_the_classes_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"^labels must lie in 0\.\.9; got {bad} at row 3$"):
        class_ids([0, 1, 2, bad, 20], 10)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u8", "?", "f4", "f2", ">i4", ml_dtypes.bfloat16])
def test_l2_whole_numbers_of_any_dtype_become_int64(dtype: Any) -> None:
    ids = class_ids(np.array([1, 0, 1], dtype), 2)
    assert ids.dtype == np.int64
    assert ids.tolist() == [1, 0, 1]


def test_l2_a_fraction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^labels must be whole numbers; got 3\.5 at row 1$"):
        class_ids([3.0, 3.5], 10)


def test_l1_half_precision_does_not_round_the_limit() -> None:
    # float16 counts by twos from 2048: 2051 would become 2052 there, and let 2052 pass.
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2051; got 2052"):
        class_ids(np.array([2052], np.float16), 2052)


def test_l1_a_bfloat16_nan_is_refused_quietly() -> None:
    with pytest.raises(ValueError, match=r"got nan at row 0"):
        class_ids(np.array([np.nan], ml_dtypes.bfloat16), 10)


@pytest.mark.fault("L6")
def test_l6_ids_are_a_private_copy() -> None:
    t = np.array([1, 2])
    assert not np.shares_memory(class_ids(t, 10), t)


# --- targets ---


@pytest.mark.parametrize("t", [[0, 2], [[0], [2]], np.array([0, 2], np.float32)])
def test_l3_ids_come_as_int64_of_one_axis(t: Any) -> None:
    ordered, ids = targets(t, (2, 3), F32)
    assert ids
    assert ordered.dtype == np.int64
    assert ordered.tolist() == [0, 2]


@pytest.mark.fault("L3")
def test_l3_one_class_is_decided_by_the_axes() -> None:
    assert targets([0, 0], (2, 1), F64)[1] is True
    assert targets([[1], [1]], (2, 1), F64)[1] is False


@pytest.mark.fault("L3")
def test_l3_ids_as_many_as_scores_are_not_one_hot() -> None:
    with pytest.raises(ValueError, match=r"t must have shape \(1,\) .*got t.shape=\(3,\) for scores of shape \(1, 3\)"):
        targets([0, 1, 2], (1, 3), F64)


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("t", [[[0, 1], [1, 0]], [[0.3, 0.7], [0.5, 0.5]], [[1, 0], [1.0005, 0]]])
def test_l4_distributions_come_in_the_dtype_of_the_scores(t: Any, dtype: Any) -> None:
    ordered, ids = targets(t, (2, 2), dtype)
    assert not ids
    assert ordered.dtype == dtype
    np.testing.assert_array_equal(ordered, np.array(t, dtype))


BAD_ROWS = [[0.5, 0.6], [0, 0], [2, -1], [np.nan, 1], [np.inf, 0], [np.inf, -np.inf], [1e300, 0], [1.002, 0]]


@pytest.mark.fault("L4")
@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("bad", BAD_ROWS)
def test_l4_what_is_no_distribution_is_refused_with_its_row(bad: Any, dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"each row of t must be finite, >= 0 and sum to 1 .* row 1 sums to"):
        targets(np.array([[0, 1], bad, [5, 5]]), (3, 2), dtype)


def test_l4_no_classes_is_no_distribution() -> None:
    with pytest.raises(ValueError, match=r"row 0 sums to 0"):
        targets(np.zeros((2, 0)), (2, 0), F64)


@pytest.mark.parametrize("size", [(), (1,), (3,), (2, 1), (2, 2), (3, 4), (2, 3, 1)])
def test_l5_another_shape_is_refused_with_both(size: tuple[int, ...]) -> None:
    t = np.zeros(size)
    if size in ((2,), (2, 1)):
        assert targets(t, (2, 3), F64)[1]
        return
    with pytest.raises(ValueError, match=r"got t.shape=\(.*\) for scores of shape \(2, 3\)"):
        targets(t, (2, 3), F64)


def test_one_example_takes_one_id_or_one_distribution() -> None:
    ordered, ids = targets(2, (3,), F64)
    assert ids
    assert ordered.tolist() == [2]
    ordered, ids = targets([0, 0, 1], (3,), F64)
    assert not ids
    assert ordered.tolist() == [[0, 0, 1]]


def test_one_example_refuses_the_rest() -> None:
    with pytest.raises(ValueError, match=r"t must be one class id or have shape \(3,\), got t.shape=\(2,\)"):
        targets([1, 2], (3,), F64)


@pytest.mark.fault("L6")
@pytest.mark.parametrize("t", [np.eye(2), np.array([0, 1])])
def test_l6_targets_are_a_private_copy(t: Any) -> None:
    assert not np.shares_memory(targets(t, (2, 2), F64)[0], t)


def test_a7_complex_labels_are_refused() -> None:
    with pytest.raises(TypeError, match=r"t has dtype complex128"):
        targets([1j], (1, 2), F64)


def test_a11_no_labels_for_no_examples() -> None:
    assert targets([], (0, 3), F64)[0].shape == (0,)
    assert targets(np.zeros((0, 3)), (0, 3), F64)[0].shape == (0, 3)


# --- rows that count as often as their weight says ---


@pytest.mark.parametrize("dtype", [F32, F64])
def test_weighted_rows_keep_their_dtype_and_sum_to_their_weight(dtype: Any) -> None:
    rows = np.array([[0, 1], [0.25, 0.75], [0.5, 0.5]], dtype)
    weights = np.array([3.0, 0.0, 1e-3])
    ready = weighted(rows, weights)
    assert is_ready(ready)
    np.testing.assert_array_equal(ready, np.array([[0, 3], [0, 0], [5e-4, 5e-4]], dtype), strict=True)
    np.testing.assert_array_equal(ready.sum(axis=1), weights.astype(dtype), strict=True)


def test_a_weight_too_large_for_the_dtype_is_infinite_without_a_warning() -> None:
    np.testing.assert_array_equal(
        weighted(np.full((2, 2), 0.5, F32), np.array([1e300, 1.0])), [[np.inf] * 2, [0.5] * 2]
    )


# --- numbers ---


@pytest.mark.parametrize("value", [1, np.int8(1), np.array(1), 2**31 - 1])
def test_s3_counts_are_whole_numbers(value: Any) -> None:
    assert count(value, "epochs") == int(value)
    assert type(count(value, "epochs")) is int


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.nan, "1", None, [1], Fraction(1)])
def test_s3_a_count_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^epochs must be a whole number, got"):
        count(value, "epochs")


@pytest.mark.parametrize("value", [0, -1, 2**31, 10**100])
def test_s3_a_count_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=rf"^epochs must lie in 1\.\.2147483647, got {value}$"):
        count(value, "epochs")


def test_s3_least_moves_the_range() -> None:
    assert count(0, "steps", least=0) == 0
    with pytest.raises(ValueError, match=r"steps must lie in 0\.\."):
        count(-1, "steps", least=0)


@pytest.mark.parametrize("value", [0.1, 1, np.float32(0.5), np.array(0.5), Fraction(1, 2)])
def test_s3_a_positive_number(value: Any) -> None:
    assert positive(value, "lr") == float(value)
    assert type(positive(value, "lr")) is float


@pytest.mark.parametrize("value", [0, -0.1, -0.0])
def test_s3_zero_and_below_are_not_positive(value: float) -> None:
    with pytest.raises(ValueError, match=r"^lr must be > 0, got"):
        positive(value, "lr")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 10**400])
@pytest.mark.parametrize("function", [positive, real])
def test_s3_a_number_that_is_not_finite_is_refused(function: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^lr must be finite, got"):
        function(value, "lr")


BAD_NUMBERS = [
    True,
    np.True_,
    "0.1",
    b"1",
    bytearray(b"1"),
    None,
    [0.1],
    1j,
    np.complex128(1),
    np.ma.masked,
    {},
]


@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_s3_a_number_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^lr must be a number, got"):
        positive(value, "lr")


@pytest.mark.parametrize("value", [0, -2.5, 7])
def test_real_gives_a_float(value: float) -> None:
    assert real(value, "x") == value


# --- shapes ---


def test_s1_a_shape_that_fits_is_given_back() -> None:
    assert shape("W1", 784, 50, dtype=F64) == (784, 50)


@pytest.mark.fault("S1")
@pytest.mark.parametrize("sizes", [(2**31 - 1, 2**31 - 1), (2**40, 2**40), (np.int64(2**40), np.int64(2**40))])
def test_s1_a_shape_beyond_all_addresses_is_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match=r"^W1 of shape .* would hold more bytes"):
        shape("W1", *sizes, dtype=F64)
