"""Data sets from elsewhere: fetched from a server on the loopback address, proved, the letters turned upright."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
import warnings
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import load_mnist
from chainrule._errors import DataError, DownloadError
from chainrule.cli import main
from chainrule.data import download, sets
from chainrule.data.mnist import key_file
from chainrule.data.sets import LETTERS, SETS, Source, download_set, faults_of, set_folder
from idx_files import idx

Text = pytest.CaptureFixture[str]

#: An L, as a reader sees it.
L = np.array([[9, 0, 0], [9, 0, 0], [9, 8, 7]], np.uint8)


def small(n: int, classes: int) -> tuple[Any, Any]:
    """Make so many images of 3 x 3 pixels, no two the same."""
    rng = np.random.default_rng(n)
    return rng.integers(0, 256, (n, 3, 3), np.uint8), (np.arange(n) % classes).astype(np.uint8)


def four(train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, bytes]:
    arrays = (*train, *test)
    return {name: gzip.compress(idx(a), mtime=0) for name, a in zip(key_file.values(), arrays, strict=True)}


def proofs(folder: Path) -> dict[str, tuple[int, str]]:
    """Give size and digest of each file in a folder."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir(), reverse=True)}
    return {name: (len(body), hashlib.sha256(body).hexdigest()) for name, body in contents.items()}


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), lambda *arguments: Handler(*arguments, directory=str(folder)))
        self.folder, self.requests = folder, list[str]()


