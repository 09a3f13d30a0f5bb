"""The same pixels in Firefox and in WebKit as in Python: the second and third engine beside Chromium, from Debian's packages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from browser import SHOWN, Site, pack_files, scripts
from engines import page, report_of
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack

ENGINES = ("firefox", "webkit")
VECTORS = Path(__file__).resolve().parents[1] / "vectors"

DECODE = """
const { decodeBytes } = await import(new URL("decode.js", location.href));
const out = {};
for (const name of argument.names)
  for (const stage of ["linear", "decoded", "denoised"]) {
    const bytes = new Uint8Array(await (await fetch(name)).arrayBuffer());
    const { data, width, height } = await decodeBytes(bytes, { stage });
    out[`${name} ${stage}`] = [width, height, await hash(data)];
  }
return out;
"""

ELEMENT = """
await import(new URL("sdz.js", location.href));
const out = {};
for (const name of argument.names) {
  const element = document.createElement("sdz-img");
  element.src = name;
  document.body.append(element);
  await element.decode();
  const { width, height, data } = await (SHOWN)(element);
  out[name] = [width, height, await hash(data)];
}
return out;
""".replace("SHOWN", SHOWN)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    astronaut, coffee = Image.fromarray(skimage.data.astronaut()), Image.fromarray(skimage.data.coffee())
    odd = astronaut.crop((180, 20, 330, 221))
    return {
        "face.sdz": encode(odd, quality=40),
        "cup.sdz": encode(coffee.resize((300, 200)), target_size=1500),
        "faithful.sdz": encode(odd.resize((90, 130)), quality=65, tune="faithful"),
        "fine.sdz": encode(odd.resize((90, 130)), quality=90),
        "grey.sdz": encode(odd.convert("L"), quality=30),
        "cut.sdz": encode(coffee.resize((300, 200)), quality=50)[:900],
    }


@pytest.fixture(scope="module")
def site(pack: Pack, files: dict[str, bytes]) -> Iterator[Site]:
    made = Site("/some/where/")
    made.files |= scripts() | pack_files(pack) | files
    yield made
    made.close()


def rgba(data: bytes, **options: Any) -> tuple[int, int, str]:
    """Width, height and SHA-256 of the RGBA bytes that Python decodes."""
    picture = decode(data, **options).to_pil().convert("RGBA")
    return picture.width, picture.height, hashlib.sha256(picture.tobytes()).hexdigest()


@pytest.mark.parametrize("engine", ENGINES)
def test_every_stage_has_pythons_pixels(engine: str, site: Site, files: dict[str, bytes]) -> None:
    site.files["decode.html"] = page(DECODE, {"names": sorted(files)})
    expected = {
        f"{name} {stage}": list(rgba(data, stage=stage)) for name, data in files.items() for stage in ("linear", "decoded", "denoised")
    }
    assert report_of(engine, site, "decode.html") == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_the_element_paints_pythons_pixels(engine: str, site: Site, files: dict[str, bytes]) -> None:
    site.files["element.html"] = page(ELEMENT, {"names": sorted(files)})
    assert report_of(engine, site, "element.html") == {name: list(rgba(data)) for name, data in files.items()}
