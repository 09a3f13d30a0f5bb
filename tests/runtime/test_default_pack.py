"""The way from pixels to bytes and back on the pack that comes with the package."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import parse
from sdz.runtime.pack import default_pack
from sdz.runtime.session import Session


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(default_pack())


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """215 x 147 pixels with edges, slopes and texture."""
    y, x = np.mgrid[:147, :215].astype(np.float64)
    waves = 128 + 60 * np.sin(x / 9) * np.cos(y / 13) + 50 * (np.hypot(x - 90, y - 70) < 40)
    noise = np.random.default_rng(0).normal(0, 6, (147, 215))
    return Image.fromarray(np.stack([waves + noise, waves * 0.7 + x / 4, 255 - waves + noise], axis=2).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("stage", ["linear", "decoded", "denoised"])
def test_tiles_and_threads_do_not_change_a_byte(stage: str, session: Session, image: Image.Image) -> None:
    data = encode(image, bpp=0.2, session=session)
    whole = decode(data, session=session, stage=stage)
    assert whole.stage == stage
    assert np.array_equal(decode(data, session=session, stage=stage, tile=3).pixels, whole.pixels)
    assert np.array_equal(decode(data, session=Session(session.pack, threads=2), stage=stage).pixels, whole.pixels)


def test_the_default_is_found_by_the_files_id(session: Session, image: Image.Image) -> None:
    data = encode(image, target_size=600)
    assert len(data) == 600
    assert parse(data).header.pack_id == default_pack().id
    assert np.array_equal(decode(data).pixels, decode(data, session=session).pixels)


def test_more_bytes_give_a_better_image(session: Session, image: Image.Image) -> None:
    original = np.asarray(image).astype(float)
    data = encode(image, bpp=1.0, session=session)
    errors = [
        np.square(decode(data, session=session, max_bytes=n).pixels - original).mean() for n in (len(data) // 16, len(data) // 4, len(data))
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 100  # 28 dB


def test_it_beats_jpeg_at_equal_bytes(session: Session, image: Image.Image) -> None:
    original = np.asarray(image).astype(float)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=15, optimize=True)
    ours = decode(encode(image, target_size=len(jpeg.getvalue()), session=session), session=session).pixels
    with Image.open(jpeg) as theirs:
        assert np.square(ours - original).mean() < np.square(np.asarray(theirs) - original).mean()
