"""Which engine runs a decoder's networks, that both give the same pixels, and what is said where one is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sdz
from sdz.runtime import engines, session
from sdz.runtime.cli import main
from sdz.runtime.engines.exact import CoreNetworks
from sdz.runtime.errors import MissingRuntimeError, ProviderError
from sdz.runtime.info import describe
from sdz.runtime.options import STAGES
from sdz.runtime.pack import default_pack

CHELSEA = Path(__file__).resolve().parents[1] / "vectors" / "tiny" / "chelsea.sdz"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if onnxruntime were not installed."""
    for module in (engines, session):
        monkeypatch.setattr(module, "has_onnxruntime", lambda: False)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("realism", [1.0, 0.3])
def test_both_engines_give_the_same_pixels(stage: sdz.runtime.options.Stage, realism: float) -> None:
    found = [sdz.decode(CHELSEA, stage=stage, realism=realism, engine=engine, tile=7) for engine in ("core", "onnxruntime")]
    assert found[0].stage == stage and np.array_equal(found[0].pixels, found[1].pixels)


def test_both_engines_give_the_same_pixels_of_a_cut_file() -> None:
    data = CHELSEA.read_bytes()
    for size in (300, 900, len(data) - 5):
        assert np.array_equal(sdz.decode(data[:size], engine="core").pixels, sdz.decode(data[:size], engine="onnxruntime").pixels)


@pytest.mark.usefixtures("without")
def test_decoding_works_without_onnxruntime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", str(CHELSEA), "-o", str(tmp_path / "a.png")]) == 0
    assert main(["verify", str(CHELSEA)]) == 0
    assert main(["thumbnail", str(CHELSEA), str(tmp_path / "b.png")]) == 0
    capsys.readouterr()
    assert main(["info", str(CHELSEA)]) == 0
    assert "  engine      core (onnxruntime, which is faster, is not installed: pip install 'sdz[encode]')\n" in capsys.readouterr().out
    assert describe(CHELSEA.read_bytes())["engine"] == "core"


@pytest.mark.usefixtures("without")
def test_what_needs_onnxruntime_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "a.png"
    sdz.decode(CHELSEA, stage="linear").to_pil().save(photo)
    with pytest.raises(MissingRuntimeError, match=r"encoding needs onnxruntime, which is not installed: pip install 'sdz\[encode\]'"):
        sdz.encode(photo)
    assert main(["encode", str(photo), "-o", str(tmp_path / "b.sdz")]) == 1
    assert capsys.readouterr().err == "sdz: encoding needs onnxruntime, which is not installed: pip install 'sdz[encode]'\n"
    with pytest.raises(MissingRuntimeError, match="decoding needs onnxruntime"):
        sdz.decode(CHELSEA, engine="onnxruntime")
    with pytest.raises(MissingRuntimeError, match="decoding with pack tiny needs onnxruntime"):
        engines.networks_of(replace(default_pack(), core={}))
    assert not any(session.providers().values())


def test_info_asks_one_engine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["info", "--engine", "core", str(CHELSEA)]) == 0
    assert "  engine      core\n" in capsys.readouterr().out
    monkeypatch.setattr(engines, "has_onnxruntime", lambda: False)
    assert main(["info", "--engine", "onnxruntime", str(CHELSEA)]) == 1
    assert f"sdz: {CHELSEA}: decoding needs onnxruntime, which is not installed" in capsys.readouterr().err
    assert main(["info", "--engine", "core", str(CHELSEA)]) == 0


def test_what_the_core_cannot_do_is_refused() -> None:
    with pytest.raises(ProviderError, match="pack tiny has no weights for the core"):
        engines.networks_of(replace(default_pack(), core={}), "core")
    with pytest.raises(ProviderError, match="'cuda' belongs to onnxruntime"):
        engines.networks_of(default_pack(), "core", "cuda")
    assert isinstance(engines.networks_of(default_pack(), "core"), CoreNetworks)
