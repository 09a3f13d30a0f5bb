"""Photos as a few kilobytes of autoencoder latents: the one name that an installation claims.

Installed, the rooms `runtime`, `export` and `server` are packages in this one. In a checkout they stand beside it, at the top, and
are found there under the same names: `sdz.runtime.decode` is the module's name everywhere.
"""

from pathlib import Path

_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "runtime").is_dir():
    __path__.append(str(_checkout))
