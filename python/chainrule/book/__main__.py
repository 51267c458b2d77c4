"""``python -m chainrule.book SCRIPT.py``: the same as ``chainrule book SCRIPT.py``."""

import sys

from chainrule_command import main

if __name__ == "__main__":
    sys.exit(main(["book", *sys.argv[1:]]))
