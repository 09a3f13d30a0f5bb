"""How peers save photos, which of their files keeps a rate, and that measured figures are kept."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdz.export.bench import peers
from sdz.export.bench.peers import FULL, PEERS, SHRINKING, Plan, Setting, equal_file, figures, measure_photo, recipe
from sdz.export.metrics.kept import Kept
from sdz.runtime.options import DEFAULT_QUALITY

REFERENCE = np.asarray(Image.radial_gradient("L").convert("RGB"))[64:192, 32:224]
SMALL = Plan("small", (replace(FULL.of("JPEG")[0], qualities=(10, 60)),), (40,), (0.5,), 0.1)


@dataclass(frozen=True)
class Steps:
    """A codec whose file of quality q has 100 q bytes."""

    codec: str = "steps"
    name: str = "only"
    qualities: tuple[int, ...] = (1, 20)

    def encode(self, image: Image.Image, quality: int) -> bytes:
        return bytes(100 * quality)


def steps_points(*qualities: int, distance: float = 1.0) -> list[dict[str, Any]]:
    area = REFERENCE[..., 0].size
    figures_ = [{"quality": q, "bytes": 100 * q, "bpp": 800 * q / area, "st_lpips": distance / q} for q in qualities]
    return [{"codec": "steps", "setting": "only"} | f for f in figures_]


def test_the_peers_are_those_of_the_design_at_three_sizes() -> None:
    assert PEERS == ("AVIF", "JPEG XL", "WebP", "JPEG")
    assert SHRINKING == ("AVIF", "JPEG XL")
    assert {s.shrink for s in FULL.of("AVIF")} == {1, 2, 4} == {s.shrink for s in FULL.of("JPEG XL")}
    assert {s.options["subsampling"] for s in FULL.of("AVIF")} == {"4:2:0", "4:4:4"}
    assert {s.options["speed"] for s in FULL.of("AVIF")} == {4}
    assert {s.options["effort"] for s in FULL.of("JPEG XL")} == {7}
    assert round(DEFAULT_QUALITY) in FULL.qualities


@pytest.mark.parametrize("setting", FULL.settings, ids=lambda s: f"{s.codec} {s.name}")
def test_every_setting_gives_back_the_size(setting: Setting) -> None:
    image = Image.fromarray(REFERENCE).resize((75, 49))
    small, large = (setting.encode(image, q) for q in (setting.qualities[0], setting.qualities[-1]))
    assert len(small) < len(large)
    assert setting.decode(large, image.size).shape == (49, 75, 3)
    with Image.open(io.BytesIO(large)) as opened:
        assert opened.size == (round(75 / setting.shrink), round(49 / setting.shrink))


def test_figures_are_taken_where_the_rate_asks_for_them() -> None:
    half = REFERENCE.copy()
    half[::2] = 128
    area = REFERENCE[..., 0].size
    low, high = figures(half, REFERENCE, round(0.04 * area / 8)), figures(half, REFERENCE, round(2.0 * area / 8))
    assert set(low) == {"bytes", "bpp", "psnr", "st_lpips", "lpips", "dists"}  # MS-SSIM wants sides over 160
    assert set(high) == {"bytes", "bpp", "psnr", "ssimulacra2"}
    assert low["bpp"] == pytest.approx(0.04, rel=0.01)
    middle = figures(half, REFERENCE, round(1.0 * area / 8))
    assert set(middle) == {"bytes", "bpp", "psnr", "ssimulacra2"}  # the networks judge up to 0.8 bits per pixel
    assert low["psnr"] == high["psnr"]


@pytest.mark.parametrize(("budget", "quality"), [(1050, 10), (1000, 10), (999, 9), (100, 1), (1940, 19), (5000, 20)])
def test_the_equal_file_is_the_last_that_fits(budget: int, quality: int) -> None:
    rate = 8 * budget / REFERENCE[..., 0].size
    found = equal_file([Steps()], rate, REFERENCE, steps_points(1, 5, 20))
    assert found is not None
    assert (found.quality, len(found.data)) == (quality, 100 * quality)


def test_the_setting_of_least_distance_makes_the_equal_file() -> None:
    points = steps_points(2, 20) + [p | {"setting": "better"} for p in steps_points(2, 20, distance=0.5)]
    found = equal_file([Steps(), Steps(name="better")], 8 * 1000 / REFERENCE[..., 0].size, REFERENCE, points)
    assert found is not None
    assert found.setting.name == "better"


def test_no_file_keeps_a_rate_below_the_smallest() -> None:
    assert equal_file([Steps()], 8 * 99 / REFERENCE[..., 0].size, REFERENCE, steps_points(1, 20)) is None


def test_measured_figures_are_kept_until_the_recipe_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path, "ab" * 32)
    monkeypatch.setattr(peers, "figures", lambda picture, reference, size, visible_rate: {"bytes": size, "bpp": size / 100, "psnr": 30.0})
    first = measure_photo(REFERENCE, kept, SMALL)
    assert [(p["codec"], p["quality"]) for p in first["points"]] == [("JPEG", 10), ("JPEG", 60)]
    assert first["equal"] == {"0.5": {}}  # JPEG is not measured at reduced size
    assert kept.features("small")["original"].shape == (3 * 5, 256)
    monkeypatch.setattr(peers, "measure_points", lambda reference, plan: pytest.fail("measured again"))
    assert measure_photo(REFERENCE, kept, SMALL) == first
    changed = replace(SMALL, visible_rate=0.2)
    assert recipe(changed) != recipe(SMALL)
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        measure_photo(REFERENCE, kept, changed)


def test_a_broken_or_missing_entry_counts_as_none(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "cd" * 32)
    assert kept.figures("x", "key") is None
    kept.keep("x", "key", {"a": 1}, {}, {"file": b"data"})
    assert kept.figures("x", "key") == {"a": 1}
    assert kept.figures("x", "other") is None
    assert kept.file("file") == b"data"
    (kept.folder / "x.json").write_text("{")
    assert kept.figures("x", "key") is None
