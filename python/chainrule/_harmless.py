"""Text from elsewhere as it may be shown on a terminal.

What a file holds or is called may hold commands to the terminal: to clear it, to colour a lie, to type. Whoever shows
such text, or puts it into an error that is shown, sends it through here.
"""

from __future__ import annotations

import re

#: Control characters but newline and tab, what turns the direction of writing, and surrogates. Of these, a byte of a
#: file name that is no text (U+DC80 to U+DCFF) stays if it is neither a control character nor can complete one.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udc9f\udd00-\udfff]")


def harmless(text: str) -> str:
    r"""Give `text` with what could command a terminal as ``repr`` writes it.

    Examples
    --------
    >>> print(harmless("W1\x1b[2J"))
    W1\x1b[2J
    """
    return _COMMANDS.sub(lambda found: repr(found[0])[1:-1], text)
