"""The bench's arithmetic on figures made up here: interpolation at equal bytes, averages, tables, and one photo end to end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.bench import CODER_STEPS, CUTS, PEERS, _layouts, _narrow, at_rate, main, markdown, summary


def points(*values: tuple[float, float]) -> list[dict[str, float]]:
    return [{"bpp": rate, "psnr": value, "ms_ssim": value / 100, "st_lpips": 1 / value} for rate, value in values]


def photo(reach: float) -> dict[str, Any]:
    curves = {"sdz": points((0.05, 26.0), (0.8, 34.0))} | {peer: points((reach, 25.0), (0.8, 33.0)) for peer in PEERS}
    cut = {"bpp": 0.1, "psnr": 27.0, "ms_ssim": 0.9, "st_lpips": 0.2}
    return {
        "points": curves,
        "coder": {str(step): {"sdz": 80, "jxl": 100, "deflate": 160} for step in CODER_STEPS},
        "denoiser": {str(c): {"decoded": cut, "denoised": cut | {"psnr": 27.5}} for c in CUTS},
    }


def test_rates_are_interpolated_over_their_logarithm_and_never_extended() -> None:
    curve = points((0.1, 20.0), (0.4, 30.0))
    assert at_rate(curve, 0.2, "psnr") == pytest.approx(25.0)
    assert at_rate(curve, 0.1, "psnr") == pytest.approx(20.0)
    assert at_rate(curve, 0.09, "psnr") is None
    assert at_rate(curve, 0.41, "psnr") is None


def test_summary_counts_only_photos_that_the_peer_reaches() -> None:
    total = summary({"a": photo(0.05), "b": photo(0.25)})
    assert [total["rates"][rate]["AVIF"]["photos"] for rate in ("0.1", "0.2", "0.3")] == [1, 1, 2]
    assert total["rates"]["0.1"]["sdz"]["photos"] == 2
    assert total["rates"]["0.2"]["AVIF"]["psnr"] == {"sdz": pytest.approx(30.0), "AVIF": pytest.approx(29.0)}
    assert total["coder"]["40"] == {"sdz": 160, "jxl": 200, "deflate": 320}
    assert total["denoiser"]["1.0"]["denoised"]["psnr"] == 27.5


def test_tables_show_every_row() -> None:
    text = markdown({"pack": "01020304", "photos": {"a": photo(0.05)}, "summary": summary({"a": photo(0.05)})})
    assert "| 0.2 | AVIF | 1 | 30.00 / 29.00 | 0.3000 / 0.2900 | 0.0339 / 0.0352 |" in text
    assert "| 40 | 80 | 100 | 160 | -20.0 % | -50.0 % |" in text
    assert "| 0.100 | 27.00 / 27.50 | 0.9000 / 0.9000 | 0.2000 / 0.2000 |" in text


def test_layouts_hold_every_latent_once() -> None:
    integers = np.arange(192 * 2 * 3, dtype=np.int32).reshape(192, 2, 3)
    layouts = _layouts(integers)
    assert [a.shape for a in layouts] == [(384, 3), (24, 48)]
    for layout in layouts:
        assert np.array_equal(np.sort(layout.ravel()), np.arange(integers.size))
    assert _narrow(integers).dtype == np.int16
    assert _narrow(integers % 100).dtype == np.int8


def test_no_photos_is_said(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no photos there" in capsys.readouterr().err
