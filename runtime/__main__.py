"""`python -m runtime`: see `cli`."""

import sys

# numba looks for SciPy's BLAS before its first call, and nothing here uses it: 0.15 s of a cold start where SciPy is installed
sys.modules.setdefault("scipy", None)  # type: ignore[arg-type]

from runtime.cli import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
