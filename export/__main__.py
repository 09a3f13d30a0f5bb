"""`python -m export`: see `export.cli`."""

import sys

from sdz.export.cli import main
from sdz.extras import explained

if __name__ == "__main__":
    with explained("sdz"):
        sys.exit(main())
