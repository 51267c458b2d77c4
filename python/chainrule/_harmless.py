"""Make text from elsewhere safe to show on a terminal.

The content or the name of a file may contain commands to the terminal: to clear it, to colour a lie, to type. All such
text passes through here before it is shown or put into an error message.
"""

from __future__ import annotations

import re

#: Control characters except newline and tab, characters that change the direction of writing, and surrogates. A
#: surrogate for a byte of a file name that is not text (U+DC80 to U+DCFF) stays if it is neither a control character
#: nor can complete one. Compiled where it is first used: that takes longer than to import most modules.
_COMMANDS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udc9f\udd00-\udfff]"


def harmless(text: str) -> str:
    r"""Give `text` with every character that could command a terminal escaped as ``repr`` does.

    Examples
    --------
    >>> print(harmless("W1\x1b[2J"))
    W1\x1b[2J
    """
    return re.sub(_COMMANDS, lambda found: repr(found[0])[1:-1], text)
