"""``python -m chainrule``; Python imports chainrule before this module, when Ctrl-C is not handled yet."""

import sys

from chainrule_command import main

if __name__ == "__main__":
    sys.exit(main())
