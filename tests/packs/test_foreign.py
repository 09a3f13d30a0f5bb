"""Packs from other autoencoders: steps and tables from photos, graphs and their gate, and a site whose page decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from autoencoders import photos, save_kl, save_tiny
from browser import DECODE, Site, pack_files, picture, scripts
from networks import small_networks
from numpy_forms import linear_stage
from onnx import TensorProto, helper, numpy_helper

import sdz.export.packs.foreign
from sdz.export.cli import main
from sdz.export.families import FamilyError, load_family
from sdz.export.packs.cost import receptive_field
from sdz.export.packs.foreign.build import ForeignPack, build_foreign_pack, pack_name, public_name
from sdz.export.packs.foreign.calibrate import fit_linear, gains_of, integer_table, read_photos
from sdz.export.packs.foreign.expected import expected
from sdz.export.packs.foreign.from_model import pack_for_site
from sdz.export.packs.foreign.traced import half_weights
from sdz.export.packs.options import ModelOptions
from sdz.export.packs.parity import ParityError
from sdz.export.site.build import BuildOptions, build
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.format.tiles import Tiling
from sdz.runtime.pack import load_pack
from sdz.runtime.refining.encoder import encode_with_deviation
from sdz.runtime.session import Session


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ForeignPack:
    folder = tmp_path_factory.mktemp("tiny")
    return build_foreign_pack(load_family(str(save_tiny(folder / "model"))), photos(64), folder / "pack")


@pytest.fixture(scope="module")
def kl(tmp_path_factory: pytest.TempPathFactory) -> ForeignPack:
    """A pack of an AutoencoderKL that goes through in one piece up to 192 x 192 pixels only."""
    folder = tmp_path_factory.mktemp("kl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdz.export.packs.foreign.build, "WHOLE_PIXELS", 192 * 192)
        return build_foreign_pack(load_family(str(save_kl(folder / "model"))), photos(64), folder / "pack", precision="fp16")


def test_the_linear_fit_finds_a_linear_decoder() -> None:
    random = np.random.default_rng(0)
    weights = np.round(random.normal(0, 8, (3, 3 * 16)))
    latents = np.round(random.normal(0, 2, (5, 3, 6, 7))).astype(np.float32)
    blocks = np.einsum("ncyx,cp->nyxp", latents, weights).reshape(5, 6, 7, 3, 4, 4)
    crops = (blocks.transpose(0, 1, 4, 2, 5, 3).reshape(5, 24, 28, 3) + 128).clip(0, 255).astype(np.uint8)
    found = fit_linear(latents * 0.25, crops)
    assert np.abs(found - 4 * weights).max() < 4
    gains = gains_of(found, latents * 0.25)
    assert np.allclose(gains, np.linalg.norm(4 * weights, axis=1), rtol=0.1)
    table, shift, _ = integer_table(found / gains[:, None], 1000)
    values = np.round(latents[0] * 0.25 * gains[:, None, None] * 4).astype(np.int32)
    assert np.abs(linear_stage(values, table, shift).astype(int) - crops[0]).mean() < 2


def test_a_channel_that_no_linear_decoder_sees_keeps_a_step() -> None:
    weights = np.array([[300.0, 400.0], [0.0, 0.0]])
    latents = np.stack([np.array([[-1.0, 1.0]]), np.array([[-2.0, 2.0]])])[None].astype(np.float32)
    # a twentieth of the first channel's spread of 500 levels, over its own of 2
    assert gains_of(weights, latents).tolist() == [500.0, 12.5]


def test_integer_tables_keep_what_the_format_holds() -> None:
    table, shift, limit = integer_table(np.array([[0.5, -1.0]]), 10_000)
    assert (table.tolist(), shift, limit) == ([[8192, -16384]], 16, ((1 << 31) - (1 << 24) - 1) // 16384)
    with pytest.raises(FamilyError, match="does not fit 16 bits: a unit of a latent moves a pixel by 1e\\+06 levels"):
        integer_table(np.array([[1e6]]), 1.0)


def test_photos_too_small_or_broken_are_left_out(tmp_path: Path) -> None:
    picture(80, 70).save(tmp_path / "good.png")
    picture(80, 60).save(tmp_path / "low.png")
    (tmp_path / "broken.jpg").write_bytes(b"no")
    paths = sorted(tmp_path.iterdir())
    assert [photo.shape for photo in read_photos(paths)] == [(70, 80, 3)]
    with pytest.raises(FamilyError, match="no photo of at least 64x64 pixels to calibrate the pack with"):
        read_photos(paths[:1])


def test_names_are_a_packs_and_tell_no_path() -> None:
    sources = ("stabilityai/sd-vae-ft-mse", "/a/b/My VAE/ (subfolder vae)", "x/y (subfolder vae) with the decoder of u/v")
    assert [pack_name(source) for source in sources] == ["sd-vae-ft-mse", "My-VAE", "y"]
    assert public_name("/home/me/vae (subfolder vae) with the decoder of madebyollin/taesd") == (
        "vae (subfolder vae) with the decoder of madebyollin/taesd"
    )


def test_expected_times_are_those_of_the_two_that_were_measured() -> None:
    assert (expected(270_000, "int8").python, expected(270_000, "fp16").chromium) == (0.42, 6.02)
    assert (expected(4_730_000, "fp32").python, expected(4_730_000, "fp32").chromium) == (41.0, 193.0)


def test_half_weights_are_cast_where_they_are_large_and_fit() -> None:
    arrays = {"large": np.full((16, 17), 1.5, np.float32), "small": np.ones(4, np.float32), "wide": np.full((16, 16), 1e6, np.float32)}
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in arrays]
    outputs = [helper.make_tensor_value_info(f"{name} out", TensorProto.FLOAT, a.shape) for name, a in arrays.items()]
    graph = helper.make_graph(nodes, "g", [], outputs, [numpy_helper.from_array(a, name) for name, a in arrays.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    stored = {t.name: t.data_type for t in half_weights(model).graph.initializer}
    assert stored == {"large.half": TensorProto.FLOAT16, "small": TensorProto.FLOAT, "wide": TensorProto.FLOAT}
    onnx.checker.check_model(half_weights(model))
    assert [node.op_type for node in half_weights(model).graph.node] == ["Cast", "Identity", "Identity", "Identity"]


def test_the_tiny_packs_manifest(tiny: ForeignPack) -> None:
    pack = tiny.pack
    pack.verify()
    assert (pack.name, pack.channels, pack.patch, pack.exact, pack.tiling, pack.denoiser_min_step_index) == (
        "model",
        4,
        4,
        False,
        None,
        None,
    )
    # a convolution of 3 and blocks of three, at full, half and quarter resolution
    assert pack.decoder_halo == 8
    family = pack.manifest["family"]
    assert (family["kind"], family["source"], len(family["gains"]), len(family["centre"])) == ("AutoencoderTiny", "model", 4, 4)
    assert pack.graphs["decoder"].file == "decoder.int8.onnx" and tiny.warning is None
    assert tiny.figures["decoder fp32: mean error against torch (pixel levels)"] < 0.01
    assert tiny.figures["decoder int8: mean difference from fp32 (pixel levels)"] < 3


def test_every_graph_is_one_file_of_opset_21_without_its_makers_name(tiny: ForeignPack, kl: ForeignPack) -> None:
    for pack in (tiny.pack, kl.pack):
        for name in pack.graphs:
            model = onnx.load_from_string(pack.graph_bytes(name))
            assert {o.domain: o.version for o in model.opset_import}[""] == 21
            assert (len(model.metadata_props), model.producer_name, model.doc_string) == (0, "sdz", "")


def test_int8_scales_are_powers_of_two(tiny: ForeignPack) -> None:
    graph = onnx.load_from_string(tiny.pack.graph_bytes("decoder")).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    scales = [constants[n.input[1]] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert len(scales) > 10
    assert all((np.log2(scale) == np.round(np.log2(scale))).all() for scale in scales)


def test_python_round_trip_with_tiles(tiny: ForeignPack, kl: ForeignPack) -> None:
    for built in (tiny, kl):
        session = Session(built.pack)
        data = encode(picture(90, 70), session=session, quality=70)
        whole = decode(data, session=session)
        assert whole.pixels.shape == (70, 90, 3) and whole.stage == "decoded"
        tiled = decode(data, session=session, tile=8).pixels.astype(int)
        assert np.abs(tiled - whole.pixels).max() <= (1 if built is tiny else 0)
        assert decode(data, pack=built.pack, stage="linear", reduce=built.pack.patch).pixels.shape[:2] == (
            -(-70 // built.pack.patch), -(-90 // built.pack.patch),
        )  # fmt: skip


def test_the_kl_packs_encoder_gives_its_posteriors_deviation(kl: ForeignPack) -> None:
    pixels = np.asarray(picture(64, 48))
    latents, deviation = encode_with_deviation(pixels, Session(kl.pack))
    family = load_family(str(kl.pack.directory.parent / "model"))
    with torch.no_grad():
        expected_deviation = family.encoder(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float())[1][0].numpy()
    gains = np.array(kl.pack.manifest["family"]["gains"], np.float32)[:, None, None]
    assert deviation is not None and deviation.shape == latents.shape == (4, 6, 8)
    assert np.allclose(deviation, expected_deviation * gains, rtol=0.01)


def test_decoders_with_global_operations_are_tiled_and_say_what_it_costs(kl: ForeignPack) -> None:
    assert (kl.pack.tiling, kl.pack.encoder_tiling, kl.pack.decoder_halo) == (Tiling(576, 8), Tiling(576, 8), 0)
    measured = kl.pack.manifest["measured"]
    assert 0 < measured["tiles of 256 pixels: mean error against one piece (pixel levels)"] < 60
    family = load_family(str(kl.pack.directory.parent / "model"))
    assert receptive_field(family.decoder, 4) is None


def test_a_light_decoder_goes_through_in_tiles_that_join_and_the_full_encoder_in_blended_ones(tmp_path: Path) -> None:
    light = {"decoder_block_out_channels": (8,) * 4, "num_decoder_blocks": (1,) * 4}
    light |= {"encoder_block_out_channels": (8,) * 4, "num_encoder_blocks": (1,) * 4}
    family = load_family(str(save_kl(tmp_path / "kl")), decoder_from=str(save_tiny(tmp_path / "light", **light)))
    pack = build_foreign_pack(family, photos(64), tmp_path / "pack", precision="fp32").pack
    assert (pack.tiling, pack.encoder_tiling) == (None, Tiling(4096, 8))
    assert 0 < pack.decoder_halo < 20
    assert pack.manifest["family"]["source"] == "kl with the decoder of light"


def test_a_pack_that_fails_the_gate_is_not_written(tiny: ForeignPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sdz.export.packs.foreign.build.TOLERANCES, "encoder: mean error against torch (share of the latents' spread)", 0.0)
    family = load_family(str(tiny.pack.directory.parent / "model"))
    with pytest.raises(ParityError, match=r"encoder: mean error .* tolerance 0: the pack was not written"):
        build_foreign_pack(family, photos(64), tmp_path / "pack")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def test_chromium_decodes_them_as_python_does(tiny: ForeignPack, kl: ForeignPack, site: Site, chromium: Any) -> None:
    import base64

    expected_pixels = {}
    site.files |= scripts() | {"empty.html": b"<!doctype html>"}
    # one piece of each, and one of the kl's that goes through in two blended tiles
    for name, built, size in (("tiny", tiny, (90, 70)), ("kl", kl, (90, 70)), ("wide", kl, (256, 160))):
        session = Session(built.pack)
        data = encode(picture(*size), session=session, quality=70)
        site.files |= pack_files(built.pack) | {f"{name}.sdz": data}
        expected_pixels[name] = decode(data, session=session).pixels
    page = chromium.new_page()
    page.goto(site.url("empty.html"))
    got = page.evaluate(DECODE, {"base": site.url(""), "wanted": [f"{name}.sdz" for name in expected_pixels]})
    page.close()
    for name, pixels in expected_pixels.items():
        stage, text = got[f"{name}.sdz"]
        rgba = np.frombuffer(base64.b64decode(text), np.uint8).reshape(*pixels.shape[:2], 4)
        difference = np.abs(rgba[:, :, :3].astype(int) - pixels)
        assert (stage, rgba[:, :, 3].min()) == ("decoded", 255)
        # an activation on the edge between two levels of int8 may fall on either side; fp32 sums differ by roundings
        assert difference.mean() < 0.05 and difference.max() <= 8, name


def test_a_site_keeps_its_pack_while_the_model_is_the_same(tmp_path: Path) -> None:
    photo, site = tmp_path / "in" / "a.png", tmp_path / "site"
    photo.parent.mkdir()
    picture(96, 80).save(photo)
    model = ModelOptions(str(save_tiny(tmp_path / "secret" / "model")), precision="fp32")
    made = pack_for_site(site, model, [photo])
    assert (made.directory, made.reused, made.warning) == (site / "packs" / "model", False, None)
    assert made.figures["decoder fp32: largest error against torch (pixel levels)"] <= 1
    pack = load_pack(made.directory)
    # one graph, named twice
    assert pack.graphs["decoder"] == pack.graphs["decoder-fp32"]
    report = build(BuildOptions([str(photo)], site, pack=made.directory, judged=0, brotli_quality=1))
    assert (report.decoder.pack, report.decoder.exact) == (pack.id.hex(), False)
    assert [stage.stage for stage in report.photos[0].stages] == ["linear", "decoded"]
    assert 'data-digest="" data-best="decoded"' in (site / "photos" / "a.html").read_text()
    for path in site.rglob("*.json"):
        assert "secret" not in path.read_text()
    again = pack_for_site(site, model, [photo])
    assert (again.directory, again.figures, again.reused) == (made.directory, {}, True)
    assert not pack_for_site(site, replace(model, precision="fp16"), [photo]).reused
    assert load_pack(made.directory).graphs["decoder"].file == "decoder.fp16.onnx"


def test_a_training_run_of_ones_own_becomes_an_exact_pack(tmp_path: Path) -> None:
    autoencoder, denoiser = small_networks()
    autoencoder.save_pretrained(tmp_path / "run" / "autoencoder")
    denoiser.save_pretrained(tmp_path / "run" / "denoiser")
    picture(96, 80).save(tmp_path / "a.png")
    made = pack_for_site(tmp_path / "site", ModelOptions(str(tmp_path / "run")), [tmp_path / "a.png"])
    pack = load_pack(made.directory)
    assert (pack.name, pack.exact, pack.patch, pack.denoiser_min_step_index) == ("run", True, 16, 22)
    assert made.figures["decoder int8: values that differ from fp32"] == 0
    data = encode(picture(96, 80), pack=pack)
    assert decode(data, pack=pack).pixels.shape == (80, 96, 3)


def test_the_command_line_says_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(80, 70).save(tmp_path / "a.png")
    arguments = ["build", str(tmp_path / "a.png"), "--out", str(tmp_path / "site"), "--pack-from", str(tmp_path / "nowhere")]
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"sdz build: {tmp_path / 'nowhere'}: there is no such folder")
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--pack", str(tmp_path)])
    assert stopped.value.code == 2
    assert "name one pack: --pack, or --pack-from" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").touch()
    assert main([*arguments[:3], str(tmp_path / "mine"), *arguments[4:]]) == 1
    assert "holds other files, and no site of ours: index.html. Name an empty folder" in capsys.readouterr().err
