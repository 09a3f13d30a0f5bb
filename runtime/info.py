"""What is in a file, as numbers and words: the header's fields, the chunks, and what each byte went into.

Takes the bytes of an .sdz or of any prefix of one; gives a report that JSON can hold. Nothing is decoded but the latents, and those
only where their pack is installed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .errors import SdzError
from .format.container import ALPHA, ALT_TEXT, LOSSLESS, REGIONS, TAGS, Chunk, Container, parse
from .limits import FULL_STRENGTH, MAX_PIXELS

if TYPE_CHECKING:
    from .options import Engine
    from .pack import Pack

Report = dict[str, Any]


def describe(data: bytes, engine: Engine | None = None, *, webp: bool = False) -> Report:
    """What `info --json` prints of a file: header fields, chunks, and how many bytes went into what; with `webp`, what WebP lossless needs
    for its exact pixels. Raises what `parse` raises, and where
    an `engine` is asked for and cannot run the file's networks, what `engine_for` raises, or MissingPackError."""
    container = parse(data)
    header = container.header
    alt = container.find(ALT_TEXT)
    pack = _installed_pack(header.pack_id)
    return {
        "width": header.width,
        "height": header.height,
        "mode": _mode(container),
        "bytes": len(data),
        "bpp": bits_per_pixel(len(data), header.width, header.height),
        "engine": _engine(pack) if engine is None else _asked(header.pack_id, engine),
        "pack": {"id": header.pack_id.hex(), "name": None if pack is None else pack.name, "exact": None if pack is None else pack.exact},
        "networks": None if pack is None else not _is_fine(container, pack),
        "step_index": header.step_index,
        "step": round(2.0 ** (header.step_index / 8), 3),
        "tilt": header.tilt,
        "realism": header.realism / FULL_STRENGTH,
        "alt": None if alt is None else alt.payload.decode("utf-8"),
        "chunks": [_describe_chunk(chunk) for chunk in container.chunks],
        "regions": _regions(container, pack),
        "spent": _spent(container),
        "lossless": _lossless(container, data if webp else None),
        "latents": None if pack is None else _spent_on_latents(container, pack),
    }


def _is_fine(container: Container, pack: Pack) -> bool:
    """Whether the linear stage is all there is of the file: by the step outside its regions."""
    from .pack import PLANES

    regions = container.find(REGIONS)
    coarser = 8 * regions.payload[0] if regions is not None and regions.payload else 0
    return pack.quantizer == PLANES and pack.coder.is_fine(container.header.step_index + coarser)


def _engine(pack: Pack | None) -> str | None:
    """What would run the file's networks here; None where nothing can."""
    if pack is None:
        return None
    from .engines import engine_for

    try:
        return engine_for(pack)
    except SdzError:
        return None


def _asked(pack_id: bytes, engine: Engine) -> str:
    from .engines import engine_for
    from .pack import find_pack

    return engine_for(find_pack(pack_id), engine)


def _regions(container: Container, pack: Pack | None) -> dict[str, int] | None:
    """How many positions are sent how many octaves finer, or coarser, than the means; None where the file has no map, or its pack is not
    installed."""
    chunk = container.find(REGIONS)
    header = container.header
    if chunk is None or pack is None or pack.quantizer != "planes" or header.width * header.height > MAX_PIXELS:
        return None
    from .format.quantizers import positions
    from .regions.region_map import RegionMap

    regions = RegionMap.read(chunk.payload, *positions(header, pack), chunk.start)
    counted = Counter((regions.means - regions.below).ravel().tolist())
    return {f"{octave:+d}": count for octave, count in sorted(counted.items())}


def _mode(container: Container) -> str:
    return ("L" if container.header.grey else "RGB") + ("" if container.find(ALPHA) is None else "A")


def _describe_chunk(chunk: Chunk) -> Report:
    return {
        "tag": chunk.tag.decode("latin-1"),
        "name": TAGS.get(chunk.tag, "unknown"),
        "offset": chunk.offset,
        "bytes": len(chunk.payload),
        "declared": chunk.length,
        "complete": chunk.complete,
    }


def _lossless(container: Container, data: bytes | None) -> Report | None:
    """Bytes of a lossless tail, and with the file's `data` those of WebP lossless for the same pixels, None where not all are there; None
    for a file without a tail."""
    chunk = container.find(LOSSLESS)
    if chunk is None:
        return None
    return {"bytes": len(chunk.payload), "complete": chunk.complete, "webp": None if data is None else _webp_bytes(data)}


def _webp_bytes(data: bytes) -> int | None:
    import io

    from .decode import decode

    image = decode(data)
    if image.exact_rows < image.header.height:
        return None
    out = io.BytesIO()
    image.to_pil().save(out, "WEBP", lossless=True, quality=100, method=6)
    return out.tell()


def _spent(container: Container) -> dict[str, int]:
    """Bytes by purpose; they add up to the file."""
    spent = {"header": container.header_bytes, "chunk heads": 0}
    for chunk in container.chunks:
        spent["chunk heads"] += chunk.start - chunk.offset
        name = TAGS.get(chunk.tag, "unknown chunks")
        spent[name] = spent.get(name, 0) + len(chunk.payload)
    return spent


def _spent_on_latents(container: Container, pack: Pack) -> Report | None:
    """Bytes of the latents by plane, most significant first, and band of channels; they add up to the latents' payload. Of a pack with
    a codebook, by bit of the indices.

    None where that is not known: no latents, a palette, or an image that this runtime would not decode.
    """
    header = container.header
    if header.width * header.height > MAX_PIXELS:
        return None
    # the core comes with these: files of packs that are not installed are described without
    from .format.quantizers import quantizer_of

    quantizer = quantizer_of(pack)
    chunk = container.find(quantizer.tag)
    if chunk is None or quantizer.spent is None:
        return None
    spent = quantizer.spent(container, pack)
    planes = [{"plane": plane, "bytes": sum(row), "bands": row} for plane, row in enumerate(spent.by_plane.tolist())]
    return {"channels": spent.bands, "planes": planes[::-1]}


def _installed_pack(pack_id: bytes) -> Pack | None:
    from .pack import find_pack

    try:
        return find_pack(pack_id)
    except SdzError:
        return None


def bits_per_pixel(size: int, width: int, height: int) -> float:
    """Bits per pixel of `size` bytes, to four decimals."""
    return round(8 * size / (width * height), 4)
