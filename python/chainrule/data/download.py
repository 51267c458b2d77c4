"""Fetch files from mirrors into a folder; a file gets its name only after its content has been checked.

Nothing that arrives is trusted: redirects may only lead to https, a body is read no further than its largest
possible size, and the caller's check decides. The caller chooses whether bodies are held in memory (10 MB for MNIST's
largest) or in an unnamed temporary file. A file that gets a name is first written to a temporary file beside it and
then renamed, so another process sees the old file or the new one, never a part.

Nothing here runs or imports the network modules before `fetch` needs them.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from chainrule._errors import DataError, DownloadError
from chainrule._warn import warn
from chainrule.storage.atomic_write import write_whole

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import OpenerDirector

# Called with a file's name and its bytes; raises DataError if the bytes are not those of that file.
Check: TypeAlias = Callable[[str, BinaryIO], None]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
PLAIN_HTTP_HOSTS: frozenset[str] = frozenset()  # the tests add the loopback address
READ_SECONDS = 30.0
FILE_SECONDS = 120.0
#: A large file may take longer than `FILE_SECONDS`: as long as it needs at this speed.
LEAST_BYTES_A_SECOND = 2**19
TRIES = 3
BACKOFF_SECONDS = 0.5

_BLOCK = 2**16


def fetch(
    folder: Path,
    sizes: Mapping[str, int],
    check: Check,
    mirrors: Sequence[str] | None = None,
    memory: MutableMapping[str, bytes] | None = None,
) -> None:
    """Bring every file named in `sizes` into `folder`; files that are already there and right are left alone.

    `sizes` has the number of bytes of each file's content. No gzip file worth fetching is larger than its content, so
    this bounds the body as well. `mirrors` are MNIST's by default. A file that cannot be written goes to `memory`,
    under the path it was meant for; without `memory`, that is an error. Raises the errors that
    `chainrule.data.mnist.download_mnist` documents.
    """
    advice = _advice(folder, list(sizes), needless=mirrors is None)
    unwritten: OSError | None = None
    for name, size in sizes.items():
        path = folder / name
        try:
            wrong = _fault(path, check)
        except OSError:
            if memory is None:
                raise
            wrong = ""  # whatever is there, it cannot be used
        if wrong is None:
            continue
        body = None if memory is None else memory.get(str(path))
        if body is None:
            expect_online(path, wrong, advice)
            file = io.BytesIO()
            fetch_into(file, name, size, check, MIRRORS if mirrors is None else mirrors, advice)
            body = file.getvalue()
        try:
            put(path, body, set_aside=bool(wrong))
        except OSError as error:
            if memory is None:
                raise
            memory[str(path)], unwritten = body, error
            continue
        if memory is not None:
            memory.pop(str(path), None)
        if wrong:
            warn(f"{wrong}; set aside as {name}.bad and fetched again, in {folder}", UserWarning)
    if unwritten is not None:
        kept = "Till this process ends the files are in memory, where load_mnist(data_dir=…) finds them"
        warn(f"{folder}: {unwritten.strerror}. {kept}")


def _fault(path: Path, check: Check) -> str | None:
    """Say what is wrong with the file at `path`: "" if there is no file, None if nothing is wrong."""
    # A link would let the owner of another folder change the file after it was checked.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return f"{path.name}: a symbolic link, which is not followed"
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return f"{path.name}: not a regular file"
    with open(handle, "rb") as file:
        try:
            check(path.name, file)
        except DataError as error:
            return str(error)
    return None


def expect_online(path: Path, wrong: str, advice: str) -> None:
    """Raise if CHAINRULE_OFFLINE forbids fetching the file that is missing at `path`, or is `wrong` there."""
    if os.environ.get("CHAINRULE_OFFLINE", "0") in ("", "0"):
        return
    text = f"CHAINRULE_OFFLINE is set, so it is not fetched{advice}"
    if wrong:
        raise DataError(f"{wrong}; {text}")
    raise DownloadError(f"{path.name} is not in {path.parent}; {text}")


def _advice(folder: Path, names: list[str], needless: bool) -> str:
    """Say what to do instead of downloading."""
    advice = f"\nTo do it by hand, put {', '.join(names)} into {folder}"
    if needless:
        advice += "\n(or name another folder in CHAINRULE_DATA_DIR). load_mnist() itself needs no download."
    return advice


def fetch_into(file: BinaryIO, name: str, size: int, check: Check, mirrors: Sequence[str], advice: str = "") -> None:
    """Fill `file` with the body of `name`, at most `size` bytes, from the first mirror that has the right one."""
    reasons = []
    for mirror in mirrors:
        try:
            return _from_mirror(mirror + name, size, lambda body: check(name, body), file)
        except DownloadError as error:
            reasons.append(f"\n  {mirror}{name}: {error}")
    raise DownloadError(f"{name} could not be downloaded:{''.join(reasons)}{advice}")


def _from_mirror(url: str, limit: int, check: Callable[[BinaryIO], None], file: BinaryIO) -> None:
    """Fill `file` with the body at `url`; try again after a failure that may be temporary."""
    from http.client import HTTPException

    deadline = time.monotonic() + _seconds(limit)
    for attempt in range(TRIES):
        if attempt:
            time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
        try:
            return _get(url, limit, check, deadline, file)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: DataError, or an invalid redirect
            reason, may_pass = _diagnosis(error)
        if not may_pass or time.monotonic() > deadline:
            raise DownloadError(reason)
    raise DownloadError(f"{reason} ({TRIES} tries)")


def _seconds(size: int) -> float:
    """Give how long a file of `size` bytes may take from one mirror."""
    return max(FILE_SECONDS, size / LEAST_BYTES_A_SECOND)


def _diagnosis(error: Exception) -> tuple[str, bool]:
    """Give the reason in words, and whether another try may succeed."""
    from http.client import IncompleteRead
    from urllib.error import HTTPError, URLError

    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code} {error.reason}", error.code >= 500
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    may_pass = isinstance(cause, TimeoutError | ConnectionError | IncompleteRead)
    text = str(cause) if isinstance(cause, DataError | URLError) else f"{type(cause).__name__}: {cause}"
    return text, may_pass and not isinstance(cause, ConnectionRefusedError)


def _get(url: str, limit: int, check: Callable[[BinaryIO], None], deadline: float, file: BinaryIO) -> None:
    """Fill `file` with the body at `url`: one try, and a check of what came."""
    from urllib.request import Request

    _refuse_unless_safe(url)
    # identity: a proxy that compresses again would deliver a file that no IDX reader expects.
    request = Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "chainrule"})
    with _opener().open(request, timeout=READ_SECONDS) as response:
        promised, kind = response.length, response.headers.get_content_type()
        file.seek(0)
        file.truncate()
        got = _read(response, limit, deadline, url.rpartition("/")[2], file)
    file.seek(0)
    try:
        check(file)
    except DataError:
        if promised is not None and got < min(promised, limit):
            raise ConnectionError(f"connection closed after {got} of {promised} bytes") from None
        if kind == "text/html":
            raise DataError("a web page (text/html) came instead of the file") from None
        raise


def _read(response: HTTPResponse, limit: int, deadline: float, name: str, file: BinaryIO) -> int:
    """Write the body to `file`, at most `limit` + 1 bytes and not after `deadline`; return the number of bytes."""
    import sys

    from tqdm import tqdm

    quiet = sys.stderr is None or not sys.stderr.isatty()
    got = 0
    with tqdm(total=response.length, desc=name, unit="B", unit_scale=True, leave=False, disable=quiet) as bar:
        # read1 returns what has arrived; read would wait for a full block, however slowly it trickles in.
        while piece := response.read1(min(_BLOCK, limit + 1 - got)):
            file.write(piece)
            got += len(piece)
            bar.update(len(piece))
            if got > limit:
                raise DataError(f"body is longer than {limit} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not done after {_seconds(limit):g} s")
    return got


def _opener() -> OpenerDirector:
    """Give an opener that knows only http and https and follows redirects only to https."""
    import urllib.request as web
    from http.client import HTTPMessage
    from typing import IO

    class HttpsRedirects(web.HTTPRedirectHandler):
        def redirect_request(
            self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
        ) -> web.Request | None:
            fp.close()  # urllib would read the redirect's body to its end, however long it is
            _refuse_unless_safe(newurl)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = web.OpenerDirector()
    handlers = (web.ProxyHandler, web.HTTPHandler, web.HTTPSHandler, HttpsRedirects)
    for handler in (*handlers, web.HTTPErrorProcessor, web.HTTPDefaultErrorHandler, web.UnknownHandler):
        opener.add_handler(handler())
    return opener


def _refuse_unless_safe(url: str) -> None:
    """Refuse any address that is not https (or plain http to a host in `PLAIN_HTTP_HOSTS`)."""
    from urllib.error import URLError
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in PLAIN_HTTP_HOSTS):
        raise URLError(f"{url} refused: only https is followed")


def put(path: Path, body: bytes, set_aside: bool) -> None:
    """Write `body` to `path` whole or not at all; with `set_aside`, keep the old file as ``.bad``."""
    aside = path.with_name(path.name + ".bad")
    try:
        if path.parts[0] == "~" and not os.path.isdir("~"):  # the home is unknown; do not make a folder of this name
            raise FileNotFoundError(errno.ENOENT, "~ stands for no folder here")
        path.parent.mkdir(parents=True, exist_ok=True)
        if set_aside:
            os.replace(path, aside)
        try:
            write_whole(path, body)
        except BaseException:
            if set_aside:  # nothing has taken its place
                os.replace(aside, path)
            raise
    except OSError as error:
        text = f"{error.strerror}; name a folder you may write to, as dest or in CHAINRULE_DATA_DIR"
        raise OSError(error.errno, text, str(path.parent)) from error
