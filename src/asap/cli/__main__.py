"""``python -m asap.cli`` is ``asap``."""

import sys

from asap.cli.app import main

sys.exit(main())
