"""Distillation at toy size: for a small AutoencoderKL of the real architecture, exact where a run must be exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from sdz.export.crops import CropSampler, load_photos
from sdz.export.families import FamilyError, load_family
from sdz.export.families.unet import UnetError, load_clean_up
from sdz.export.models import LightDecoder, OneStepDenoiser
from sdz.export.models.autoencoder import GRID
from sdz.export.models.layers import Activation, is_calibrated, set_quantization
from sdz.export.models.truncation import truncate
from sdz.export.packs.cost import graph_cost
from sdz.export.packs.foreign.build import build_foreign_pack
from sdz.export.packs.foreign.distilled import is_light_decoder, load_distilled
from sdz.export.packs.graph import decoder_graph, decoder_table, denoiser_graph, serialize
from sdz.export.packs.parity import gate_photos
from sdz.export.training.distill import (
    STUDENTS,
    Distiller,
    DistillOptions,
    fresh_decoder,
    fresh_denoiser,
    latent_error,
    main,
    set_bound,
    split,
)
from sdz.export.training.skip import NEVER, least_code, measure, table
from sdz.export.training.space import LatentSpace, open_space
from sdz.export.training.teacher import Teacher
from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.session import Session

CROP = 176


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i, pixels in enumerate(gate_photos()[:3]):
        Image.fromarray(pixels.permute(1, 2, 0).to(torch.uint8).numpy()[:192, :192]).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "vae"
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 4, 4),
            norm_num_groups=2,
            latent_channels=4,
        )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def space(vae: Path) -> LatentSpace:
    return open_space(load_family(str(vae)), gate_photos())


@pytest.fixture(scope="module")
def both(vae: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoiser and a light decoder, distilled in one directory, so that they agree on what a grey level is."""
    out = tmp_path_factory.mktemp("both")
    assert run(vae, photos, out, "--steps", "4", "--learning-rate", "0.01", "--width", "8", "--blocks", "1") == 0
    assert run(vae, photos, out, "--decoder", "--steps", "4", "--learning-rate", "0.01", "--imitate", "0.5") == 0
    return out


def run(vae: Path, photos: Path, out: Path, *extra: str) -> int:
    fixed = ["--batch", "1", "--crop", str(CROP), "--threads", "1"]
    return main(["--pack-from", str(vae), "--data", str(photos), "--out", str(out), *fixed, *extra])


def weights(folder: Path) -> dict[str, Tensor]:
    with safe_open(folder / "diffusion_pytorch_model.safetensors", "pt") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (no mapping)


def sampler(photos: Path) -> CropSampler:
    return CropSampler(load_photos([photos], CROP), CROP, 5)


@torch.no_grad()
def test_grey_levels_move_a_patch_by_one(vae: Path, space: LatentSpace) -> None:
    assert (space.channels, space.patch) == (4, 8)
    assert space.gains is not None
    pixels = torch.stack(gate_photos())
    latents = space.encode(pixels).transpose(0, 1).flatten(1).t().double()
    target = torch.nn.functional.pixel_unshuffle(pixels - 128.0, 8).transpose(0, 1).flatten(1).t().double()
    print(space.gains, torch.linalg.lstsq(latents, target).solution.norm(dim=1))
    assert torch.allclose(torch.linalg.lstsq(latents, target).solution.norm(dim=1), torch.ones(4).double(), rtol=0.1)
    pixels = gate_photos()[0][None]
    model = diffusers.AutoencoderKL.from_pretrained(vae, low_cpu_mem_usage=False)
    raw = model.encode(pixels / 127.5 - 1.0).latent_dist.mode()
    centre = space.centre / model.config.scaling_factor
    scale = space.scale() * model.config.scaling_factor
    assert torch.allclose(space.encode(pixels), (raw - centre) * scale, rtol=1e-4, atol=1e-2)
    again = (model.decode(raw).sample + 1.0) * 127.5
    assert torch.allclose(space.decode(space.encode(pixels), raw), again, atol=1e-2)


