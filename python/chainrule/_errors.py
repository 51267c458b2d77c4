"""The two exceptions of our own; everything else is a built-in ``TypeError``, ``ValueError`` or ``OSError``."""


class DataError(ValueError):
    """A file does not hold what its format promises; the message names the file and the place."""


class DownloadError(OSError):
    """A download failed at every address; the message lists each with its reason and what to do instead."""
