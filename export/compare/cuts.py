"""`sdz cuts`: what a cut of a file is worth beside a file written at the cut's size, and its first bytes beside placeholders.

Takes photos and a pack, prints Markdown: of each photo, and on the average and at worst, how far the picture of a prefix falls behind the
one that the encoder makes when it is asked for so many bytes, by PSNR and by the colours of blocks. With `--first`: how far the linear
stage's picture of the first bytes is from the photo, beside ThumbHash and BlurHash, which Node runs where `npm i --no-save thumbhash
blurhash` has put them.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ...runtime.decode import decode
from ...runtime.encode import encode
from ...runtime.errors import SdzError
from ...runtime.options import DEFAULT_QUALITY, TUNES, Tune
from ...runtime.pack import default_pack, load_pack
from ...runtime.photo import PreparedPhoto, read_photo
from ...runtime.session import Session
from ..bench.run import BenchInputError, find_photos
from ..commands import failed, parser
from ..markdown import table
from ..metrics.artefacts import block_colour
from ..metrics.pictures import psnr
from ..workers import Call, Lost, run

CUTS = (25, 37, 50, 62, 75, 87)
"""Per cent of a file's bytes that are kept."""

QUALITIES = (DEFAULT_QUALITY, 25.0)

DECIBELS, LAB = 0.15, 0.2
"""How far a cut may fall behind: PSNR, and the mean distance of blocks' (a, b) from the photo's (`metrics.artefacts.block_colour`)."""


FIRST_BYTES = (30, 40, 60, 120, 250, 500)
FIRST_QUALITY = 36.0
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


@dataclass(frozen=True)
class Cut:
    """One photo's file cut to `percent` of its bytes, and one of just so many bytes: `psnr`, dB, and `colour`, Lab, of each."""

    percent: int
    psnr: float
    colour: float
    equal_psnr: float
    equal_colour: float

    @property
    def gain(self) -> float:
        """By how many dB the cut is the nearer picture; negative where it is not."""
        return self.psnr - self.equal_psnr

    @property
    def drift(self) -> float:
        """By how much Lab its blocks' colours are farther from the photo's; negative where they are nearer."""
        return self.colour - self.equal_colour


def main(arguments: list[str]) -> int:
    """`sdz cuts`; 0 done, 1 no photos or an unreadable one, 2 wrong usage."""
    command = parser("cuts", "Compare cuts of files with files written at the cuts' sizes, and print Markdown.")
    command.add_argument("photos", type=Path, nargs="*", metavar="PHOTOS", help="photos, and folders of them (default: scikit-image's)")
    command.add_argument("--pack", type=Path, metavar="DIR", help="directory of another model pack")
    command.add_argument("--quality", type=float, nargs="+", default=QUALITIES, metavar="Q", help="of the whole files (default 40 25)")
    command.add_argument("--tune", choices=TUNES, nargs="+", default=TUNES, help="of all files (default: each)")
    command.add_argument("--first", action="store_true", help="measure the first bytes instead, beside ThumbHash and BlurHash")
    command.add_argument("--jobs", type=int, default=0, metavar="N", help="worker processes (default 0: none)")
    options = command.parse_args(arguments)
    settings = [(tune, quality) for tune in options.tune for quality in options.quality]
    try:
        photos = find_photos(options.photos)
        if options.first:
            print(first_table([first_bytes(read_photo(path), _session(options.pack)) for path in photos]))
            return 0
        calls = [Call(_measured, (path, options.pack, settings)) for path in photos]
        found: list[list[list[Cut]]] = [[] for _ in photos]
        with contextlib.closing(run(calls, options.jobs)) as results:
            for index, result in tqdm(results, total=len(photos), desc="photos", disable=None):
                if isinstance(result, Lost):
                    raise BenchInputError(f"{photos[index]}: {result.reason}")
                found[index] = result
    except (BenchInputError, SdzError, OSError) as error:
        return failed("cuts", error)
    names = [path.name for path in photos]
    for number, (tune, quality) in enumerate(settings):
        print(f"{tune}, quality {quality:g}\n\n{cut_table(names, [cuts[number] for cuts in found])}\n")
    return 0