def test_denoiser_interrupted_is_denoiser_uninterrupted(vae: Path, photos: Path, tmp_path: Path) -> None:
    # one run in a piece; the other's process ends after two of four steps, before quantization begins at the third
    shared = ["--judged", "0.5", "--draws", "2", "--width", "8", "--blocks", "1"]
    assert run(vae, photos, tmp_path / "whole", *shared, "--steps", "4") == 0
    space = open_space(load_family(str(vae)), gate_photos())
    options = DistillOptions(steps=4, batch=1, crop=CROP, judged=0.5, draws=2, width=8, blocks=1)
    torch.manual_seed(options.seed)
    train, _ = split(load_photos([photos], CROP))
    half = Distiller(fresh_denoiser(space, options), space, CropSampler(train, CROP, options.seed), tmp_path / "half", options)
    stop = half._train_step

    def interrupted() -> dict[str, float]:
        if half.step == 2:
            raise KeyboardInterrupt
        figures = stop()
        half.step += 1
        half.save()
        half.step -= 1
        return figures

    half._train_step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        half.run()
    assert run(vae, photos, tmp_path / "half", *shared, "--steps", "4") == 0
    whole, resumed = weights(tmp_path / "whole" / "denoiser"), weights(tmp_path / "half" / "denoiser")
    assert whole["head.activation.exponent"] == -7
    assert {k for k in whole if not torch.equal(whole[k], resumed[k])} == set()
    start = fresh_denoiser(space, options).state_dict()
    assert not torch.equal(whole["head.conv.weight"], start["head.conv.weight"])
    written = (tmp_path / "whole" / "skip.json").read_text()
    assert written == (tmp_path / "half" / "skip.json").read_text()
    config = json.loads((tmp_path / "whole" / "denoiser" / "config.json").read_text())
    assert (config["gains"], config["min_step_index"]) == (space.gains, json.loads(written)["min_step_index"])
    assert sorted(p.name for p in (tmp_path / "whole").iterdir()) == ["denoiser", "options.json", "skip.json", "state.safetensors"]
    # taught to look natural, it is not judged by squared errors
    set_bound(tmp_path / "whole", space, train, through_decoder=False, natural=True)
    config = json.loads((tmp_path / "whole" / "denoiser" / "config.json").read_text())
    assert (config["gains"], config["min_step_index"]) == (space.gains, 22)


def test_distilled_networks_are_their_int8_graphs(vae: Path, both: Path) -> None:
    assert {p.name for p in both.iterdir()} >= {"denoiser", "decoder", "state.safetensors", "decoder-state.safetensors"}
    denoiser = OneStepDenoiser.from_pretrained(both / "denoiser", low_cpu_mem_usage=False).eval()
    light = LightDecoder.from_pretrained(both / "decoder", low_cpu_mem_usage=False).eval()
    assert denoiser.config.gains == light.config.gains
    for model in (denoiser, light):
        assert is_calibrated(model)
        set_quantization(model, enabled=True)
    family = load_family(str(vae))
    space = open_space(family, [], light.config.gains)
    known = truncate(space.encode(gate_photos()[0][None]), torch.tensor(40.0), torch.tensor(1.0), torch.tensor(0.45))
    feeds = {
        "latents": known.values * GRID,
        "levels": known.levels.clamp(-15, 15),
        "precision": known.precision,
        "half_width": known.half_width * GRID,
    }
    arrays = {k: np.rint(v.numpy()).astype(np.float32) for k, v in feeds.items()}
    moved = [evaluate(serialize(denoiser_graph(denoiser, v)), arrays, plain=v == "fp32") for v in ("int8", "fp32")]
    assert np.array_equal(*moved)
    assert (moved[0] != arrays["latents"]).any()
    arrays = {"latents": moved[0], "precision": arrays["precision"]}
    painted = [evaluate(serialize(decoder_graph(light, v)), arrays, plain=v == "fp32") for v in ("int8", "fp32")]
    assert painted[0].shape == (256, 256, 4)
    assert np.array_equal(*painted)
    with torch.no_grad():
        expected = light.decode(torch.from_numpy(moved[0]) / GRID, known.precision).clamp(0, 255)[0].permute(1, 2, 0).numpy()
    # rounding to whole levels is 0.25; biases and ties on the grids and the linear table's integers add a little
    assert np.abs(painted[0][:, :, :3] - expected).mean() < 0.5
    assert decoder_table(light).weight.shape == (192, 4)


