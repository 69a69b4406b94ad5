"""`python -m minimind` is the console script `minimind`."""

import sys

from minimind.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
