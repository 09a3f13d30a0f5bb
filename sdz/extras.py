"""What is installed on request only, and the one line that a command without it ends in.

A command that meets a missing module of this table names the `pip install` to type. Any other missing module is a fault of the
project and stays a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "encode": ("onnxruntime",),
    "site": ("brotli", "jinja2", "pebble", "tqdm"),
    "server": ("starlette", "uvicorn", "h11", "prometheus_client"),
    "viewer": ("PySide6",),
    "heif": ("pillow_heif",),
    "train": ("torch", "diffusers", "safetensors", "onnx", "pytorch_msssim", "scipy", "ssimulacra2", "skimage", "stlpips_pytorch"),
    "bench": ("matplotlib", "pillow_jxl", "bjontegaard", "tabulate"),
    "protect": ("rapidocr_onnxruntime", "skimage"),
}
"""Modules by the extra of `pyproject.toml` that brings them."""

CONTAINS: Final = {
    "protect": ("encode",),
    "site": ("encode",),
    "server": ("encode",),
    "train": ("encode", "site"),
    "bench": ("encode", "site", "train"),
}
"""Extras that bring others with them."""


@contextmanager
def explained(program: str, extra: str | None = None) -> Iterator[None]:
    """Ends the process with status 1 and one line where a module of an extra is missing; `extra` is the one that `program` needs
    most often, named wherever it brings the missing module."""
    try:
        yield
    except ModuleNotFoundError as error:
        line = missing(error.name or "", extra)
        if line is None:
            raise
        print(f"{program}: {line}", file=sys.stderr)
        raise SystemExit(1) from None


def missing(module: str, extra: str | None = None) -> str | None:
    """What to install for a module that was not found, in one line; None for one that belongs to no extra."""
    package = module.partition(".")[0]
    owner = next((name for name, modules in EXTRAS.items() if package in modules), None)
    if owner is None:
        return None
    if extra is not None and owner in CONTAINS.get(extra, ()):
        owner = extra
    return f"{package} is needed and not installed: pip install 'sdz[{owner}]'"