def test_distilled_networks_come_into_a_pack(vae: Path, both: Path, tmp_path: Path) -> None:
    family = load_family(str(vae))
    assert is_light_decoder(str(both))
    assert not is_light_decoder(str(vae))
    distilled = load_distilled(family, both, both)
    pixels = [np.ascontiguousarray(p.permute(1, 2, 0).to(torch.uint8).numpy()) for p in gate_photos()[:2]]
    built = build_foreign_pack(family, pixels, tmp_path / "packs" / "light", distilled=distilled)
    pack = built.pack
    assert pack.exact
    assert (pack.patch, pack.denoiser_halo, pack.decoder_halo) == (8, 1, 10)
    assert distilled.denoiser is not None
    assert pack.denoiser_min_step_index == distilled.denoiser.config["min_step_index"]
    assert np.array_equal(pack.linear, decoder_table(distilled.decoder).weight.T)  # type: ignore[arg-type]
    assert sorted(pack.graphs) == ["decoder", "decoder-fp32", "denoiser", "denoiser-fp32", "encoder"]
    assert built.figures["denoiser int8: values that differ from fp32"] == 0
    session = Session(pack)
    data = encode(Image.fromarray(pixels[0]), session=session, bpp=0.5)
    # tiles join without seams, which the family's own decoder's do not
    assert np.array_equal(decode(data, session=session).pixels, decode(data, session=session, tile=8).pixels)
    # a denoiser alone: the family's decoder remains, approximate
    alone = build_foreign_pack(family, pixels, tmp_path / "packs" / "big", distilled=load_distilled(family, both)).pack
    assert not alone.exact
    assert alone.denoiser_min_step_index == pack.denoiser_min_step_index
    assert alone.manifest["family"]["gains"] == pack.manifest["family"]["gains"]
    other = fresh_denoiser(open_space(family, [], [1.0] * 4), DistillOptions(width=8, blocks=1))
    for layer in other.modules():
        if isinstance(layer, Activation):
            layer.peak.fill_(1.0)
    other.save_pretrained(tmp_path / "other" / "denoiser")
    with pytest.raises(FamilyError, match="distilled for different grey levels; distill both in one run directory"):
        load_distilled(family, tmp_path / "other", both)
    with pytest.raises(FamilyError, match="has no folder denoiser with a config"):
        load_distilled(family, vae)
    fresh_denoiser(open_space(family, gate_photos()), DistillOptions(width=8, blocks=1)).save_pretrained(tmp_path / "fresh" / "denoiser")
    with pytest.raises(FamilyError, match="its training has not come to quantization"):
        load_distilled(family, tmp_path / "fresh")


