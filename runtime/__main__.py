"""`python -m runtime`, a part of `sdz`: see `cli`."""

from typing import NoReturn

from sdz.runtime.cli import main


def run() -> NoReturn:
    """Runs the command line and exits with its status."""
    raise SystemExit(main())


if __name__ == "__main__":
    run()
