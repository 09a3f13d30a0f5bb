"""Photos as a few kilobytes of autoencoder latents: the one name that an installation claims.

Installed, the rooms `runtime`, `export` and `server` are packages in this one. In a checkout they stand beside it, at the top, and
are found there under the same names: `sdz.runtime.decode` is the module's name everywhere.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if not (Path(__file__).parent / "runtime").is_dir():
    __path__.append(str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from .runtime.decode import decode
    from .runtime.encode import encode
    from .runtime.errors import SdzError

__all__ = ["SdzError", "decode", "encode"]


def __getattr__(name: str) -> Any:
    """`sdz.encode`, `sdz.decode` and `sdz.SdzError`, loaded when they are first asked for: `import sdz` alone loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    module = "errors" if name == "SdzError" else name
    value = getattr(import_module(f"{__name__}.runtime.{module}"), name)
    globals()[name] = value
    return value