def evaluate(graph: bytes, feeds: dict[str, Any], *, plain: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


@pytest.mark.parametrize(("patch", "macs"), [(4, 10408), (8, 14012), (16, 12596)])
def test_light_decoders_keep_to_the_budget(patch: int, macs: int) -> None:
    # 25 kMAC per pixel together with a denoiser
    light = LightDecoder(4, patch)
    denoiser = OneStepDenoiser(4, *STUDENTS[patch])
    for model in (light, denoiser):
        for layer in model.modules():
            if isinstance(layer, Activation):
                layer.exponent.fill_(-5)
    cost = graph_cost(decoder_graph(light, "fp32"), patch)
    assert round(cost.macs) == macs
    assert cost.macs + graph_cost(denoiser_graph(denoiser, "fp32"), patch).macs <= 25_000


def test_light_decoder_starts_as_the_least_squares_map(space: LatentSpace, photos: Path) -> None:
    light = fresh_decoder(space, sampler(photos), DistillOptions(batch=1))
    pixels = gate_photos()[2][None]
    latents = space.encode(pixels)
    with torch.no_grad():
        fitted = light.decode(latents, torch.zeros_like(latents)) - pixels
    fallback = pixels.mean(dim=(0, 2, 3), keepdim=True) - pixels
    assert fitted.square().mean() < fallback.square().mean()
    with pytest.raises(ValueError, match="patches of 32 pixels: a light decoder has patches of 4, 8, 16"):
        LightDecoder(4, 32)
    with pytest.raises(ValueError, match="3 gains for 4 channels"):
        LightDecoder(4, 8, gains=[1.0] * 3)


def test_skip_rule() -> None:
    def rows(*gains: int) -> list[dict[str, float]]:
        return [{"code": 22.0 + 6 * i, "without": 10.0, "with": 10.0 - g} for i, g in enumerate(gains)]

    assert least_code(rows(1, 1, 1)) == 22
    assert least_code(rows(-1, 0, 1)) == 28
    assert least_code(rows(1, -1, 1)) == 34
    assert least_code(rows(1, 1, -1)) == NEVER
    assert least_code([{"code": 22.0, "without": 1.0, "with": float("nan")}]) == NEVER
    assert table(rows(-1, 9), 28).splitlines()[2:] == [
        "            28      11.3          3.162    1.000    10.00 dB",
        "the denoiser runs from precision code 28 on",
    ]
    assert table(rows(-1), NEVER).splitlines()[-1] == "the denoiser never does good: it will not run"


def test_a_harmful_denoiser_never_runs(space: LatentSpace) -> None:
    student = fresh_denoiser(space, DistillOptions(width=8, blocks=1))
    photo = gate_photos()[1].permute(1, 2, 0).to(torch.uint8).numpy()[:64, :64]
    still = measure(student, space, [photo], through_decoder=False)
    assert [row["with"] for row in still] == [row["without"] for row in still]
    assert least_code(still) == 22
    assert student.head.conv.bias is not None
    torch.nn.init.constant_(student.head.conv.bias, 1.0)
    assert least_code(measure(student, space, [photo], through_decoder=False)) == NEVER


def test_latent_error_is_in_levels_of_pixels() -> None:
    values = torch.zeros(2, 4, 3, 3)
    wanted = values.clone()
    wanted[1, :3] = 8.0
    assert latent_error(values, wanted, 16).tolist() == [0.0, 3 * 64 / 768]


def small_unet(channels: int, folder: Path) -> Path:
    torch.manual_seed(2)
    unet = diffusers.UNet2DModel(
        in_channels=channels, out_channels=channels, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    unet.save_pretrained(folder / "unet")
    return folder


def test_teacher_is_image_to_image_at_low_strength(space: LatentSpace, tmp_path: Path) -> None:
    clean_up = load_clean_up(small_unet(4, tmp_path))
    latents = space.encode(gate_photos()[0][None, :, :64, :64])
    taught = Teacher(clean_up, space)(latents, torch.Generator().manual_seed(3))
    seen = latents / space.scale() + space.centre
    scheduler = clean_up.scheduler
    scheduler.set_timesteps(40)
    noise = torch.randn(seen.shape, generator=torch.Generator().manual_seed(3))
    x = scheduler.add_noise(seen, noise, scheduler.timesteps[-4:-3])
    with torch.no_grad():
        for time in scheduler.timesteps[-4:]:
            x = scheduler.step(clean_up.unet(x, time).sample, time, x).prev_sample
    assert torch.allclose(taught, (x - space.centre) * space.scale(), rtol=1e-3, atol=1e-2 * float(latents.std()))
    with pytest.raises(UnetError, match="the UNet takes latents of 3 channels, the autoencoder has 4"):
        Teacher(load_clean_up(small_unet(3, tmp_path / "three")), space)


def test_a_teacher_changes_what_is_learned(vae: Path, photos: Path, tmp_path: Path) -> None:
    shared = ["--steps", "1", "--judged", "0", "--width", "8", "--blocks", "1", "--learning-rate", "0.01"]
    small_unet(4, tmp_path)
    assert run(vae, photos, tmp_path / "alone", *shared) == 0
    assert run(vae, photos, tmp_path / "taught", *shared, "--teacher", str(tmp_path)) == 0
    alone, taught = (weights(tmp_path / name / "denoiser")["head.conv.bias"] for name in ("alone", "taught"))
    assert not torch.equal(alone, taught)


def test_what_cannot_be_distilled_is_named(vae: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"

    def refusal(model: Path, *extra: str, data: Path = photos) -> str:
        assert run(model, data, out, *extra) == 1
        assert not out.exists()
        return capsys.readouterr().err

    assert "nothing: there is no such folder" in refusal(tmp_path / "nothing")
    assert "no photo of at least 176x176 pixels" in refusal(vae, data=tmp_path)
    small_unet(4, tmp_path)
    assert "unet: a UNet2DModel is no family that packs are made from; known are AutoencoderKL" in refusal(tmp_path / "unet")
    assert "'unet' holds a AutoencoderKL, clean-up takes UNet2DConditionModel or UNet2DModel" in refusal(vae, "--teacher", str(vae))
    with pytest.raises(FamilyError, match="vae: 4 channels, and what was distilled has 3"):
        open_space(load_family(str(vae)), [], [1.0] * 3)
    with pytest.raises(SystemExit):
        run(vae, photos, out, "--decoder", "--teacher", str(vae))
    assert "--teacher is for the denoiser" in capsys.readouterr().err
