"""What runs a pack's networks when a file is decoded: onnxruntime, or the exact core.

onnxruntime is faster, knows graphics cards and every pack's graphs, and is needed to encode; it weighs more than all the rest and has no
wheel for some platforms. The core has the networks of every pack that carries weights for it, and the pixels are the same.
"""

from __future__ import annotations

from ..errors import MissingRuntimeError, ProviderError
from ..options import Engine
from ..pack import Pack
from .installed import REFERENCE, Networks
from .installed import has_onnxruntime as has_onnxruntime


def engine_for(pack: Pack, engine: Engine | None = None) -> Engine:
    """The engine asked for, or else onnxruntime where it is installed, and the core where it is not.

    Raises MissingRuntimeError where onnxruntime is needed and not installed, ProviderError for a core that lacks the pack's networks.
    """
    if engine == "core" and not pack.core:
        raise ProviderError(f"pack {pack.name} has no weights for the core: its networks run in onnxruntime only")
    if engine is None and not has_onnxruntime() and pack.core:
        return "core"
    if engine != "core" and not has_onnxruntime():
        raise MissingRuntimeError("decoding" if engine else f"decoding with pack {pack.name}")
    return engine or "onnxruntime"


def networks_of(pack: Pack, engine: Engine | None = None, provider: str = REFERENCE, threads: int = 1) -> Networks:
    """The networks of `pack` in the engine of `engine_for`; `provider` and `threads` are onnxruntime's (`session.Session`).

    Raises what `engine_for` raises, and ProviderError for a provider that is not usable, or any but the reference in the core.
    """
    chosen = engine_for(pack, "onnxruntime" if engine is None and provider != REFERENCE else engine)
    if chosen == "core":
        if provider != REFERENCE:
            raise ProviderError(f"execution provider '{provider}' belongs to onnxruntime: leave out --engine core, or the provider")
        from .exact import CoreNetworks

        return CoreNetworks(pack)
    from ..session import Session

    return Session(pack, provider, threads)
