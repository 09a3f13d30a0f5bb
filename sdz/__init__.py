"""Photos as a few kilobytes of autoencoder latents: the one name that an installation claims.

Installed, the rooms `runtime`, `export` and `server` are packages in this one. In a checkout they stand beside it, at the top, and
are found there under the same names: `sdz.runtime.decode` is the module's name everywhere.
"""

from pathlib import Path

__version__ = "0.1.0"

if not (Path(__file__).parent / "runtime").is_dir():
    __path__.append(str(Path(__file__).resolve().parent.parent))
