"""Pillow reads and writes .sdz once this module is imported: `Image.open("a.sdz")`, `image.save("a.sdz", quality=40)`.

Opening reads the header and no more; `load()` decodes; `draft()`, and so `thumbnail()`, gives the linear stage, reduced where that is
enough, which costs no neural network. Pillow's limits on decompression bombs hold, as for every format.

Saving to a path writes the whole file or leaves what was there: Pillow itself would empty it before it knows whether the options are good.

Errors are those that Pillow's users catch: SyntaxError, and so UnidentifiedImageError, for what is no .sdz, OSError for one that cannot
be read; its `__cause__` is the typed error of `runtime.errors`. A file cut behind its header is not an error but an image. Saving raises
EncodeInputError or LimitError, which are ValueErrors.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

from PIL import Image, ImageFile

from .errors import NotAnSdzError, SdzError
from .files import write_atomically
from .format.container import ALPHA, ALT_TEXT, EXIF, LATENTS, MAGIC, PALETTE_LATENTS, Container, survey
from .format.sparse import is_sparse

FORMAT: Final = "SDZ"
SUFFIX: Final = ".sdz"
MIME: Final = "image/x-sdz"

_EXIF_PREFIX: Final = b"Exif\0\0"


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


@contextmanager
def _pillows_errors() -> Iterator[None]:
    try:
        yield
    except NotAnSdzError as error:
        raise SyntaxError(str(error)) from error
    except SdzError as error:
        raise OSError(str(error)) from error


class SdzImageFile(ImageFile.ImageFile):
    """An .sdz for Pillow, mode L, LA, RGB or RGBA. `info` has "alt" and "exif" where the file has them."""

    format = FORMAT
    format_description = "sdz image"

    def _open(self) -> None:
        assert self.fp is not None
        with _pillows_errors():
            container = survey(cast("Any", self.fp))
        header = container.header
        self._warn_of_a_bomb(container)
        self._size = header.width, header.height
        self._pack_id = header.pack_id
        self._mode = ("L" if header.grey else "RGB") + ("" if container.find(ALPHA) is None else "A")
        alt, exif = container.find(ALT_TEXT), container.find(EXIF)
        if alt is not None:
            self.info["alt"] = alt.payload.decode("utf-8")
        if exif is not None:
            self.info["exif"] = _EXIF_PREFIX + exif.payload
        self._aim("denoised", 1)

    def _warn_of_a_bomb(self, container: Container) -> None:
        """Pillow's warning for a file that says next to nothing of very many pixels: its own counts pixels only."""
        assert self.fp is not None
        end = self.fp.seek(0, io.SEEK_END)
        told = max((min(c.length or 0, end - c.start) for c in container.chunks if c.tag in (LATENTS, PALETTE_LATENTS)), default=0)
        width, height = container.header.width, container.header.height
        most = Image.MAX_IMAGE_PIXELS
        # above its limit Pillow speaks for itself
        if most is not None and width * height <= most and is_sparse(width, height, told):
            problem = f"{width}x{height} pixels of {told} bytes of latents could be a decompression bomb"
            warnings.warn(problem, Image.DecompressionBombWarning, stacklevel=2)

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Chooses the linear stage, its sides divided by the largest power of two up to the pack's patch that leaves at least
        `size`.

        The mode stays as it is. None, and nothing changes, where the image is smaller than `size` or already loaded.
        """
        width, height = self.size
        if len(self.tile) != 1 or (size is not None and (width < size[0] or height < size[1])):
            return None
        from .decode import reduction_to
        from .pack import find_pack

        with _pillows_errors():
            patch = find_pack(self._pack_id).patch
        factor = 1 if size is None else reduction_to(patch, (width, size[0]), (height, size[1]))
        self._size = -(-width // factor), -(-height // factor)
        self._aim("linear", factor)
        return self.mode, (0, 0, width / factor, height / factor)

    def load_seek(self, pos: int) -> None:
        """Having it tells Pillow's incremental parser to wait for the whole file."""
        assert self.fp is not None
        self.fp.seek(pos)

    def _aim(self, stage: str, reduce: int) -> None:
        self.tile = [ImageFile._Tile("sdz", (0, 0, *self._size), 0, (stage, reduce))]


class SdzDecoder(ImageFile.PyDecoder):
    """Decodes a whole file at the stage and reduction that `SdzImageFile` asks for."""

    _pulls_fd = True

    def decode(self, buffer: bytes | bytearray | memoryview[int] | Image.SupportsArrayInterface) -> tuple[int, int]:
        """Pillow's protocol: everything is consumed, and no error left to report."""
        from .decode import decode

        assert self.fd is not None
        stage, reduce = self.args
        with _pillows_errors():
            image = decode(self.fd.read(), stage=stage, reduce=reduce)
        self.set_as_raw(image.pixels.tobytes())
        return -1, 0


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Options: quality, bpp, target_size, tune, effort, lossless, alt as of `runtime.encode.encode`; exif (bytes or Image.Exif) is stored,
    its orientation applied; icc_profile (bytes, None for sRGB) says what the pixels are in, in place of the image's own profile. What is
    stored is sRGB."""
    from .encode import encode
    from .options import DEFAULT_TUNE

    options = image.encoderinfo
    exif = options.get("exif")
    if exif or "icc_profile" in options:
        image = image.copy()
        image.info["icc_profile"] = options.get("icc_profile", image.info.get("icc_profile"))
        if exif:
            image.info["exif"] = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    data = encode(
        image,
        quality=options.get("quality"),
        bpp=options.get("bpp"),
        target_size=options.get("target_size"),
        tune=options.get("tune", DEFAULT_TUNE),
        effort=options.get("effort"),
        alt=options.get("alt"),
        lossless=bool(options.get("lossless", False)),
        keep_metadata=bool(exif),
    )
    file.write(data)


_pillows_save = Image.Image.save


@functools.wraps(_pillows_save)
def _save_whole(self: Image.Image, fp: Any, format: str | None = None, **params: Any) -> None:
    if not isinstance(fp, str | bytes | os.PathLike) or not _is_ours(fp, format):
        return _pillows_save(self, fp, format, **params)
    # what a link leads to, as if it were opened
    path = Path(os.path.realpath(os.fsdecode(fp)))
    if path.exists() and not path.is_file():
        return _pillows_save(self, fp, format, **params)
    out = io.BytesIO()
    _pillows_save(self, out, FORMAT, **params)
    mode = path.stat().st_mode if path.exists() else None
    write_atomically(path, out.getvalue())
    if mode is not None:
        path.chmod(mode)


def _is_ours(fp: str | bytes | os.PathLike[str] | os.PathLike[bytes], format: str | None) -> bool:
    return format.upper() == FORMAT if format else os.fsdecode(fp).lower().endswith(SUFFIX)


Image.Image.save = _save_whole  # type: ignore[method-assign]
Image.register_open(FORMAT, SdzImageFile, _accept)
Image.register_decoder("sdz", SdzDecoder)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME)
