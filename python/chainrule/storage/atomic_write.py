"""Write a file whole or not at all: at any moment, a reader finds either the old content or the new.

The bytes go to a temporary file in the same folder, which is synced to disk and then renamed, which the file system
does atomically; then the folder is synced too. A process that is killed on the way leaves a temporary file behind,
which the next save removes once it is an hour old.
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

_TEMPORARY = r"\.chainrule-(\d+)-[0-9a-f]{8}\.tmp"
_OLD_SECONDS = 3600


#: Bytes to write at a time; Ctrl-C takes effect in between.
_AT_ONCE = 1 << 24


def write_whole(path: str | os.PathLike[str], content: bytes | Iterable[memoryview]) -> None:
    """Write `content` to `path`, and replace the file that is there.

    Parameters
    ----------
    path : path-like
        If it is a link, its target is replaced. An existing file keeps its mode; a new one gets the umask's.
    content : bytes, or iterable of memoryview
        The whole content, or its pieces.

    Raises
    ------
    OSError
        If the file cannot be written, with its ``errno``. The old file is unchanged, and no temporary file is left.

    Warns
    -----
    RuntimeWarning
        If the folder could not be synced to disk: the file is written, but after a power loss it may be the old one.
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
        if isinstance(error, OSError):  # name the file that the caller wanted to write
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    _bring_to_disk(target.parent)


def expect_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError if `write_whole` cannot write to `path` now; nothing is left behind."""
    import tempfile

    target, _ = _target(Path(path))
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def _target(path: Path) -> tuple[Path, int | None]:
    """Give the file to replace, with all links followed, and its mode if it exists."""
    target = Path(os.path.realpath(path))
    try:
        found = os.lstat(target)
    except FileNotFoundError:  # a new file, or a link whose target does not exist yet
        return target, None
    if stat.S_ISLNK(found.st_mode):  # realpath has given up
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):  # never replace a device or a pipe by a file
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return target, stat.S_IMODE(found.st_mode)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes that have died."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = re.fullmatch(_TEMPORARY, entry.name)
            with contextlib.suppress(OSError):
                if match and time.time() - entry.stat().st_mtime > _OLD_SECONDS and not _alive(int(match[1])):
                    os.unlink(entry.path)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # there is no way to ask, and no need: an open file cannot be removed there
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's process
        return True
    return True


def _bring_to_disk(folder: Path) -> None:
    """Make the new name survive a power loss; the file has it already, so a failure here is a warning, not an error."""
    if os.name == "nt":  # folders cannot be opened there
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        text = f"{folder} could not be synced to disk ({error.strerror}): after a power loss the old file may be back"
        warn(text)
