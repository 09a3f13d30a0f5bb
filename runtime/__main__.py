"""`python -m runtime`, a part of `sdz`: see `cli`."""

import os
from typing import NoReturn

# numpy's linear algebra starts a thread for each core as it is loaded; nothing here has work for them
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from sdz.runtime.cli import main


def run() -> NoReturn:
    """Runs the command line and exits with its status."""
    raise SystemExit(main())


if __name__ == "__main__":
    run()
