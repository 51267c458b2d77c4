"""How results are written: lines of text, above a progress bar if there is one, or JSON Lines."""

from __future__ import annotations

import json
import sys
from typing import Any


def on_terminal() -> bool:
    """Tell whether somebody watches stderr; it may also be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


def print_line(text: str) -> None:
    """Print a line on stdout at once, above the progress bar of a terminal."""
    if on_terminal():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stdout)
    else:
        print(text, flush=True)


def print_json(event: str, **values: Any) -> None:
    """Print one JSON object as a line."""
    print(json.dumps({"event": event, **values}), flush=True)
