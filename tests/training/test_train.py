"""Training and distillation at toy size: a run saves, resumes, quantizes and moves only what it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from sdz.export.crops import CropSampler, TrainingDataError, load_photos
from sdz.export.models import OneStepDenoiser, TinyAutoencoder, UniformPosterior
from sdz.export.models.autoencoder import dct_basis, dct_octaves
from sdz.export.models.layers import QuantConv2d, ResidualBlock
from sdz.export.models.truncation import truncate
from sdz.export.training.distill import main as distill
from sdz.export.training.loop import draw_precision, draw_tilt
from sdz.export.training.rate import ContextRateModel, laplace_bits
from sdz.export.training.train import JointOptions, Pipeline, Trainer, main
from sdz.runtime.format.reconstruction import channel_steps
from sdz.runtime.limits import MAX_TILT

CROP = 176
THIRD = torch.tensor(1 / 3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        small.resize((200, 180), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def small_pipeline() -> Pipeline:
    torch.manual_seed(3)
    return Pipeline(TinyAutoencoder((6, 1, 1), (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1)), OneStepDenoiser(8, 8, 1))


def trainer(photos: Path, run: Path, **options: float) -> Trainer:
    chosen = JointOptions(batch=2, crop=CROP, **options)  # type: ignore[arg-type]
    return Trainer(small_pipeline(), CropSampler(load_photos([photos], CROP), CROP, 5), run, chosen)


def weights(run: Path, model: str) -> dict[str, Tensor]:
    with safe_open(run / model / "diffusion_pytorch_model.safetensors", "pt") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (no mapping)


def test_a_run_saves_resumes_and_ends_quantized(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer(photos, run, steps=2).run()
    first = weights(run, "autoencoder")
    second = trainer(photos, run, steps=4, quantize_from=0.5)
    second.run()
    assert second.step == 4
    assert second.quantizing
    assert json.loads((run / "options.json").read_text())["steps"] == 4
    assert sorted(p.name for p in run.iterdir()) == ["autoencoder", "denoiser", "options.json", "state.safetensors"]
    after = weights(run, "autoencoder")
    assert any(not torch.equal(first[k], after[k]) for k in first)
    assert after["decoder.stem.activation.peak"] > 0
    assert weights(run, "denoiser")["head.activation.exponent"] == -7
    third = trainer(photos, run, steps=4)
    third.run()
    assert third.step == 4
    assert third.quantizing


def test_training_on_latents_that_stay_moves_the_networks_alone(photos: Path, tmp_path: Path) -> None:
    run = trainer(photos, tmp_path / "run", steps=3, learning_rate=0.01, faithful=1.0, encoder=0)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.run()
    moved = {".".join(name.split(".")[:3]) for name, value in run.model.state_dict().items() if not torch.equal(before[name], value)}
    # nothing but the decoder's network: the first steps reach no further than its last layer, which starts at zero
    assert "autoencoder.decoder.head" in moved
    assert moved <= {f"autoencoder.decoder.{part}" for part in ("stem", "coarse", "up2", "middle", "up1", "fine", "head")}
    assert not run.quantizing


def test_the_decoder_alone_sees_files_of_both_tunings(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tunings: list[bool] = []

    def draw(*arguments: Any, natural: bool) -> Tensor:
        tunings.append(natural)
        return draw_tilt(*arguments, natural=natural)

    monkeypatch.setattr("sdz.export.training.train.draw_tilt", draw)
    run = trainer(photos, tmp_path / "run", faithful=1.0)
    for _ in range(8):
        run._train_step()
    assert set(tunings) == {False, True}
    tunings.clear()
    run = trainer(photos, tmp_path / "other", faithful=0.0)
    for _ in range(8):
        run._train_step()
    assert tunings == [True] * 8


def test_ranges_that_are_fixed_stay_when_quantization_starts_late(photos: Path, tmp_path: Path) -> None:
    # far enough that no layer is still all zeros, which has no range
    first = trainer(photos, tmp_path / "first", steps=6, quantize_from=0.5, learning_rate=0.01, faithful=0.0)
    first.run()
    assert first._quantized()
    second = trainer(photos, tmp_path / "second", steps=2, quantize_from=0.5)
    second.model.load_state_dict(first.average)
    second.average = {name: value.clone() for name, value in first.average.items()}
    second.run()
    assert second.quantizing
    for name, value in first.average.items():
        if name.endswith((".exponent", ".peak")):
            assert torch.equal(second.average[name], value)


def test_distillation_of_the_own_pack_moves_the_denoiser_alone(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pipeline = small_pipeline()
    pipeline.autoencoder.save_pretrained(tmp_path / "own" / "autoencoder")
    pipeline.denoiser.save_pretrained(tmp_path / "own" / "denoiser")
    before = [weights(tmp_path / "own", model) for model in ("autoencoder", "denoiser")]
    fixed = ["--batch", "1", "--crop", str(CROP), "--learning-rate", "0.01", "--steps", "2"]
    assert distill(["--pack-from", str(tmp_path / "own"), "--data", str(photos), "--out", str(run), *fixed]) == 0
    # the run is a folder that `sdz pack --weights` reads
    after = [weights(run, model) for model in ("autoencoder", "denoiser")]
    moved = [{key.split(".")[0] for key in old if not torch.equal(old[key], new[key])} for old, new in zip(before, after, strict=True)]
    assert moved[0] == set()
    assert {"head", "stem"} & moved[1]


def test_command_line_trains_and_names_missing_photos(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "run")]) == 1
    assert "no photo of at least 192x192 pixels" in capsys.readouterr().err
    with pytest.raises(TrainingDataError):
        load_photos([photos], 201)


def test_basis_is_orthonormal_and_coarse_first() -> None:
    basis = dct_basis((140, 28, 24))
    assert basis.shape == (192, 768)
    assert torch.allclose(basis @ basis.t(), torch.eye(192), atol=1e-5)
    assert torch.allclose(basis[0], torch.full((768,), 1 / 768**0.5), atol=1e-6)


def test_fresh_autoencoder_is_its_linear_pair() -> None:
    autoencoder = small_pipeline().autoencoder
    pixels = torch.full((1, 3, 32, 48), 200.0)
    latents = autoencoder.encode(pixels)
    assert latents.shape == (1, 8, 2, 3)
    assert torch.allclose(autoencoder.decode(latents, torch.zeros_like(latents)), pixels, atol=0.02)
    posterior = autoencoder.posterior(pixels, torch.tensor(8.0))
    assert isinstance(posterior, UniformPosterior)
    assert torch.equal(posterior.mode(), latents)
    assert (posterior.sample(torch.Generator().manual_seed(0)) - latents).abs().max() <= 4.0


def test_truncation_keeps_each_latent_in_its_interval() -> None:
    latents = torch.tensor([[0.0, 10.0, -11.0, 31.0, -100.0]]).reshape(1, 5, 1, 1)
    whole = truncate(latents, torch.tensor(32.0), torch.tensor(0.0), THIRD)
    assert whole.levels.flatten().tolist() == [0, 0, -1, 2, -6]
    assert whole.values.flatten().tolist() == [0, 0, -16, 32, -96]
    assert whole.half_width.flatten().tolist() == [16, 16, 8, 8, 8]
    cut = truncate(latents, torch.tensor(40.0), torch.tensor(1.0), THIRD)
    assert cut.levels.flatten().tolist() == [0, 0, 0, 1, -3]
    assert cut.values.flatten().tolist() == [0, 0, 0, 39, -103]


def test_quantized_layers_live_on_their_grids() -> None:
    torch.manual_seed(2)
    layer = QuantConv2d(4, 3, 3, relu=True)
    layer.fake_quantize = layer.activation.fake_quantize = True
    layer.activation.exponent.fill_(-5)
    out = layer(torch.rand(1, 4, 6, 6)).detach() * 32
    assert torch.equal(out, out.round())
    assert out.min() >= 0
    assert out.max() <= 255
    block = ResidualBlock(4)
    x = torch.rand(1, 4, 6, 6)
    assert torch.equal(block(x), x)


def test_laplace_bits_sum_to_one_and_grow_outwards() -> None:
    x = torch.arange(-200, 201).float()
    for scale in (0.1, 1.0, 20.0):
        bits = laplace_bits(x, torch.tensor(scale))
        mass = torch.exp2(-bits.double()).sum()
        assert abs(float(mass) - 1.0) < 1e-3
        assert (bits[201:].diff() >= -1e-4).all()


def test_rate_model_sees_only_causal_context() -> None:
    torch.manual_seed(4)
    model = ContextRateModel(3, 8)
    for layer in (model.mix, model.across):
        torch.nn.init.normal_(layer.weight)
    latents = torch.randn(1, 3, 5, 5) * 50
    changed = latents.clone()
    changed[0, 1, 2, 2] += 100
    code = torch.full((1, 1, 1, 1), 24.0)
    torch.manual_seed(0)
    before = model(latents, code)
    torch.manual_seed(0)
    differs = (model(changed, code) - before).abs()[0] > 1e-5
    assert not differs[0, 2, 2]
    assert not differs[:, :2].any()
    assert not differs[:, 2, :2].any()
    assert differs[2, 2, 2]
    assert differs[:, 2, 3].any()


def test_octaves_tell_the_frequencies_of_the_channels() -> None:
    octaves = dct_octaves((140, 28, 24))
    assert len(octaves) == 192
    # three means, then luma's lowest; 4 cycles are none above a quarter of 16, 13 are the most that 140 functions hold
    assert octaves[:6] == [0, 0, 0, -32, -32, -24]
    assert (min(octaves), max(octaves)) == (-32, 27)
    energy = dct_basis((140, 28, 24)).reshape(192, 3, 16, 16)
    changes = energy.diff(dim=2).square().sum(dim=(1, 2, 3)) + energy.diff(dim=3).square().sum(dim=(1, 2, 3))
    by_octave = [float(changes[[i for i in range(3, 192) if octaves[i] == o]].mean()) for o in sorted(set(octaves[3:]))]
    assert by_octave == sorted(by_octave)


def test_tilts_are_drawn_on_the_side_that_a_picture_is_for() -> None:
    octaves = [0, -32, 27]
    natural = draw_tilt(200, octaves, torch.Generator().manual_seed(1), natural=True)
    faithful = draw_tilt(200, octaves, torch.Generator().manual_seed(1), natural=False)
    assert natural.shape == (200, 3, 1, 1)
    assert sorted({tuple(row) for row in natural.flatten(1).tolist()}) == [(0, -6, 5), (0, -4, 3), (0, -2, 2), (0, 0, 0)]
    assert sorted({tuple(row) for row in faithful.flatten(1).tolist()}) == [(0, 0, 0), (0, 2, -2), (0, 4, -3), (0, 6, -5)]
    taught = {tuple(40 - channel_steps(40, tilt, np.array(octaves, np.int32), 3)) for tilt in range(MAX_TILT + 1)}
    assert {tuple(row) for row in natural.flatten(1).tolist()} == taught


def test_precision_draws_are_whole_codes_in_range() -> None:
    base, code, depth, rounding = draw_precision(200, 8, torch.Generator().manual_seed(1), natural=True)
    assert base.shape == (200, 1, 1, 1)
    assert code.shape == (200, 8, 1, 1)
    assert torch.equal(code, code.round())
    assert set((code - base).unique().tolist()) == {0.0, 8.0}
    assert set(depth.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert (int(base.min()), int(base.max())) == (22, 72)
    assert 1 / 3 <= float(rounding.min()) < 5 / 12 < float(rounding.median()) < float(rounding.max()) <= 1 / 2
    mirrored = draw_precision(200, 8, torch.Generator().manual_seed(1), natural=False)[3]
    assert torch.allclose(mirrored, 5 / 6 - rounding)
