"""``python -m chainrule``; chainrule itself Python imports before this, when nobody listens for Ctrl-C yet."""

import sys

from chainrule_command import main

if __name__ == "__main__":
    sys.exit(main())
