"""`python -m carboy.cli.reference`."""

import sys

from carboy.cli.reference import main

sys.exit(main(sys.argv[1:]))
