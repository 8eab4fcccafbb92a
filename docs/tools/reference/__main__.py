"""`python -m docs.tools.reference`."""

import sys

from docs.tools.reference import main

sys.exit(main(sys.argv[1:]))
