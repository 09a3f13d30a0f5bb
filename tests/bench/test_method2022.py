"""The method of 2022 in the bench: its points and this coder's on the same latents, the way of latents to a UNet and back, what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from standins import StandInPack, StandInSession

from sdz.export.bench import palette2022, report
from sdz.export.bench.palette2022 import CLEANED, METHODS, PALETTE_2022, SAME_LATENTS, PaletteError, averages, check, cleaned, measure_photo
from sdz.export.bench.peers import FULL
from sdz.export.bench.run import main
from sdz.export.metrics.kept import Kept
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.container import parse
from sdz.runtime.pack import BUILT_IN, DEFAULT

REFERENCE = np.asarray(Image.radial_gradient("L").convert("RGB"))[:112, :160]


@dataclass(frozen=True)
class PalettePack(StandInPack):
    quantizer: str = "palette"
    manifest: dict[str, Any] = field(default_factory=lambda: {"family": {"gains": [2.0, 4.0, 8.0, 1.0], "centre": [0.5, 0.0, 0.0, -1.0]}})


SESSION: Any = StandInSession(PalettePack())


class Told:
    """In place of a UNet: keeps what it is given, adds the same to everything."""

    def __init__(self, by: float) -> None:
        self.by, self.given, self.steps, self.strength = by, torch.zeros(0), 4, 0.1

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        self.given = latents
        return latents + self.by


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(palette2022, "Session", StandInSession)
    monkeypatch.setattr(palette2022, "figures", lambda picture, reference, size, rate: {"bytes": size, "bpp": size / 100, "psnr": 30.0})


def test_each_method_has_a_point_at_every_quality_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path, "ab" * 32)
    found = measure_photo(REFERENCE, kept, SESSION, FULL, None, None)["points"]
    assert [(p["codec"], p["quality"]) for p in found] == [(c, n) for n in (16, 32, 64, 128, 256) for c in (PALETTE_2022, SAME_LATENTS)]
    sizes = {(p["codec"], p["quality"]): p["bytes"] for p in found}
    assert all(sizes[SAME_LATENTS, n] <= sizes[PALETTE_2022, n] for n in (16, 32, 64, 128, 256))
    whole = encode(Image.fromarray(REFERENCE), session=SESSION)
    assert sizes[PALETTE_2022, 256] == len(whole) and [c.tag for c in parse(whole).chunks] == [b"P"]
    (name,) = [path.name for path in kept.folder.glob("*.json")]
    assert name == "peers-2022-010203.json"
    told: Any = Told(0.0)
    more = measure_photo(REFERENCE, kept, SESSION, FULL, told, "unet")["points"]  # other points than those kept
    assert [p["codec"] for p in more[:3]] == [PALETTE_2022, SAME_LATENTS, CLEANED]
    monkeypatch.setattr(palette2022, "encode", lambda *_, **__: pytest.fail("measured again"))
    assert measure_photo(REFERENCE, kept, SESSION, FULL, told, "unet")["points"] == more


def test_latents_go_to_the_unet_in_its_own_unit_and_come_back() -> None:
    data = encode(Image.fromarray(REFERENCE), session=SESSION)
    nothing: Any = Told(0.0)
    picture = cleaned(data, SESSION, nothing)
    assert nothing.given.shape == (1, 4, 7, 10)
    # channel 3 of the stand-in is always 0: the centre
    assert torch.equal(nothing.given[0, 3], torch.full((7, 10), -1.0))
    means = REFERENCE.reshape(7, 16, 10, 16, 3).mean(axis=(1, 3)) - 128
    red = (nothing.given[0, 0].numpy() - 0.5) * 2.0
    assert np.abs(red - 16 * means[:, :, 0]).max() < 16.0  # half a step of 8 bits
    # the step is now a grey level: the stand-in's decoder shows precision codes, and whole levels in place of quarters
    moved = (decode(data, session=SESSION).pixels.astype(int) - picture - 9 * parse(data).header.step_index) % 256
    assert picture.shape == (112, 160, 3) and set(np.unique(moved[16:-16, 16:-16])) <= {255, 0, 1}
    other: Any = Told(1.0)
    assert not np.array_equal(cleaned(data, SESSION, other), picture)


def test_only_a_palette_pack_will_do() -> None:
    palette: Any = PalettePack()
    check(palette, cleaned=True)
    planes: Any = PalettePack(quantizer="planes")
    with pytest.raises(PaletteError, match="carries planes: the 2022 method wants a pack built with --quantizer palette"):
        check(planes, cleaned=False)
    unknown: Any = PalettePack(manifest={})
    check(unknown, cleaned=False)
    with pytest.raises(PaletteError, match="does not say what its latents are to a UNet"):
        check(unknown, cleaned=True)


def test_averages_and_the_reports_words() -> None:
    def point(codec: str, entries: int, size: int, **more: float) -> dict[str, Any]:
        return {"codec": codec, "quality": entries, "bytes": size, "bpp": size / 1000, "psnr": size / 10} | more

    first = [point(m, 256, 400 + i, ms_ssim=0.5) for i, m in enumerate(METHODS)] + [point(m, 16, 100) for m in METHODS]
    second = [point(m, 256, 200) for m in METHODS] + [point(m, 16, 50) for m in METHODS]
    rows = averages([first, second], ("psnr", "ms_ssim"))
    assert [row["entries"] for row in rows] == [256, 16]
    assert rows[0][PALETTE_2022] == {"bytes": 300.0, "bpp": pytest.approx(0.3), "psnr": 30.0, "ms_ssim": None}
    assert rows[0][CLEANED]["psnr"] == pytest.approx(30.1)
    full = averages([first, second], ("psnr", "ms_ssim", "st_lpips", "ssimulacra2"))
    section = report._method_2022({"pack": "010203", "name": "small", "unet": True, "rows": full})
    assert section.tables[0].rows[0] == ["256", "2", "300", "0.300", "30.00 / 30.05 / 30.10", "–", "–", "–"]
    assert "Pack `010203` (small)" in section.lines[0] and "after the UNet" in section.lines[0]


def test_the_bench_wants_palettes_for_the_method_and_the_unet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(REFERENCE).save(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "--out", str(tmp_path / "report"), "--quick", "--jobs", "1"]
    assert main([*arguments, "--unet", "somewhere"]) == 1
    assert "name a pack of them with --palette-pack" in capsys.readouterr().err
    assert main([*arguments, "--palette-pack", str(BUILT_IN / DEFAULT)]) == 1
    assert "pack tiny carries planes" in capsys.readouterr().err
