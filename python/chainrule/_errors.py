"""The two exceptions of our own; everything else is a built-in ``TypeError``, ``ValueError`` or ``OSError``.

Both tell what a file or a server said, and a traceback shows them on a terminal.
"""

from chainrule._harmless import harmless


class DataError(ValueError):
    """A file does not hold what its format promises; the message names the file and the place."""

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))


class DownloadError(OSError):
    """A download failed at every address; the message lists each with its reason and what to do instead."""

    def __init__(self, message: str) -> None:
        super().__init__(harmless(message))
