"""The first bytes of files beside placeholders: how far the linear stage's pictures of them are from the photo.

ThumbHash and BlurHash stand beside them where `npm i --no-save thumbhash blurhash` has put these; Node runs them.
"""

from __future__ import annotations

import base64
import functools
import json
import statistics
import subprocess
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....runtime.decode import decode
from ....runtime.encode import encode
from ....runtime.photo import PreparedPhoto
from ....runtime.session import Session
from ..report import Section, Table
from .chapter import Chapter

RECIPE = 2
"""Raised when this module would give other figures of the same photo, pack and encoder."""

FIRST_BYTES = (30, 40, 60, 120, 250, 500)
QUALITY = 36.0
"""Of the whole files whose first bytes are looked at."""

HASHED_SIDE = 100
"""Longer side of the picture that placeholders are made of: ThumbHash takes no larger one."""

HASHES = """
const { width, height, rgba } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const pixels = Uint8Array.from(Buffer.from(rgba, "base64"));
const said = (width, height, rgba) => ({ width, height, rgba: Buffer.from(rgba).toString("base64") });
Promise.all([import("thumbhash"), import("blurhash")]).then(([thumb, blur]) => {
  const small = thumb.thumbHashToRGBA(thumb.rgbaToThumbHash(width, height, pixels));
  const text = blur.encode(new Uint8ClampedArray(pixels), width, height, 4, 3);
  console.log(JSON.stringify([said(small.w, small.h, small.rgba), said(32, 32, blur.decode(text, 32, 32))]));
});
"""
"""What Node makes of a picture on its standard input: ThumbHash's, and BlurHash's of 4 x 3 components, decoded."""


FINDS = 'Promise.all([import("thumbhash"), import("blurhash")]).catch(() => process.exit(1))'


@functools.cache
def hashers() -> bool:
    """Whether Node is there and finds both."""
    try:
        return subprocess.run(["node", "-e", FINDS], capture_output=True).returncode == 0
    except OSError:
        return False


def measure(photo: PreparedPhoto, session: Session) -> dict[str, float]:
    """Root mean squares of the differences from the photo, levels of sRGB at full size, by what the picture is made of; without
    placeholders where Node does not find them."""
    data = encode(photo, quality=QUALITY, session=session)
    found = {f"{size} bytes": _rms(decode(data[:size], session=session, stage="linear").to_pil(), photo) for size in FIRST_BYTES}
    if not hashers():
        return found
    small = Image.fromarray(photo.rgb)
    small.thumbnail((HASHED_SIDE, HASHED_SIDE))
    given = {"width": small.width, "height": small.height, "rgba": base64.b64encode(small.convert("RGBA").tobytes()).decode()}
    said = subprocess.run(["node", "-e", HASHES], input=json.dumps(given), capture_output=True, text=True, check=True).stdout
    for name, hashed in zip(("ThumbHash", "BlurHash"), json.loads(said), strict=True):
        size = hashed["height"], hashed["width"], 4
        pixels: NDArray[np.uint8] = np.frombuffer(base64.b64decode(hashed["rgba"]), np.uint8).reshape(size)
        whole = Image.fromarray(pixels).convert("RGB").resize((photo.width, photo.height), Image.Resampling.BICUBIC)
        found[name] = _rms(whole, photo)
    return found


def section(names: Sequence[str], photos: Sequence[dict[str, float]]) -> Section:
    """The means over photos; placeholders only where every photo has them."""
    columns = [name for name in max(photos, key=len) if all(name in photo for photo in photos)]
    lines = [
        "Root mean squares of the difference from the photo, levels of sRGB at full size: the linear stage's picture of a file's first "
        f"bytes (quality {QUALITY:g}, header and all), and placeholders, each enlarged bicubically; means over {len(photos)} photos."
    ]
    rows = [[f"{statistics.fmean(photo[name] for photo in photos):.1f}" for name in columns]]
    return Section("The first bytes", lines, [Table(columns, rows)])


def _rms(picture: Image.Image, photo: PreparedPhoto) -> float:
    return float(np.sqrt(np.square(np.asarray(picture.convert("RGB"), np.float64) - photo.rgb).mean()))


CHAPTER = Chapter("first", lambda: (RECIPE, FIRST_BYTES, QUALITY, HASHED_SIDE, hashers()), measure, section)
