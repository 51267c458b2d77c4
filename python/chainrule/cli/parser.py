"""argparse's parser, with the error before the usage, and a suggestion of the name that was probably meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from chainrule._harmless import harmless
from chainrule.cli.output import complain


class Parser(argparse.ArgumentParser):
    """The parser of the command line; argparse uses the same class for the parsers of the commands."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; a command itself refuses unknown arguments, because it knows which names are similar."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0].split('=')[0], options)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print the error, then the usage, and exit with 2."""
        choice = re.search(
            r"invalid choice: '(.*)' \(choose from (.*)\)", message
        )  # may be the name of a file, as it is
        if choice:
            message += _meant(choice[1], re.findall(r"[\w-]+", choice[2]))
        complain(f"{self.prog}: error: {harmless(message)}")
        self.print_usage(sys.stderr)
        sys.exit(2)


def _meant(given: str, names: Iterable[str]) -> str:
    """Give the end of a message that asks whether one of `names` was meant; empty if none is similar."""
    import difflib  # takes a while, and is needed only for mistakes

    def bare(name: str) -> str:
        return name.lstrip("-").replace("_", "-").lower()

    word, by_word = bare(given), {bare(name): name for name in names}
    for theirs, name in by_word.items():
        initials = "".join(part[:1] for part in theirs.split("-"))
        if word in (theirs, initials) or word.startswith(f"{theirs}-"):
            return f"; did you mean {name}?"
    near = difflib.get_close_matches(word, by_word, 1)
    return f"; did you mean {by_word[near[0]]}?" if near else ""
