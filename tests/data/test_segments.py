"""Gzip files in segments: what they hold, whoever reads them, and that a damaged one is refused as any other is."""

from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest

from chainrule import DataError, read_idx
from chainrule._kernels import inflate_segments
from chainrule.data import idx
from chainrule.data.mnist import key_file, packaged_folder
from segmented_gzip import segmented


def header_of(count: int) -> bytes:
    return struct.pack(">HBBII", 0, 8, 2, count, 3)


def of_rows(count: int, segments: int) -> tuple[bytes, np.ndarray]:
    values = np.random.default_rng(count).integers(0, 4, (count, 3), np.uint8)
    return segmented(header_of(count), values.tobytes(), segments), values


@pytest.fixture
def slow_reader_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = idx._fill

    def fill(source: object, into: memoryview) -> int:
        assert len(into) <= 16, "values that the slow reader is asked for"
        return taken(source, into)  # type: ignore[arg-type]

    monkeypatch.setattr(idx, "_fill", fill)


@pytest.mark.usefixtures("slow_reader_forbidden")
@pytest.mark.parametrize("count", [0, 1, 2, 1000, 50_000])
@pytest.mark.parametrize("segments", [1, 2, 5, 16])
def test_what_is_in_segments_is_read_at_once(tmp_path: Path, count: int, segments: int) -> None:
    file, values = of_rows(count, segments)
    (tmp_path / "values").write_bytes(file)
    assert gzip.decompress(file) == header_of(count) + values.tobytes()
    found = read_idx(tmp_path / "values")
    assert np.array_equal(found, values)
    assert found.shape == (count, 3)


@pytest.mark.usefixtures("slow_reader_forbidden")
def test_the_packages_images_are() -> None:
    for name in (key_file["train_img"], key_file["test_img"]):
        path = packaged_folder() / name
        assert read_idx(path).tobytes() == gzip.decompress(path.read_bytes())[16:]


def test_a_damaged_file_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    """Of the header of gzip most is for nobody; whatever else is changed, the checksum or the sizes tell."""
    whole, values = of_rows(60, 3)
    for at in range(len(whole)):
        for bit in (0, 3, 7):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            (tmp_path / "values").write_bytes(damaged)
            try:
                found = read_idx(tmp_path / "values")
            except DataError:
                continue
            assert np.array_equal(found, values), f"byte {at}, bit {bit}"


@pytest.mark.parametrize(("count", "segments"), [(60, 3), (4, 2), (10, 10)])
def test_what_is_read_at_once_any_other_reader_reads(count: int, segments: int) -> None:
    """A block that goes on into the next segment holds the right numbers, and is none for who reads from the front."""
    (whole, values), header = of_rows(count, segments), header_of(count)
    for at, bit in itertools.product(range(len(whole)), range(8)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << bit
        found = np.empty(values.size, np.uint8)
        if inflate_segments(bytes(damaged), len(header), found):
            assert gzip.decompress(damaged) == header + found.tobytes(), f"byte {at}, bit {bit}"


def test_a_file_that_is_cut_or_goes_on_is_refused(tmp_path: Path) -> None:
    whole, _ = of_rows(60, 3)
    for wrong in [*(whole[:length] for length in range(len(whole))), whole + b"\0", whole + whole]:
        (tmp_path / "values").write_bytes(wrong)
        with pytest.raises(DataError):
            read_idx(tmp_path / "values")


def test_a_table_that_lies_is_not_believed(tmp_path: Path) -> None:
    """Right for gzip, whose stream nobody has touched: the slow reader reads it."""
    whole, values = of_rows(60, 3)
    for at, lie in [(16, 0), (16, 2**32 - 1), (20, 1), (24, 2**31), (28, 0), (28, 2**32 - 1), (12, 0)]:
        lying = bytearray(whole)
        lying[at : at + 4] = struct.pack("<I", lie)
        (tmp_path / "values").write_bytes(lying)
        try:
            assert np.array_equal(read_idx(tmp_path / "values"), values)
        except DataError:
            assert at == 12  # the length of the table itself, which gzip goes by


@pytest.mark.parametrize("first", [0, 7, 65, 2**64 - 1])
def test_a_first_segment_of_another_size_is_not_believed(first: int) -> None:
    whole, values = of_rows(60, 3)
    assert inflate_segments(whole, len(header_of(60)), np.empty(values.size, np.uint8))
    assert not inflate_segments(whole, first, np.empty(values.size, np.uint8))
