"""`sdz lossless`: the same integers by every coder, and what the posterior saves."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import StandInPack, StandInSession

from sdz.export.bench import lossless
from sdz.export.bench.lossless import CODERS, STEPS, Saving, coder_table, compare, main, posterior_savings, posterior_table, sizes
from sdz.export.metrics import similarity
from sdz.runtime.format.planes import encode_planes

PACK: Any = StandInPack()


def photo(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((192, 176), Image.Resampling.BICUBIC))


def squeezed(text: str) -> list[str]:
    """Lines of Markdown without what aligns columns."""
    return [re.sub(" +", " ", line) for line in text.splitlines()]


def test_all_coders_are_given_the_same_integers() -> None:
    integers = np.random.default_rng(1).integers(-3, 4, (4, 12, 12)).astype(np.int32)
    found = sizes(integers, 40, PACK)
    assert tuple(found) == CODERS
    assert found["this coder"] == len(encode_planes(integers, 40, PACK.coder))
    assert found["deflate"] == len(zlib.compress(integers.astype(np.int8).tobytes(), 9))
    # seven equally likely values: log2(7) bits each is the least for any of them
    assert min(found.values()) >= 4 * 12 * 12 * np.log2(7) / 8
    assert found["PNG"] > found["JPEG XL"]


def test_rates_are_those_of_all_photos_together() -> None:
    session: Any = StandInSession()
    totals = compare([photo(1), photo(2)], session)
    assert tuple(totals) == STEPS
    rates = [totals[step]["this coder"] for step in STEPS]
    assert rates == sorted(rates, reverse=True)
    text = coder_table(PACK, 2, {40: {"this coder": 0.1, "JPEG XL": 0.125, "PNG": 0.2, "deflate": 0.16}})
    assert text.splitlines()[0] == "Pack stand-in (010203), 2 photos, bits per pixel of the same integers:"
    assert squeezed(text)[-1] == "| 40 | 0.1000 | 0.1250 | 0.2000 | 0.1600 | -20.0 % | -50.0 % | -37.5 % |"


def test_a_posterior_that_says_nothing_saves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Equal(StandInSession):
        def encode_with_deviation(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            latents = self.encode(pixels)
            return latents, np.full_like(latents, 3.0)

    monkeypatch.setattr(similarity, "whole_distance", lambda a, b: float(np.abs(a.astype(float) - b).mean()))
    # from the linear stage: the stand-in decoder is no image decoder
    decode = lossless.decode
    monkeypatch.setattr(lossless, "decode", lambda data, session: decode(data, stage="linear", pack=session.pack))
    session: Any = Equal()
    savings = posterior_savings([photo(3)], session)
    assert [(s.tune, s.metric) for s in savings] == [(t, m) for t in ("natural", "faithful") for m in ("PSNR", "MS-SSIM", "ST-LPIPS")]
    assert {s.percent for s in savings} <= {0.0, None} and 0.0 in {s.percent for s in savings}
    none: Any = StandInSession()
    assert posterior_savings([photo(3)], none) == []


def test_the_posteriors_table() -> None:
    text = posterior_table([Saving("natural", "PSNR", -3.14, 0.05, 0.4), Saving("faithful", "PSNR", None, 0.0, 0.0)])
    assert squeezed(text)[2:] == ["| natural | PSNR | -3.1 % | 0.05–0.40 bpp |", "| faithful | PSNR | – | – |"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(photo(4)).save(tmp_path / "a.png")
    assert main(["default", str(tmp_path), "--no-posterior"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "1 photo," in printed[0] and [line.split()[1] for line in printed[4:]] == ["40", "48"]
    assert main([str(tmp_path / "nothing"), str(tmp_path)]) == 1
    assert "sdz lossless: " in capsys.readouterr().err