def zip_letters(folder: Path, labels: Any = None) -> None:
    """Write an archive as EMNIST's: images on their side, labels from 1."""
    x, t = small(52, 26)
    x[0], y = L, (t if labels is None else labels) + np.uint8(1)
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        archive.writestr("gzip/emnist-letters-mapping.txt", "1 65 97\n")
        for split in ("train", "test"):
            for kind, array in (("images-idx3", x.transpose(0, 2, 1).copy()), ("labels-idx1", y)):
                archive.writestr(f"gzip/emnist-letters-{split}-{kind}-ubyte.gz", gzip.compress(idx(array)))


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve three small sets in the place of the three, the second mirror being the one that has them."""
    folder = tmp_path_factory.mktemp("served")
    for name in SETS:
        (folder / name).mkdir()
    for name in ("fashion-mnist", "kmnist"):
        for file, body in four(small(30, 10), small(20 if name == "kmnist" else 10, 10)).items():
            (folder / name / file).write_bytes(body)
    zip_letters(folder / LETTERS)
    with Server(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        small_sets = {name: Source((f"{url}/none/", f"{url}/{name}/"), proofs(folder / name)) for name in SETS}
        monkeypatch.setattr(sets, "SETS", small_sets)
        monkeypatch.setattr(download, "PLAIN_HTTP_HOSTS", frozenset({"127.0.0.1"}))
        monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.001)
        monkeypatch.delenv("CHAINRULE_OFFLINE", raising=False)
        monkeypatch.setenv("no_proxy", "*")
        yield server
        server.shutdown()


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_the_four_files_come_as_they_were_published(name: str, server: Server, tmp_path: Path) -> None:
    folder = download_set(name, tmp_path / "new" / "folder")
    assert proofs(folder) == proofs(server.folder / name)
    (x, t), (x_test, _) = load_mnist(normalize=False, flatten=False, data_dir=folder)
    np.testing.assert_array_equal(x[:, 0], small(30, 10)[0])
    assert t.tolist() == list(range(10)) * 3
    assert len(x_test) == (20 if name == "kmnist" else 10)
    assert [fault for _, fault in faults_of(name, folder)] == [""] * 4


def test_letters_stand_upright_and_are_counted_from_0(server: Server, tmp_path: Path) -> None:
    (x, t), test = load_mnist(normalize=False, flatten=False, data_dir=download_set(LETTERS, tmp_path))
    assert x.shape == (52, 1, 3, 3)
    np.testing.assert_array_equal(x[0, 0], L)
    np.testing.assert_array_equal(x[1:, 0], small(52, 26)[0][1:])
    assert t.tolist() == list(range(26)) * 2
    assert test[1].tolist() == t.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(key_file.values())  # no archive is left
    assert [fault for _, fault in faults_of(LETTERS, tmp_path)] == [""] * 4


@pytest.mark.parametrize("name", SETS)
def test_what_is_there_and_right_is_not_fetched_again(name: str, server: Server, tmp_path: Path) -> None:
    download_set(name, tmp_path)
    before, asked = proofs(tmp_path), len(server.requests)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        download_set(name, tmp_path)
    assert (proofs(tmp_path), len(server.requests)) == (before, asked)


@pytest.mark.parametrize("name", SETS)
def test_a_wrong_file_is_set_aside_and_fetched_again(name: str, server: Server, tmp_path: Path) -> None:
    before = proofs(download_set(name, tmp_path))
    path = tmp_path / key_file["train_label"]
    path.write_bytes(gzip.compress(b"poison"))
    with pytest.warns(UserWarning, match=f"{path.name}: .*set aside as {path.name}.bad"):
        download_set(name, tmp_path)
    assert gzip.decompress((tmp_path / f"{path.name}.bad").read_bytes()) == b"poison"
    (tmp_path / f"{path.name}.bad").unlink()
    assert proofs(tmp_path) == before


@pytest.mark.parametrize("name", SETS)
def test_another_body_is_refused_and_nothing_is_written(name: str, server: Server, tmp_path: Path) -> None:
    for path in (server.folder / name).iterdir():
        body = bytearray(path.read_bytes())
        body[-1] ^= 1
        path.write_bytes(body)
    with pytest.raises(DownloadError, match=r"not what was published: SHA-256 is [0-9a-f]{64}, must be [0-9a-f]{64}"):
        download_set(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SETS)
def test_a_longer_body_is_read_no_further_than_it_may_be(name: str, server: Server, tmp_path: Path) -> None:
    for path in (server.folder / name).iterdir():
        path.write_bytes(path.read_bytes() + bytes(1000))
    with pytest.raises(DownloadError, match=r"body is longer than \d+ bytes"):
        download_set(name, tmp_path)


@pytest.mark.parametrize("name", SETS)
def test_offline_nothing_is_asked(name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"ubyte\.gz is not in .*CHAINRULE_OFFLINE is set"):
        download_set(name, tmp_path)
    for file in key_file.values():
        (tmp_path / file).write_bytes(b"poison")
    with pytest.raises(DataError, match="CHAINRULE_OFFLINE is set"):
        download_set(name, tmp_path)
    assert server.requests == []


@pytest.mark.parametrize("labels", [np.full(52, 26, np.uint8), np.arange(51, dtype=np.uint8)])
def test_an_archive_with_other_labels_is_refused(
    labels: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zip_letters(server.folder / LETTERS, labels)
    monkeypatch.setitem(sets.SETS, LETTERS, sets.SETS[LETTERS]._replace(files=proofs(server.folder / LETTERS)))
    with pytest.raises(DataError, match="labels are not 1 to 26, one for each image"):
        download_set(LETTERS, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"no archive", b"PK\x05\x06" + bytes(18)])
def test_an_archive_without_letters_is_refused(
    body: bytes, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / LETTERS / "gzip.zip").write_bytes(body)
    monkeypatch.setitem(sets.SETS, LETTERS, sets.SETS[LETTERS]._replace(files=proofs(server.folder / LETTERS)))
    with pytest.raises(DataError, match=r"^gzip.zip: "):
        download_set(LETTERS, tmp_path)


def test_the_originals_labels_are_told_from_mended_ones(server: Server, tmp_path: Path) -> None:
    download_set(LETTERS, tmp_path)
    labels = tmp_path / key_file["test_label"]
    labels.write_bytes(gzip.compress(idx(small(52, 26)[1] + np.uint8(1))))
    faults = [fault for _, fault in faults_of(LETTERS, tmp_path)]
    assert faults[:3] == ["", "", ""]
    assert faults[3].startswith("labels must be 0 to 25; those of the original, 1 to 26, are mended by fetch")
    labels.write_bytes(gzip.compress(idx(small(51, 26)[1])))
    assert "51 labels" in [fault for _, fault in faults_of(LETTERS, tmp_path)][3]


def test_each_set_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path))
    assert [set_folder(name) for name in SETS] == [tmp_path / name for name in SETS]
    monkeypatch.delenv("CHAINRULE_DATA_DIR")
    assert set_folder("kmnist").name == "kmnist"
    assert set_folder("kmnist").parent.name == "chainrule"


def test_the_addresses_are_safe_and_the_digests_are_digests() -> None:
    for source in SETS.values():
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)
        assert all(size > 0 and re.fullmatch("[0-9a-f]{64}", sha256) for size, sha256 in source.files.values())


# --- on the command line ---


def test_fetched_letters_are_trained_on(
    server: Server, tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path))
    assert main(["data", "fetch", LETTERS]) == 0
    folder = capsys.readouterr().out.removesuffix("\n")
    assert folder == str(tmp_path / LETTERS)
    assert main(["data", "path", LETTERS]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert main(["data", "verify", LETTERS]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{folder}/{name}  ok" for name in key_file.values()]
    model = str(tmp_path / "net")
    assert main(["train", "--data-dir", folder, "--batch-size", "13", "--epochs", "1", "--save", model]) == 0
    assert main(["eval", model, "--data-dir", folder, "--confusion"]) == 0


def test_a_folder_may_be_named_and_wrong_files_are_told(server: Server, tmp_path: Path, capsys: Text) -> None:
    folder = str(tmp_path / "clothes")
    assert main(["data", "fetch", "fashion-mnist", folder]) == 0
    assert main(["data", "verify", "fashion-mnist", folder]) == 0
    (tmp_path / "clothes" / key_file["train_img"]).write_bytes(b"other")
    (tmp_path / "clothes" / key_file["test_img"]).unlink()
    capsys.readouterr()
    assert main(["data", "verify", "fashion-mnist", folder]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines[1:]] == ["ok", "missing", "ok"]
    assert "not what was published: SHA-256 is " in lines[0]


def test_a_name_that_is_none_is_told(capsys: Text) -> None:
    assert main(["data", "fetch", "emnist", "folder"]) == 2
    err = capsys.readouterr().err
    assert (
        "no data set is called 'emnist'; there are fashion-mnist, kmnist, emnist-letters; without a name: MNIST" in err
    )


@pytest.mark.fault("F14")
@pytest.mark.parametrize("name", ["../there", "kmnist/../../there", "/etc", "kmnist\0", "C:\\there", "..\\there", ""])
def test_a_name_that_leads_elsewhere_is_no_data_set(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    monkeypatch.setenv("CHAINRULE_OFFLINE", "1")  # whatever the name is taken for, nothing is asked
    assert main(["data", "fetch", name, str(tmp_path / "a")]) == 2
    assert f"no data set is called {name!r}" in capsys.readouterr().err
    assert (server.requests, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.fault("F14")
def test_nothing_is_unpacked_under_the_names_in_an_archive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(server.folder / LETTERS / "gzip.zip", "a") as archive:
        for name in ("../evil", "/evil", "gzip/../../evil"):
            archive.writestr(name, "evil")
    monkeypatch.setitem(sets.SETS, LETTERS, sets.SETS[LETTERS]._replace(files=proofs(server.folder / LETTERS)))
    download_set(LETTERS, tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted([*key_file.values(), "a", "b"])
