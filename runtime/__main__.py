"""`python -m runtime`, a part of `sdz`: see `cli`."""

import gc
import sys
from typing import NoReturn

# importing numba makes 50,000 objects to keep: searching them for garbage again and again took 0.04 s of a cold start
gc.set_threshold(100_000)
# numba looks for SciPy's BLAS before its first call, and nothing here uses it: 0.15 s of a cold start where SciPy is installed
sys.modules.setdefault("scipy", None)  # type: ignore[arg-type]

from sdz.runtime.cli import main  # noqa: E402


def run() -> NoReturn:
    """Runs the command line and exits with its status."""
    status = main()
    # and searching them once more at exit, one by one as they go, took 0.3 s
    gc.freeze()
    raise SystemExit(status)


if __name__ == "__main__":
    run()
