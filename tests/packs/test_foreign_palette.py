"""Palette packs of other autoencoders from build to pixels, steps from the posterior, and a UNet's clean-up of such a pack's file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from autoencoders import photos, save_kl, save_tiny, save_unet, small_unet
from browser import DECODE, Site, pack_files, picture, scripts

from sdz.export.bench.palette2022 import check, cleaned
from sdz.export.families import FamilyError, load_family
from sdz.export.families.unet import load_clean_up
from sdz.export.packs.foreign.build import ForeignPack, build_foreign_pack
from sdz.export.packs.foreign.calibrate import calibrate
from sdz.runtime.decode import decode, open_latents
from sdz.runtime.encode import encode
from sdz.runtime.format.container import parse
from sdz.runtime.format.palette import scale_index
from sdz.runtime.refining.encoder import encode_with_deviation
from sdz.runtime.session import Session


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ForeignPack:
    folder = tmp_path_factory.mktemp("kl")
    family = load_family(str(save_kl(folder / "model")))
    return build_foreign_pack(family, photos(64), folder / "pack", precision="fp32", quantizer="palette", steps="posterior")


def test_the_pack_says_how_its_files_carry_latents(built: ForeignPack) -> None:
    assert (built.pack.quantizer, built.pack.manifest["quantizer"], built.pack.patch) == ("palette", "palette", 8)
    built.pack.verify()
    check(built.pack, cleaned=True)


def test_posterior_steps_are_equal_parts_of_every_channels_deviation(built: ForeignPack) -> None:
    pixels = np.concatenate(photos(64), axis=1)
    _, deviation = encode_with_deviation(pixels, Session(built.pack))
    assert deviation is not None
    means = deviation.mean(axis=(1, 2))
    assert means.max() < 1.2 * means.min()
    family = load_family(str(built.pack.directory.parent / "model"))
    linear, posterior = (calibrate(family, photos(64), steps=steps).gains for steps in ("linear", "posterior"))  # type: ignore[arg-type]
    assert np.log(linear).mean() == pytest.approx(np.log(posterior).mean(), abs=1e-4)
    assert not np.allclose(linear, posterior, rtol=0.05)


def test_without_a_posterior_there_are_no_steps_from_it(tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match="has no posterior to take steps from"):
        calibrate(load_family(str(save_tiny(tmp_path / "model"))), photos(64), steps="posterior")


def test_a_file_of_the_pack_holds_its_palette(built: ForeignPack) -> None:
    session = Session(built.pack)
    data = encode(picture(200, 136), session=session)
    container = parse(data)
    assert [chunk.tag for chunk in container.chunks] == [b"P"]
    latents, _ = encode_with_deviation(np.asarray(picture(200, 136)), session)
    assert container.header.step_index == scale_index(latents)
    # 425 positions with 256 entries
    known = open_latents(data, pack=built.pack).picture.known()
    different = np.unique(known.magnitude * np.where(known.negative, -1, 1).astype(np.int32).reshape(known.magnitude.shape), axis=0)
    assert different.shape[0] <= 4 and len(np.unique(known.magnitude.reshape(4, -1).T, axis=0)) <= 256
    assert decode(data, session=session).pixels.shape == (136, 200, 3)


def test_a_unet_of_the_real_class_cleans_the_packs_latents(built: ForeignPack, tmp_path: Path) -> None:
    session = Session(built.pack)
    data = encode(picture(96, 72), session=session)
    unet = small_unet(conditional=True)
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    untouched = cleaned(data, session, load_clean_up(save_unet(tmp_path / "zero", unet), local_files_only=True))
    plain = decode(data, session=session).pixels
    # latents are rounded to a grey level on the way
    assert np.abs(untouched.astype(int) - plain).mean() < 1.0
    torch.nn.init.normal_(unet.conv_out.weight)
    other = cleaned(data, session, load_clean_up(save_unet(tmp_path / "random", unet), strength=0.5, local_files_only=True))
    assert np.abs(other.astype(int) - plain).mean() > 2 * np.abs(untouched.astype(int) - plain).mean()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def test_chromium_decodes_a_palette_as_python_does(built: ForeignPack, site: Site, chromium: Any) -> None:
    session = Session(built.pack)
    data = encode(picture(90, 70), session=session)
    site.files |= scripts() | {"empty.html": b"<!doctype html>"} | pack_files(built.pack) | {"a.sdz": data}
    page = chromium.new_page()
    page.goto(site.url("empty.html"))
    stage, text = page.evaluate(DECODE, {"base": site.url(""), "wanted": ["a.sdz"]})["a.sdz"]
    page.close()
    pixels = decode(data, session=session).pixels
    rgba = np.frombuffer(base64.b64decode(text), np.uint8).reshape(70, 90, 4)
    assert stage == "decoded"
    assert np.abs(rgba[:, :, :3].astype(int) - pixels).mean() < 0.05


def test_a_site_of_palettes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sdz.export.cli import main

    (tmp_path / "in").mkdir()
    picture(96, 80).save(tmp_path / "in" / "a.png")
    model, out = save_tiny(tmp_path / "model"), tmp_path / "site"
    arguments = ["build", str(tmp_path / "in"), "--pack-from", str(model), "--out", str(out), "--jobs", "1", "--judge", "0"]
    assert main([*arguments, "--quantizer", "palette"]) == 0
    assert (out / "packs" / "model-palette" / "manifest.json").is_file()
    (file,) = out.rglob("*.sdz")
    assert [chunk.tag for chunk in parse(file.read_bytes()).chunks if chunk.tag != b"T"] == [b"P"]
    capsys.readouterr()
    assert main([*arguments, "--steps", "posterior", "--force"]) == 1
    assert "has no posterior to take steps from" in capsys.readouterr().err
