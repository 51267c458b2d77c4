"""The data set, the IDX reader against bad files, and downloads from a server on the loopback address."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from chainrule._errors import DataError, DownloadError
from chainrule.cli import main
from chainrule.data import download, mnist
from chainrule.data.mnist import download_mnist, init_mnist, key_file, load_mnist, read_idx

Split: TypeAlias = tuple[NDArray[Any], NDArray[Any]]

TRAIN_LABELS = key_file["train_label"]
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx(array: NDArray[Any]) -> bytes:
    """Write `array` as IDX, from the format's description."""
    magic = struct.pack(">HBB", 0, CODES[array.dtype.name], array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return magic + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small_set(classes: int = 10) -> dict[str, bytes]:
    """Make four IDX files: 200 and 100 images of 4 × 3 pixels, mostly zeros: gzip makes them smaller."""
    files = {}
    for part, n in (("train", 200), ("test", 100)):
        images = np.zeros((n, 4, 3), np.uint8)
        images[:, 0, 0] = np.arange(n)
        files[key_file[f"{part}_img"]] = idx(images)
        files[key_file[f"{part}_label"]] = idx((np.arange(n) % classes).astype(np.uint8))
    return files


def write_set(folder: Path, files: dict[str, bytes], zipped: bool = True) -> Path:
    for name, content in files.items():
        path = folder / (name if zipped else name.removesuffix(".gz"))
        path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    return folder


@pytest.fixture(scope="module")
def pixels() -> tuple[Split, Split]:
    return load_mnist(normalize=False)


# The data set: facts anybody can look up.


def test_shapes_and_dtypes(pixels: tuple[Split, Split]) -> None:
    (x_train, t_train), (x_test, t_test) = pixels
    assert (x_train.shape, t_train.shape) == ((60000, 784), (60000,))
    assert (x_test.shape, t_test.shape) == ((10000, 784), (10000,))
    assert {a.dtype for a in (x_train, t_train, x_test, t_test)} == {np.dtype(np.uint8)}


def test_first_labels(pixels: tuple[Split, Split]) -> None:
    # The digits every MNIST tutorial shows first.
    (_, t_train), (_, t_test) = pixels
    assert t_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert t_test[:5].tolist() == [7, 2, 1, 0, 4]


def test_mean_pixel(pixels: tuple[Split, Split]) -> None:
    # Normalize((0.1307,), (0.3081,)) in pytorch/examples, mnist/main.py.
    assert round(pixels[0][0].mean() / 255, 4) == 0.1307


def test_label_counts(pixels: tuple[Split, Split]) -> None:
    # numpy.unique(y_train, return_counts=True) and the same of y_test, from keras.datasets.mnist.
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert [np.bincount(t).tolist() for _, t in pixels] == [train, test]


def test_names_of_the_tutorial() -> None:
    assert (mnist.train_num, mnist.test_num, mnist.img_dim, mnist.img_size) == (
        60000,
        10000,
        (1, 28, 28),
        784,
    )


def test_normalised_pixels_have_the_tutorials_bits(pixels: tuple[Split, Split]) -> None:
    (x_train, _), (x_test, _) = load_mnist()
    assert x_train.dtype == np.float32
    for x, raw in ((x_train, pixels[0][0]), (x_test, pixels[1][0])):
        expected = raw.astype(np.float32)
        expected /= 255.0
        assert np.array_equal(x.view(np.uint32), expected.view(np.uint32))


def test_images_not_flattened(pixels: tuple[Split, Split]) -> None:
    (x_train, _), (x_test, _) = load_mnist(normalize=False, flatten=False)
    assert (x_train.shape, x_test.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert np.array_equal(x_test.reshape(-1, 784), pixels[1][0])


def test_one_hot_labels(pixels: tuple[Split, Split]) -> None:
    (_, t_train), _ = load_mnist(normalize=False, one_hot_label=True)
    assert t_train.dtype == np.float64
    assert np.array_equal(t_train, np.eye(10)[pixels[0][1]])


def test_init_mnist_finds_the_package_whole() -> None:
    init_mnist()


@pytest.mark.parametrize("damage", ["missing", "other", "cut"])
def test_init_mnist_refuses_a_damaged_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = tmp_path / key_file["train_img"]
    if damage != "missing":
        content = Path(mnist._PACKAGED, key_file["test_img"]).read_bytes()
        path.write_bytes(content if damage == "other" else content[:-9])
    monkeypatch.setattr(mnist, "_PACKAGED", tmp_path)
    with pytest.raises(DataError, match=f"^{path.name}: "):
        init_mnist()


def test_loading_writes_nothing_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    load_mnist(normalize=False)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_import_is_light() -> None:
    code = "import numpy, sys; a = set(sys.modules); import chainrule.data.mnist; print(*set(sys.modules) - a)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    got = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert not {"tqdm", "urllib.request", "gzip", "platformdirs", "http.client"} & set(got.stdout.split())


# A folder of the reader's own.


@pytest.mark.parametrize("zipped", [True, False])
def test_own_folder(tmp_path: Path, zipped: bool) -> None:
    (x, t), (x_test, _) = load_mnist(data_dir=write_set(tmp_path, small_set(), zipped))
    assert (x.shape, x_test.shape) == ((200, 12), (100, 12))
    assert np.array_equal(x[:, 0], np.arange(200, dtype=np.float32) / np.float32(255))
    assert t[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_own_folder_not_flattened(tmp_path: Path) -> None:
    (x, _), _ = load_mnist(flatten=False, data_dir=write_set(tmp_path, small_set()))
    assert x.shape == (200, 1, 4, 3)


def test_raw_bytes_under_a_gz_name(tmp_path: Path) -> None:
    write_set(tmp_path, small_set())
    (tmp_path / TRAIN_LABELS).write_bytes(small_set()[TRAIN_LABELS])
    assert load_mnist(data_dir=str(tmp_path))[0][1].shape == (200,)


@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_arrays_are_fresh_writable_and_contiguous(tmp_path: Path, normalize: bool, one_hot: bool) -> None:
    write_set(tmp_path, small_set())
    for first, second in zip(
        sum(load_mnist(normalize, one_hot_label=one_hot, data_dir=tmp_path), ()),
        sum(load_mnist(normalize, one_hot_label=one_hot, data_dir=tmp_path), ()),
        strict=True,
    ):
        assert first.flags.writeable
        assert first.flags.c_contiguous
        assert not np.shares_memory(first, second)


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist() -> None:
    # Class 9 is the ankle boot, the first picture of the training set in Fashion-MNIST's README.
    (x_train, t_train), (x_test, _) = load_mnist(normalize=False, data_dir=FASHION)
    assert (x_train.shape, x_test.shape, t_train[0]) == ((60000, 784), (10000, 784), 9)
    assert np.bincount(t_train).tolist() == [6000] * 10


def test_missing_file_names_folder_and_names(tmp_path: Path) -> None:
    write_set(tmp_path, small_set())
    (tmp_path / TRAIN_LABELS).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(data_dir=tmp_path)
    for text in (str(tmp_path), TRAIN_LABELS, TRAIN_LABELS.removesuffix(".gz") + " "):
        assert text in str(caught.value)


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    write_set(tmp_path, small_set() | {TRAIN_LABELS: idx(np.zeros(199, np.uint8))})
    with pytest.raises(DataError, match=r"has 200 images, .*has 199 labels"):
        load_mnist(data_dir=tmp_path)


@pytest.mark.parametrize("labels", [np.zeros((200, 1), np.uint8), np.zeros(200, np.int32)])
def test_labels_must_be_bytes_with_one_axis(tmp_path: Path, labels: NDArray[Any]) -> None:
    write_set(tmp_path, small_set() | {TRAIN_LABELS: idx(labels)})
    with pytest.raises(DataError, match=rf"{labels.dtype} of shape .*must hold uint8 labels"):
        load_mnist(data_dir=tmp_path)


def test_one_hot_of_a_label_above_9_names_file_and_row(tmp_path: Path) -> None:
    write_set(tmp_path, small_set(classes=11))
    with pytest.raises(DataError, match=f"{TRAIN_LABELS}: label 10 at row 10"):
        load_mnist(one_hot_label=True, data_dir=tmp_path)


def test_labels_above_9_load_as_numbers(tmp_path: Path) -> None:
    (_, t), _ = load_mnist(data_dir=write_set(tmp_path, small_set(classes=47)))  # EMNIST has 47
    assert t.max() == 46


# The IDX reader.


@pytest.mark.parametrize("shape", [(0,), (7,), (2, 3), (0, 28, 28), (2, 1, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx(tmp_path: Path, shape: tuple[int, ...], dtype: str, pack: Callable[[bytes], bytes]) -> None:
    array = np.random.default_rng(0).uniform(-100, 100, shape).astype(np.int8).astype(dtype)
    (tmp_path / "file").write_bytes(pack(idx(array)))
    got = read_idx(tmp_path / "file")
    assert got.dtype.isnative
    assert got.flags.writeable
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, array, strict=True)


def test_read_idx_of_literal_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes.fromhex("00000b02 00000001 00000002 0102 fffe"))
    assert read_idx(str(tmp_path / "file")).tolist() == [[258, -2]]


def bad(tmp_path: Path, content: bytes) -> str:
    """Give the message `read_idx` refuses `content` with, raw and gzipped; it must be the same."""
    messages = []
    for pack in (bytes, gzip.compress):
        (tmp_path / "bad-file").write_bytes(pack(content))
        with pytest.raises(DataError, match="bad-file: ") as caught:
            read_idx(tmp_path / "bad-file")
        messages.append(str(caught.value).partition("bad-file: ")[2])
    assert messages[0] == messages[1]
    return messages[0]


def header(code: int, *sizes: int) -> bytes:
    return struct.pack(f">HBB{len(sizes)}I", 0, code, len(sizes), *sizes)


@pytest.mark.fault("F9")
@pytest.mark.parametrize("magic", ["01000801", "00010801", "93004e55"])
def test_f9_bad_magic(tmp_path: Path, magic: str) -> None:
    spaced = bytes.fromhex(magic).hex(" ")
    assert f"starts with {spaced}, an IDX file starts with 00 00" in bad(tmp_path, bytes.fromhex(magic))


@pytest.mark.fault("F9")
@pytest.mark.parametrize("code", [0x00, 0x07, 0x0A, 0x0F, 0xFF])
def test_f9_bad_type_byte(tmp_path: Path, code: int) -> None:
    assert f"type byte {code:02x} is none of 08 (uint8)" in bad(tmp_path, header(code, 1) + b"1")


@pytest.mark.fault("F9")
@pytest.mark.parametrize("rank", [0, 5, 255])
def test_f9_bad_rank(tmp_path: Path, rank: int) -> None:
    assert bad(tmp_path, header(8, *[1] * rank) + b"1") == f"rank {rank}; chainrule reads 1 to 4 axes"


@pytest.mark.fault("F9")
@pytest.mark.parametrize("sizes", [[2**32 - 1] * 2, [2**32 - 1] * 4, [0, 2**32 - 1, 2**32 - 1]])
def test_f9_dimension_product_overflows(tmp_path: Path, sizes: list[int]) -> None:
    assert f"product of shape {tuple(sizes)} overflows" in bad(tmp_path, header(0x0E, *sizes))


@pytest.mark.fault("F9")
@pytest.mark.parametrize(("code", "size"), [(0x08, 2**31 + 1), (0x0E, 2**28 + 1)])
def test_f9_dimension_product_above_the_cap(tmp_path: Path, code: int, size: int) -> None:
    assert bad(tmp_path, header(code, size)).endswith("the limit is 2147483648")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_f9_ends_inside_the_magic_number(tmp_path: Path, n: int) -> None:
    assert bad(tmp_path, header(8, 1)[:n]) == f"ends inside the magic number, after {n} of 4 bytes"


@pytest.mark.parametrize("n", [0, 1, 7])
def test_f9_ends_inside_the_sizes(tmp_path: Path, n: int) -> None:
    expected = f"ends inside the sizes of its 2 axes, after {n} bytes"
    assert bad(tmp_path, header(8, 1, 1)[: 4 + n]) == expected


@pytest.mark.fault("F9")
def test_f9_short_by_a_byte(tmp_path: Path) -> None:
    expected = "too short: shape (3, 2) of int16 needs 12 bytes after the header, got 11"
    assert bad(tmp_path, idx(np.ones((3, 2), np.int16))[:-1]) == expected


@pytest.mark.fault("F9")
def test_f9_long_by_a_byte(tmp_path: Path) -> None:
    expected = "too long: more than the 12 bytes that shape (3, 2) of int16 needs"
    assert bad(tmp_path, idx(np.ones((3, 2), np.int16)) + b"\0") == expected


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_f9_no_array_is_made_that_the_file_cannot_fill(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack(header(8, 2**31)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"needs 2147483648 bytes after the header, the .*file has"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21


def test_f9_not_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a regular file"):
        read_idx(tmp_path)


def test_f9_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")


VALID = [idx(np.arange(6, dtype=dtype).reshape(2, 3)) for dtype in CODES]


@st.composite
def near_misses(draw: st.DrawFn) -> bytes:
    """Valid files, raw or gzipped, with a few bytes changed, cut or added."""
    content = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(2):
        for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
            content[place] = draw(st.integers(0, 255))
        content = content[: draw(st.integers(1, len(content)))] if draw(st.booleans()) else content
        if draw(st.booleans()):
            content = bytearray(gzip.compress(bytes(content), mtime=0))
    return bytes(content) + draw(st.binary(max_size=2))


@pytest.mark.fault("F9")
@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=64) | st.binary(max_size=40).map(lambda b: b"\0\0" + b) | near_misses())
def test_f9_parser_is_total(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        array = read_idx(path)
        assert idx(array) == (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Make 300 MB of zeros, labelled as ten labels, in 292 kB."""
    squeeze = zlib.compressobj(9, wbits=31)
    parts = [squeeze.compress(header(8, 10))] + [squeeze.compress(bytes(10**6)) for _ in range(300)]
    return b"".join(parts) + squeeze.flush()


@pytest.mark.fault("F10")
def test_f10_gzip_bomb_is_refused_quickly_in_little_memory(tmp_path: Path, bomb: bytes) -> None:
    (tmp_path / "bomb").write_bytes(bomb)
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(DataError, match="too long: more than the 10 bytes"):
        read_idx(tmp_path / "bomb")
    seconds, peak = time.perf_counter() - begin, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5  # all 300 MB take longer to inflate
    assert peak < 2**21


def test_f10_gzip_bomb_as_a_package_file(bomb: bytes) -> None:
    with pytest.raises(DataError, match="holds more than the 10008 bytes"):
        mnist._check_content(key_file["test_label"], io.BytesIO(bomb))


def refused(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "bad.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.gz: ") as caught:
        read_idx(tmp_path / "bad.gz")
    return str(caught.value).partition("bad.gz: ")[2]


LABELS_GZ = gzip.compress(idx(np.arange(200, dtype=np.uint8)), mtime=0)


@pytest.mark.fault("F11")
@pytest.mark.parametrize("kept", [2, 9, 10, 15, 100, len(LABELS_GZ) - 8, len(LABELS_GZ) - 1])
def test_f11_gzip_truncated(tmp_path: Path, kept: int) -> None:
    assert refused(tmp_path, LABELS_GZ[:kept]) == "truncated gzip stream"


@pytest.mark.fault("F11")
def test_f11_gzip_bit_flip(tmp_path: Path) -> None:
    stored = bytearray(gzip.compress(idx(np.arange(200, dtype=np.uint8)), compresslevel=0, mtime=0))
    stored[100] ^= 1  # inside a stored block: only the checksum can tell
    assert refused(tmp_path, bytes(stored)) == "damaged gzip stream: incorrect data check"


def test_f11_gzip_wrong_length_in_trailer(tmp_path: Path) -> None:
    assert refused(tmp_path, LABELS_GZ[:-1] + b"\1") == "damaged gzip stream: incorrect length check"


@pytest.mark.fault("F11")
@pytest.mark.parametrize("more", [b"\0", b"123", LABELS_GZ, bytes(3_000_000)])
def test_f11_gzip_trailing_bytes(tmp_path: Path, more: bytes) -> None:
    assert refused(tmp_path, LABELS_GZ + more) == f"{len(more)} bytes after gzip stream"


@pytest.mark.fault("F11")
def test_f11_not_gzip(tmp_path: Path) -> None:
    message = refused(tmp_path, b"<html>")
    assert message.startswith("starts with 3c 68 74 6d, an IDX file starts with 00 00")
    assert message.endswith("incorrect header check")


def test_f11_gzip_of_unknown_method(tmp_path: Path) -> None:
    assert refused(tmp_path, b"\x1f\x8b\x07" + bytes(20)) == "damaged gzip stream: unknown compression method"


@pytest.mark.fault("F11")
@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)], ids=["nothing", "gzip"])
def test_f11_empty(tmp_path: Path, content: bytes) -> None:
    assert refused(tmp_path, content) == "empty"


# Downloads, from a server on the loopback address. It has two mirrors, /one/ and /two/, which answer as told.

Answer: TypeAlias = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies = {name: gzip.compress(content, mtime=0) for name, content in small_set().items()}
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.done = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, path: str) -> int:
        return self.requests.count(path)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.answers.get(self.path, right)(self)

    def send(
        self,
        body: bytes,
        status: int = 200,
        length: int | None = None,
        kind: str = "application/gzip",
        **more: str,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may stop reading
            self.wfile.write(body)

    @property
    def body(self) -> bytes:
        return self.server.bodies[self.path.rpartition("/")[2]]

    def log_message(self, format: str, *args: Any) -> None:
        pass


def right(handler: Handler) -> None:
    handler.send(handler.body)


def status(code: int) -> Answer:
    return lambda handler: handler.send(b"<h1>no</h1>", code, kind="text/html")


def html(handler: Handler) -> None:
    handler.send(b"<html>please log in</html>", kind="text/html; charset=utf-8")


def garbage(handler: Handler) -> None:
    handler.send(b"not a gzip file")


def other_content(handler: Handler) -> None:
    handler.send(LABELS_GZ)


def too_long(handler: Handler) -> None:
    handler.send(handler.body + bytes(10_000_000))


def length_too_small(handler: Handler) -> None:
    handler.send(handler.body, length=len(handler.body) - 3)


def length_too_large(handler: Handler) -> None:
    handler.send(handler.body, length=10**12)


def cut(handler: Handler) -> None:
    handler.send(handler.body[:-3], length=len(handler.body))


def zipped_twice(handler: Handler) -> None:
    handler.send(gzip.compress(handler.body, mtime=0), Content_Encoding="gzip")


def stall(handler: Handler) -> None:
    handler.server.done.wait(10)


def drip(handler: Handler) -> None:
    handler.send(b"", length=1000)
    while not handler.server.done.wait(0.02):
        try:
            handler.wfile.write(b"\x1f")
        except ConnectionError:
            return


def redirect(target: str) -> Answer:
    return lambda handler: handler.send(b"", 302, Location=target)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve the small set in MNIST's place; nothing waits for long."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        digests = {n: (len(c), hashlib.sha256(c).hexdigest()) for n, c in small_set().items()}
        monkeypatch.setattr(mnist, "_CONTENT", digests)
        monkeypatch.setattr(download, "MIRRORS", (f"{server.url}/one/", f"{server.url}/two/"))
        monkeypatch.setattr(download, "PLAIN_HTTP_HOSTS", frozenset({"127.0.0.1"}))
        monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)
        monkeypatch.delenv("CHAINRULE_OFFLINE", raising=False)
        monkeypatch.setenv("no_proxy", "*")
        yield server
        server.done.set()
        server.shutdown()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failure(dest: Path) -> str:
    """Give the message `download_mnist` fails with, having left `dest` as it was."""
    before = names(dest)
    with pytest.raises(DownloadError) as caught:
        download_mnist(dest)
    assert names(dest) == before
    return str(caught.value)


def test_download(server: Server, tmp_path: Path) -> None:
    folder = download_mnist(tmp_path / "new" / "folder")
    assert folder == tmp_path / "new" / "folder"
    assert names(folder) == sorted(key_file.values())
    assert load_mnist(data_dir=folder)[0][0].shape == (200, 12)
    assert server.requests == [f"/one/{name}" for name in key_file.values()]


def test_download_to_the_folder_of_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path / "mine"))
    assert download_mnist() == tmp_path / "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder is named by XDG_CACHE_HOME on Linux only")
def test_download_to_the_cache_folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download_mnist() == tmp_path / "chainrule" / "mnist"


def test_download_keeps_what_is_right(server: Server, tmp_path: Path) -> None:
    write_set(tmp_path, small_set())
    before = [path.stat().st_ino for path in sorted(tmp_path.iterdir())]
    download_mnist(tmp_path)
    assert server.requests == []
    assert [path.stat().st_ino for path in sorted(tmp_path.iterdir())] == before


def test_download_is_quiet_without_a_terminal(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    download_mnist(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_download_without_a_stderr(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert download_mnist(tmp_path) == tmp_path


def test_download_shows_progress_on_a_terminal(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    download_mnist(tmp_path)
    assert TRAIN_LABELS in terminal.getvalue()
    assert capfd.readouterr().out == ""


def test_download_to_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        download_mnist(tmp_path / "file" / "folder")
    assert names(tmp_path) == ["file"]


def test_f1_a_write_that_fails_leaves_the_folder_as_it_was(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device; name a folder you may write to") as caught:
        download_mnist(tmp_path)
    assert caught.value.errno == 28
    assert names(tmp_path) == []


def test_f1_a_write_that_fails_leaves_a_wrong_file_under_its_name(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, small_set() | {TRAIN_LABELS: b"poison"})
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        download_mnist(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.fault("F12")
def test_f12_wrong_file_is_set_aside_and_fetched_again(server: Server, tmp_path: Path) -> None:
    write_set(tmp_path, small_set() | {TRAIN_LABELS: idx(np.ones(200, np.uint8))})
    poison = (tmp_path / TRAIN_LABELS).read_bytes()
    with pytest.warns(UserWarning, match=f"{TRAIN_LABELS}: not MNIST's.*set aside") as caught:
        download_mnist(tmp_path)
    assert len(caught) == 1
    assert (tmp_path / f"{TRAIN_LABELS}.bad").read_bytes() == poison
    assert (tmp_path / TRAIN_LABELS).read_bytes() == server.bodies[TRAIN_LABELS]
    assert server.requests == [f"/one/{TRAIN_LABELS}"]


def test_f12_wrong_file_stays_when_every_mirror_fails(server: Server, tmp_path: Path) -> None:
    write_set(tmp_path, small_set() | {TRAIN_LABELS: b"poison"})
    server.answers = {f"/{mirror}/{TRAIN_LABELS}": status(404) for mirror in ("one", "two")}
    failure(tmp_path)


@pytest.mark.fault("F12")
def test_f12_wrong_file_offline(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, small_set() | {TRAIN_LABELS: b"poison"})
    monkeypatch.setenv("CHAINRULE_OFFLINE", "1")
    with pytest.raises(DataError, match=f"{TRAIN_LABELS}: not MNIST's"):
        download_mnist(tmp_path)


@pytest.mark.fault("F13")
@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs O_NOFOLLOW")
def test_f13_symbolic_link_is_not_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_set(tmp_path, small_set())
    (tmp_path / "a" / TRAIN_LABELS).symlink_to(tmp_path / TRAIN_LABELS)
    with pytest.warns(UserWarning, match="a symbolic link"):
        download_mnist(tmp_path / "a")
    assert not (tmp_path / "a" / TRAIN_LABELS).is_symlink()
    assert (tmp_path / TRAIN_LABELS).exists()


@pytest.mark.fault("F13")
def test_f13_folder_in_the_files_place(server: Server, tmp_path: Path) -> None:
    (tmp_path / TRAIN_LABELS).mkdir()
    with pytest.warns(UserWarning, match="not a regular file"):
        download_mnist(tmp_path)
    assert (tmp_path / f"{TRAIN_LABELS}.bad").is_dir()


@pytest.mark.fault("F13")
def test_f13_a_folder_that_cannot_be_written_is_not_replaced_by_the_systems_temporary_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temp").mkdir()
    (tmp_path / "file").touch()
    for variable in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(variable, str(tmp_path / "temp"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # so that the variables are asked again
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path / "file" / "folder"))
    with pytest.raises(NotADirectoryError):
        download_mnist()
    assert names(tmp_path / "temp") == []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a folder below a file, which not even root can make, as the cache; nothing is in memory yet."""
    (tmp_path / "file").touch()
    monkeypatch.delenv("CHAINRULE_DATA_DIR", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "file" / name))
    monkeypatch.setattr(mnist, "_IN_MEMORY", {})
    return tmp_path / "file" / "chainrule" / "mnist"


def loaded(folder: Path) -> list[Any]:
    """Give the four arrays that `load_mnist` finds in a folder."""
    train, test = load_mnist(normalize=False, data_dir=folder)
    return [array.tolist() for array in (*train, *test)]


IN_MEMORY = r"name a folder .* in CHAINRULE_DATA_DIR\. Till this process ends the files are in memory"


@pytest.mark.fault("F15")
def test_f15_without_a_cache_a_download_stays_in_memory_and_is_loaded_from_there(
    server: Server, cache: Path, tmp_path: Path
) -> None:
    with pytest.warns(RuntimeWarning, match=IN_MEMORY) as caught:
        folder = download_mnist()
    assert [str(warning.message).partition(";")[0] for warning in caught] == [f"{cache}: Not a directory"]
    assert caught[0].filename == __file__
    assert folder == cache
    assert loaded(folder) == loaded(download_mnist(tmp_path / "elsewhere"))
    assert loaded(Path(str(folder))) == loaded(tmp_path / "elsewhere")
    assert names(tmp_path) == ["elsewhere", "file"]


@pytest.mark.fault("F15")
def test_f15_what_is_in_memory_is_not_fetched_again_and_is_written_when_it_can_be(server: Server, cache: Path) -> None:
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=IN_MEMORY):
            download_mnist()
    assert len(server.requests) == 4
    cache.parents[1].unlink()
    assert names(download_mnist()) == sorted(key_file.values())
    assert len(server.requests) == 4
    assert mnist._IN_MEMORY == {}


@pytest.mark.fault("F15")
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENOSPC])
def test_f15_a_write_that_fails_in_the_cache_leaves_the_file_in_memory(
    number: int, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file fits, the others do not."""
    cache.parents[1].unlink()
    synced, fsync = [], os.fsync

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 2:  # of the first file, and of its folder
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match=f"{os.strerror(number)}; {IN_MEMORY}") as caught:
        download_mnist()
    assert len(caught) == 1
    assert names(cache) == [key_file["train_img"]]
    x, t, *_ = loaded(cache)
    assert (len(x), len(t)) == (200, 200)


@pytest.mark.fault("F15")
def test_f15_a_wrong_file_that_cannot_be_replaced_stays_and_the_right_one_is_loaded(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parents[1].unlink()
    cache.mkdir(parents=True)
    write_set(cache, small_set() | {TRAIN_LABELS: idx(np.ones(200, np.uint8))})
    before = (cache / TRAIN_LABELS).read_bytes()

    def read_only(*_: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as context:
        context.setattr(os, "replace", read_only)
        with pytest.warns(RuntimeWarning, match=IN_MEMORY) as caught:
            download_mnist()
    assert len(caught) == 1
    assert (names(cache), (cache / TRAIN_LABELS).read_bytes()) == (sorted(key_file.values()), before)
    assert set(loaded(cache)[1]) != {1}


def no_home(_: str) -> str:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.fault("F15")
@pytest.mark.parametrize("cache_dir", [no_home, lambda name: f"~/.cache/{name}"], ids=["new", "old"])
def test_f15_without_a_home_no_folder_is_called_after_its_sign(
    cache_dir: Callable[[str], str], server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", cache_dir)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(RuntimeWarning, match=f"~ stands for no folder here; {IN_MEMORY}"):
        folder = download_mnist()
    assert len(loaded(folder)[0]) == 200
    assert main(["data", "fetch"]) == 2
    assert main(["data", "verify"]) == 1  # of the package's copy: the server's is small
    assert names(tmp_path) == ["file"]


@pytest.mark.fault("F15")
@pytest.mark.parametrize("named", ["dest", "CHAINRULE_DATA_DIR"])
def test_f15_a_folder_that_somebody_named_is_written_or_an_error(
    named: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named == "CHAINRULE_DATA_DIR":
        monkeypatch.setenv(named, str(cache))
    with pytest.raises(NotADirectoryError):
        download_mnist(cache if named == "dest" else None)
    assert mnist._IN_MEMORY == {}


@pytest.mark.fault("F15")
def test_f15_the_command_that_fetches_files_keeps_none_in_memory(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "fetch"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"chainrule: error: .*: Not a directory.*\n", printed.err)


@pytest.mark.fault("F15")
def test_f15_what_is_kept_in_memory_was_proved(server: Server, cache: Path) -> None:
    server.answers = {f"/{mirror}/{key_file['train_img']}": other_content for mirror in ("one", "two")}
    with pytest.raises(DownloadError, match="not MNIST's: SHA-256"):
        download_mnist()
    assert mnist._IN_MEMORY == {}


@pytest.mark.fault("F15")
def test_f15_the_packaged_digits_need_neither_home_nor_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    assert load_mnist()[0][0].shape == (60000, 784)


@pytest.mark.fault("N1")
def test_n1_message_lists_mirrors_reasons_names_and_folder(server: Server, tmp_path: Path) -> None:
    first = key_file["train_img"]
    server.answers = {f"/one/{first}": status(404), f"/two/{first}": html}
    message = failure(tmp_path)
    assert f"{server.url}/one/{first}: HTTP 404 Not Found" in message
    assert f"{server.url}/two/{first}: a web page (text/html) came instead of the file" in message
    for text in (*key_file.values(), str(tmp_path), "CHAINRULE_DATA_DIR"):
        assert text in message


def test_n1_connection_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else gets the port, nobody answers
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setattr(download, "MIRRORS", (f"http://127.0.0.1:{bound.getsockname()[1]}/",))
        message = failure(tmp_path)
    assert "ConnectionRefusedError" in message
    assert "tries" not in message


@pytest.mark.fault("N1")
def test_n1_dns_failure(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(download, "MIRRORS", ("https://a.invalid/", "https://b.invalid/"))
    message = failure(tmp_path)
    assert message.count("Name or service not known") == 2


@pytest.mark.fault("N2")
@pytest.mark.parametrize("code", [403, 404, 410, 429])
def test_n2_refusal_goes_to_the_next_mirror_at_once(server: Server, tmp_path: Path, code: int) -> None:
    server.answers[f"/one/{TRAIN_LABELS}"] = status(code)
    download_mnist(tmp_path)
    assert names(tmp_path) == sorted(key_file.values())
    assert (server.count(f"/one/{TRAIN_LABELS}"), server.count(f"/two/{TRAIN_LABELS}")) == (1, 1)


@pytest.mark.fault("N2")
@pytest.mark.parametrize("code", [500, 503])
def test_n2_server_error_is_tried_three_times(server: Server, tmp_path: Path, code: int) -> None:
    server.answers[f"/one/{TRAIN_LABELS}"] = status(code)
    download_mnist(tmp_path)
    assert (server.count(f"/one/{TRAIN_LABELS}"), server.count(f"/two/{TRAIN_LABELS}")) == (3, 1)


@pytest.mark.fault("N2")
@pytest.mark.parametrize("answer", [html, garbage, other_content, zipped_twice])
def test_n2_wrong_body_goes_to_the_next_mirror_at_once(server: Server, tmp_path: Path, answer: Answer) -> None:
    server.answers[f"/one/{TRAIN_LABELS}"] = answer
    download_mnist(tmp_path)
    assert (tmp_path / TRAIN_LABELS).read_bytes() == server.bodies[TRAIN_LABELS]
    assert server.count(f"/one/{TRAIN_LABELS}") == 1


@pytest.mark.fault("N2")
def test_n2_redirect_to_html(server: Server, tmp_path: Path) -> None:
    server.answers |= {f"/one/{TRAIN_LABELS}": redirect("/login"), "/login": html}
    download_mnist(tmp_path)
    assert server.count("/login") == 1
    assert server.count(f"/two/{TRAIN_LABELS}") == 1


@pytest.mark.fault("N3")
@pytest.mark.parametrize("answer", [stall, cut])
def test_n3_stall_and_cut_are_tried_three_times(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(download, "READ_SECONDS", 0.2)
    server.answers[f"/one/{TRAIN_LABELS}"] = answer
    download_mnist(tmp_path)
    assert (server.count(f"/one/{TRAIN_LABELS}"), server.count(f"/two/{TRAIN_LABELS}")) == (3, 1)


@pytest.mark.fault("N3")
def test_n3_slow_drip_ends_at_the_files_deadline(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FILE_SECONDS", 0.3)
    server.answers = {f"/{mirror}/{key_file['train_img']}": drip for mirror in ("one", "two")}
    assert failure(tmp_path).count("not done after 0.3 s") == 2


@pytest.mark.fault("N4")
def test_n4_body_too_long(server: Server, tmp_path: Path) -> None:
    size = mnist._CONTENT[key_file["train_img"]][0]
    server.answers = {f"/{mirror}/{key_file['train_img']}": too_long for mirror in ("one", "two")}
    assert failure(tmp_path).count(f"body is longer than {size} bytes") == 2


@pytest.mark.fault("N4")
def test_n4_content_length_too_small(server: Server, tmp_path: Path) -> None:
    server.answers[f"/one/{TRAIN_LABELS}"] = length_too_small
    download_mnist(tmp_path)
    assert server.count(f"/two/{TRAIN_LABELS}") == 1


@pytest.mark.fault("N4")
def test_n4_content_length_too_large_is_harmless(server: Server, tmp_path: Path) -> None:
    server.answers[f"/one/{TRAIN_LABELS}"] = length_too_large
    download_mnist(tmp_path)
    assert server.count(f"/two/{TRAIN_LABELS}") == 0


@pytest.mark.fault("N4")
def test_n4_identity_encoding_is_asked(server: Server, tmp_path: Path) -> None:
    asked = []

    def note(handler: Handler) -> None:
        asked.append(handler.headers["Accept-Encoding"])
        right(handler)

    server.answers[f"/one/{TRAIN_LABELS}"] = note
    download_mnist(tmp_path)
    assert asked == ["identity"]


@pytest.mark.fault("N5")
@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://[", "http://localhost:{}/x"])
def test_n5_redirect_to_anything_but_https_is_refused(server: Server, tmp_path: Path, target: str) -> None:
    server.answers[f"/one/{TRAIN_LABELS}"] = redirect(target.format(server.server_port))
    download_mnist(tmp_path)
    assert server.count(f"/one/{TRAIN_LABELS}") == 1
    assert server.count(f"/two/{TRAIN_LABELS}") == 1
    assert server.count("/x") == 0


def test_n5_safe_redirect_is_followed_and_its_own_body_not_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(handler: Handler) -> None:
        handler.send(b"", 302, length=10**12, Location=f"/moved/{TRAIN_LABELS}")
        handler.server.done.wait(10)

    monkeypatch.setattr(download, "READ_SECONDS", 0.5)
    server.answers[f"/one/{TRAIN_LABELS}"] = endless
    download_mnist(tmp_path)
    assert server.count(f"/moved/{TRAIN_LABELS}") == 1
    assert server.count(f"/two/{TRAIN_LABELS}") == 0


@pytest.mark.fault("N5")
def test_n5_plain_http_mirror_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PLAIN_HTTP_HOSTS", frozenset())
    assert failure(tmp_path).count("refused: only https is followed") == 2
    assert server.requests == []


def test_n5_the_mirrors_are_https() -> None:
    assert all(mirror.startswith("https://") for mirror in download.MIRRORS)
    assert frozenset() == download.PLAIN_HTTP_HOSTS


def test_n6_eight_fetch_at_once(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=download_mnist, args=(tmp_path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == sorted(key_file.values())
    assert load_mnist(data_dir=tmp_path)[1][0].shape == (100, 12)


FETCH = """
import sys
from chainrule.cli import main
from chainrule.data import download, mnist

folder, url, contents = sys.argv[1], sys.argv[2], sys.argv[3:]
numbers = [content.split(",") for content in contents]
mnist._CONTENT = {name: (int(size), digest) for name, size, digest in numbers}
download.MIRRORS, download.PLAIN_HTTP_HOSTS = (url,), frozenset({"127.0.0.1"})
print(mnist.download_mnist(folder))
"""


def fetching(server: Server, folder: Path) -> subprocess.Popen[str]:
    """Start a process that fetches the small set from the first mirror."""
    contents = [f"{name},{size},{digest}" for name, (size, digest) in mnist._CONTENT.items()]
    command = [sys.executable, "-W", "error", "-c", FETCH, str(folder), f"{server.url}/one/", *contents]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.fault("N6")
@pytest.mark.skipif(sys.platform == "win32", reason="a file that is being read cannot be replaced there")
def test_n6_eight_processes_fetch_at_once(server: Server, tmp_path: Path) -> None:
    children = [fetching(server, tmp_path) for _ in range(8)]
    while any(child.poll() is None for child in children):
        present = [path for path in map(tmp_path.joinpath, key_file.values()) if path.exists()]
        assert all(path.read_bytes() == server.bodies[path.name] for path in present)
    assert [child.communicate() for child in children] == [(f"{tmp_path}\n", "")] * 8
    assert names(tmp_path) == sorted(key_file.values())


@pytest.mark.fault("N6")
def test_n6_a_process_that_is_killed_as_it_fetches_leaves_whole_files_only(server: Server, tmp_path: Path) -> None:
    third, asked = key_file["test_img"], threading.Event()

    def half(handler: Handler) -> None:
        handler.send(handler.body[: len(handler.body) // 2], length=len(handler.body))
        asked.set()
        handler.server.done.wait(100)

    server.answers[f"/one/{third}"] = half
    with fetching(server, tmp_path) as child:
        assert asked.wait(100)
        child.kill()
    assert names(tmp_path) == sorted([key_file["train_img"], TRAIN_LABELS])
    assert all((tmp_path / name).read_bytes() == server.bodies[name] for name in names(tmp_path))
    del server.answers[f"/one/{third}"]
    download_mnist(tmp_path)
    assert names(tmp_path) == sorted(key_file.values())
    assert server.count(f"/one/{TRAIN_LABELS}") == 1


@pytest.mark.fault("N7")
def test_n7_offline_opens_no_socket(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setenv("CHAINRULE_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", opened)
    message = failure(tmp_path)
    assert "CHAINRULE_OFFLINE" in message
    assert all(name in message for name in key_file.values())


def test_n7_offline_is_fine_when_the_files_are_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_OFFLINE", "1")
    assert download_mnist(write_set(tmp_path, small_set())) == tmp_path


# --- files as other places name and pack them ---


@pytest.mark.parametrize("end", ["", ".gz"])
def test_names_with_a_dot_are_found(tmp_path: Path, end: str) -> None:
    for name, content in small_set().items():
        raw = name.removesuffix(".gz").replace("-idx", ".idx")
        assert re.fullmatch(r"(train|t10k)-(images|labels)\.idx[13]-ubyte", raw)
        (tmp_path / f"{raw}{end}").write_bytes(gzip.compress(content) if end else content)
        (tmp_path / name.removesuffix(".gz")).mkdir()  # as in an archive that has both
    (x, t), (x_test, t_test) = load_mnist(normalize=False, data_dir=tmp_path)
    assert (x[:, 0] == np.arange(200)).all()
    assert (t == np.arange(200) % 10).all()
    assert (len(x_test), len(t_test)) == (100, 100)


def test_the_usual_name_goes_before_the_one_with_a_dot(tmp_path: Path) -> None:
    for name, content in small_set().items():
        (tmp_path / name).write_bytes(gzip.compress(content))
        (tmp_path / name.replace("-idx", ".idx")).write_bytes(b"wrong")
    load_mnist(data_dir=tmp_path)


def test_mnist_with_dots_is_proved(tmp_path: Path) -> None:
    for name in key_file.values():
        (tmp_path / name.replace("-idx", ".idx")).write_bytes((mnist.packaged_folder() / name).read_bytes())
    assert [fault for _, fault in mnist.faults(tmp_path)] == [""] * 4


@pytest.mark.fault("F11")
def test_f11_gzip_within_gzip_says_to_unpack_it_once(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(gzip.compress(idx(np.arange(3, dtype=np.uint8)))))
    with pytest.raises(
        DataError, match=f"^{re.escape(str(path))}: compressed by gzip twice; unpack it once, with gunzip"
    ):
        read_idx(path)
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert read_idx(path).tolist() == [0, 1, 2]
