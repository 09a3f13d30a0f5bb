"""`python -m runtime`: see `cli`."""

import gc
import sys

# importing numba makes 50,000 objects to keep: searching them for garbage again and again took 0.04 s of a cold start
gc.set_threshold(100_000)
# numba looks for SciPy's BLAS before its first call, and nothing here uses it: 0.15 s of a cold start where SciPy is installed
sys.modules.setdefault("scipy", None)  # type: ignore[arg-type]

from runtime.cli import main  # noqa: E402

if __name__ == "__main__":
    status = main()
    # and searching them once more at exit, one by one as they go, took 0.3 s
    gc.freeze()
    raise SystemExit(status)
