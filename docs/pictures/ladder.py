"""Makes `docs/ladder.jpg`: one photo at 8 kB, 4 kB, 2 kB and on down to one bit, all of them cuts of one file.

python -m docs.pictures.ladder [--out docs/ladder.jpg]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import skimage.data
from PIL import Image

from sdz.export.bench.ladder import ladder
from sdz.runtime.files import write_atomically
from sdz.runtime.pack import default_pack
from sdz.runtime.session import Session


def main() -> None:
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m docs.pictures.ladder", description="One photo at ever fewer bytes.")
    command.add_argument("--out", type=Path, default=Path("docs/ladder.jpg"), metavar="FILE")
    options = command.parse_args()
    write_atomically(options.out, ladder(Image.fromarray(skimage.data.astronaut()), Session(default_pack())))


if __name__ == "__main__":
    main()
