"""`python -m sdz`, or `sdz` where the package is installed: see `cli`."""

import gc
from typing import NoReturn

from sdz.cli import main


def run() -> NoReturn:
    """The program, also as the console script `sdz`: exits with `main`'s status."""
    # loading modules makes tens of thousands of objects that stay: looking for garbage among them finds none
    gc.set_threshold(100_000)
    status = main()
    # objects that outlive everything need not be searched for garbage once more, one by one as they go
    gc.freeze()
    raise SystemExit(status)


if __name__ == "__main__":
    run()
