"""Networks that judge pictures: their values on small ones, tiles of large ones, and that nothing is left behind or run."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sdz.export.metrics import perceptual, similarity

REFERENCE = np.asarray(Image.radial_gradient("L").convert("RGB"))[64:160, 32:160]


def striped() -> NDArray[np.uint8]:
    out = REFERENCE.copy()
    out[::2] = 128
    return out


def noisy() -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).integers(-20, 21, REFERENCE.shape)
    return np.clip(REFERENCE.astype(int) + noise, 0, 255).astype(np.uint8)


def test_the_values_of_small_pictures() -> None:
    """LPIPS and DISTS as their own code gave them on five pictures of TID2013 to all published digits; here pinned on what ships."""
    assert (similarity.lpips(striped(), REFERENCE), similarity.lpips(noisy(), REFERENCE)) == pytest.approx((0.5127884, 0.6578094), rel=1e-5)
    assert (similarity.dists(striped(), REFERENCE), similarity.dists(noisy(), REFERENCE)) == pytest.approx((0.5043769, 0.4027747), rel=1e-5)
    whole = similarity.whole_distance(striped(), REFERENCE), similarity.whole_distance(noisy(), REFERENCE)
    assert whole == pytest.approx((0.6561316, 0.4087802), rel=1e-5)
    assert whole[0] == similarity.perceptual_distance(striped(), REFERENCE)
    assert similarity.lpips(REFERENCE, REFERENCE) == 0.0 == similarity.whole_distance(REFERENCE, REFERENCE)
    assert similarity.dists(REFERENCE, REFERENCE) == pytest.approx(0.0, abs=1e-6)
    assert not {"torchvision", "IPython", "torchsummary"} & set(sys.modules)


def test_large_pictures_are_judged_in_tiles_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert similarity.tiles(1024, 1024) == [(slice(0, 1024), slice(0, 1024))]
    halves = similarity.tiles(1025, 1024)
    assert [rows for rows, _ in halves] == [slice(0, 512), slice(512, 1025)]
    for height, width in ((3000, 4000), (64, 100_000), (1411, 1411)):
        parts = similarity.tiles(height, width)
        sizes = [(y.stop - y.start) * (x.stop - x.start) for y, x in parts]
        assert sum(sizes) == height * width and max(sizes) <= similarity.JUDGED_PIXELS
    monkeypatch.setattr(similarity, "_lpips", lambda: lambda picture, reference: picture.mean())
    monkeypatch.setattr(similarity, "JUDGED_PIXELS", 40 * 96)
    assert len(similarity.tiles(*REFERENCE.shape[:2])) == 4
    assert similarity.lpips(striped(), REFERENCE) == pytest.approx(float(striped().mean()), rel=1e-6)


def test_shipped_weights_are_arrays_and_never_code(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    for bad in (print, np.load):
        path.write_bytes(pickle.dumps({"a": bad}))
        with path.open("rb") as stream, pytest.raises(pickle.UnpicklingError, match="is no part of an array"):
            perceptual._Arrays(stream).load()
    path.write_bytes(pickle.dumps({"a": np.arange(3)}, protocol=3))
    with path.open("rb") as stream:
        assert perceptual._Arrays(stream).load()["a"].tolist() == [0, 1, 2]
