"""``chainrule completion``: the script that a shell needs to complete commands, options and file names."""

from __future__ import annotations

import argparse

from chainrule.cli.arguments import Commands, add_command

_EXAMPLES = """
$ echo 'eval "$(chainrule completion bash)"' >> ~/.bashrc
$ chainrule completion zsh > "${fpath[1]}/_chainrule"
$ chainrule completion fish > ~/.config/fish/completions/chainrule.fish
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "completion", run, "print a shell's completion script", _EXAMPLES)
    command.add_argument("shell", choices=["bash", "zsh", "fish", "tcsh"], help="for which shell")


def run(options: argparse.Namespace) -> int:
    """Print the script that lets a shell complete chainrule's commands, options and file names.

    The script is made by shtab, which comes with the extra "completion".
    """
    try:
        import shtab
    except ImportError:
        raise ImportError("completion needs shtab: pip install 'chainrule[completion]'") from None
    for actions in (options.parser._actions, *(command._actions for command in _commands(options.parser))):
        for action in actions:
            if action.metavar in ("FILE", "MODEL", "FILE.py[:NAME]", "SCRIPT.py"):
                action.complete = shtab.FILE  # shtab looks here
            elif action.metavar == "DIR":
                action.complete = shtab.DIRECTORY
    print(shtab.complete(options.parser, options.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Give the parsers of the commands."""
    return [
        command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    ]
