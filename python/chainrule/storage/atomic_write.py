"""A file written whole or not at all: whoever opens it, at whatever moment, finds what was there or what is new.

The bytes go to a temporary file in the same folder, to the disk, and then under the name, which is one act of the file
system; then the folder goes to the disk. A process that is killed on the way leaves a temporary file, which the next
save sweeps away once it is an hour old.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from chainrule._warn import warn

_TEMPORARY = re.compile(r"\.chainrule-(\d+)-[0-9a-f]{8}\.tmp")
_OLD_SECONDS = 3600


#: Bytes handed to the system at a time: Ctrl-C is seen in between.
_AT_ONCE = 1 << 24


def write_whole(path: str | os.PathLike[str], content: bytes | Iterable[memoryview]) -> None:
    """Write `content` to `path`, in place of what is there.

    Parameters
    ----------
    path : path-like
        Of a link, what it leads to is replaced. A file that is there keeps its mode; a new one has that of the umask.
    content : bytes, or iterable of memoryview
        All at once, or piece by piece.

    Raises
    ------
    OSError
        With its ``errno``, if the file cannot be written; what was there is as it was, and no temporary file is left.

    Warns
    -----
    RuntimeWarning
        If the folder could not be brought to the disk: the file is there, but may be the old one after a power loss.
    """
    target, mode = _target(Path(path))
    _sweep(target.parent)
    temporary = target.with_name(f".chainrule-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if mode is not None:
                os.chmod(temporary, mode)
            for piece in [content] if isinstance(content, bytes) else content:
                left = memoryview(piece)
                while left:
                    left = left[os.write(handle, left[:_AT_ONCE]) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):  # named by what the caller wanted written
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    _bring_to_disk(target.parent)


def expect_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError if `write_whole` could not write to `path` now; nothing is left behind."""
    import tempfile

    target, _ = _target(Path(path))
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def _target(path: Path) -> tuple[Path, int | None]:
    """Give the file to be replaced, at the end of all links, and its mode if it is there."""
    target = Path(os.path.realpath(path))
    try:
        found = os.lstat(target)
    except FileNotFoundError:  # new, or a link that leads nowhere yet
        return target, None
    if stat.S_ISLNK(found.st_mode):  # realpath has given up
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):  # a device or a pipe is not to be replaced by a file
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return target, stat.S_IMODE(found.st_mode)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes that have died."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                if match and time.time() - entry.stat().st_mtime > _OLD_SECONDS and not _alive(int(match[1])):
                    os.unlink(entry.path)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # no way to ask, and none needed: an open file cannot be removed there
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _bring_to_disk(folder: Path) -> None:
    """Make the new name survive a power loss; the file has it already, so what fails here is told, not raised."""
    if os.name == "nt":  # folders cannot be opened there
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        text = (
            f"{folder} could not be brought to the disk ({error.strerror}): after a power loss the old file may be back"
        )
        warn(text)
