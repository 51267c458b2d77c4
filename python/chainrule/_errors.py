"""The package's own two exceptions; all other errors are built-in, such as ``TypeError``, ``ValueError``, ``OSError``.

Both may quote a file or a server, and a traceback shows them on a terminal.
"""

from chainrule._harmless import harmless


class DataError(ValueError):
    """A file does not hold what its format promises; the message names the file and the place."""

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))


class DownloadError(OSError):
    """A download failed from every address; the message lists each with the reason, and what to do instead."""

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))