def measure(photo: PreparedPhoto, session: Session, tune: Tune, quality: float) -> list[Cut]:
    """A photo's file of that quality at all of `CUTS`. Raises EncodeInputError for a quality that is none."""
    whole = encode(photo, quality=quality, tune=tune, session=session)

    def judged(data: bytes) -> tuple[float, float]:
        picture = np.asarray(decode(data, session=session).to_pil().convert("RGB"))
        return psnr(picture, photo.rgb), block_colour(picture, photo.rgb)

    cuts = []
    for percent in CUTS:
        size = round(len(whole) * percent / 100)
        equal = encode(photo, target_size=size, tune=tune, session=session)
        cuts.append(Cut(percent, *judged(whole[:size]), *judged(equal)))
    return cuts


def first_bytes(photo: PreparedPhoto, session: Session) -> dict[str, float]:
    """How far the linear stage's pictures of a file's first bytes, and placeholders, are from the photo: root mean squares, levels of
    sRGB at full size. Without placeholders where Node does not find them."""
    data = encode(photo, quality=FIRST_QUALITY, session=session)
    found = {f"{size} bytes": _rms(decode(data[:size], session=session, stage="linear").to_pil(), photo) for size in FIRST_BYTES}
    small = Image.fromarray(photo.rgb)
    small.thumbnail((HASHED_SIDE, HASHED_SIDE))
    given = {"width": small.width, "height": small.height, "rgba": base64.b64encode(small.convert("RGBA").tobytes()).decode()}
    try:
        said = subprocess.run(["node", "-e", HASHES], input=json.dumps(given), capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return found
    for name, hashed in zip(("ThumbHash", "BlurHash"), json.loads(said), strict=True):
        size = hashed["height"], hashed["width"], 4
        pixels: NDArray[np.uint8] = np.frombuffer(base64.b64decode(hashed["rgba"]), np.uint8).reshape(size)
        whole = Image.fromarray(pixels).convert("RGB").resize((photo.width, photo.height), Image.Resampling.BICUBIC)
        found[name] = _rms(whole, photo)
    return found


def first_table(photos: Sequence[dict[str, float]]) -> str:
    """Markdown: the means over photos of what `first_bytes` gives."""
    names = list(photos[0])
    return table([f"{len(photos)} photos", *names], [["RMSE", *(f"{statistics.fmean(one[name] for one in photos):.1f}" for name in names)]])


def _rms(picture: Image.Image, photo: PreparedPhoto) -> float:
    return float(np.sqrt(np.square(np.asarray(picture.convert("RGB"), np.float64) - photo.rgb).mean()))


def cut_table(names: Sequence[str], photos: Sequence[Sequence[Cut]]) -> str:
    """Markdown: each photo's gain, dB, and drift, Lab, at each cut, then the averages, the worst ones, and how many photos are within
    DECIBELS and LAB."""
    columns = list(zip(*photos, strict=True))
    header = ["photo", *(f"{column[0].percent} %" for column in columns)]
    rows = [[name, *(_cell(cut.gain, cut.drift) for cut in cuts)] for name, cuts in zip(names, photos, strict=True)]
    means = (_cell(statistics.fmean(c.gain for c in column), statistics.fmean(c.drift for c in column)) for column in columns)
    rows.append(["average", *means])
    rows.append(["worst", *(_cell(min(c.gain for c in column), max(c.drift for c in column)) for column in columns)])
    within = (f"{sum(c.gain >= -DECIBELS for c in column)} / {sum(c.drift <= LAB for c in column)}" for column in columns)
    rows.append([f"within {DECIBELS} dB / {LAB} Lab, of {len(photos)}", *within])
    return table(header, rows)


def _cell(gain: float, drift: float) -> str:
    return f"{gain:+.2f} / {drift:+.2f}"


@functools.cache
def _session(pack: Path | None) -> Session:
    torch.set_num_threads(1)
    return Session(default_pack() if pack is None else load_pack(pack))


def _measured(path: Path, pack: Path | None, settings: list[tuple[Tune, float]]) -> list[list[Cut]]:
    photo = read_photo(path)
    return [measure(photo, _session(pack), tune, quality) for tune, quality in settings]
