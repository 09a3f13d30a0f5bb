"""`sdz gpu-train`, a few steps of it on a processor."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sdz.export.packs.trained import TINY_WEIGHTS
from sdz.export.training.critic import Critic
from sdz.export.training.gpu_step import FIGURES, Recipe, draw
from sdz.export.training.gpu_train import BEFORE, Options, Run, load_step, main
from sdz.export.training.perception import write_features
from sdz.export.training.resident import ResidentCrops, read_shard

CROP = 176


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight crops of noise under a slope, 192 a side."""
    rng = np.random.default_rng(0)
    file: Path = tmp_path_factory.mktemp("shards") / "one.tar"
    with tarfile.open(file, "w") as archive:
        for k in range(8):
            pixels = (np.linspace(0, 200, 192)[:, None, None] + rng.integers(0, 50, (192, 192, 3))).astype(np.uint8)
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "PNG")
            member = tarfile.TarInfo(f"{k}.png")
            member.size = len(data.getvalue())
            archive.addfile(member, io.BytesIO(data.getvalue()))
    return file


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("features") / "features.safetensors"
    write_features(file)
    return file


def _recipe(**changes: float) -> Options:
    return Options(batch=3, natural_files=1, natural=1, crop=CROP, compile=0, **changes)  # type: ignore[arg-type]


def test_crops_are_cut_turned_and_repeatable(shard: Path) -> None:
    photos = read_shard(shard)
    assert photos.shape == (8, 3, 192, 192) and photos.dtype == torch.uint8
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append(ResidentCrops(photos, CROP).batch(6))
    assert drawn[0].shape == (6, 3, CROP, CROP)
    assert torch.equal(*drawn)
    assert float(drawn[0].min()) >= 0 and float(drawn[0].max()) <= 255


def test_draws_keep_to_their_kinds() -> None:
    torch.manual_seed(0)
    recipe = Recipe(batch=400, natural=100, natural_files=50)
    batch = draw(torch.zeros(400, 3, 16, 16), recipe, 192)
    assert float(batch.base.min()) >= 22 and float(batch.base.max()) <= 72
    assert int(batch.tilt[:250].max()) == 0 and int(batch.tilt[250:].min()) == 0
    assert int(batch.tilt[:250].min()) == -3 and int(batch.tilt[250:].max()) == 3
    assert set(batch.depth.flatten().tolist()) == {0.0, 1.0, 2.0}


def test_the_perceptual_gradient_reaches_the_decoder_by_its_share(shard: Path, features: Path) -> None:
    gradients = {}
    for share, worth in ((0.0, 0.0), (0.0, 900.0), (1.0, 900.0)):
        recipe = _recipe(decoder_perceptual=share, perceptual=worth)
        step = load_step(TINY_WEIGHTS, features, recipe)
        torch.manual_seed(1)
        loss, figures = step(draw(ResidentCrops(read_shard(shard), CROP).batch(3), recipe, 192))
        loss.backward()
        assert figures.shape == (len(FIGURES),) and torch.isfinite(figures).all()
        gradients[share, worth] = step.autoencoder.decoder.head.conv.weight.grad, step.denoiser.head.conv.weight.grad
    none, kept, all_of_it = gradients.values()
    assert torch.equal(none[0], kept[0]) and not torch.equal(none[1], kept[1])
    assert not torch.equal(kept[0], all_of_it[0])


def test_a_run_saves_its_averages_in_the_packs_layout(shard: Path, features: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    options = _recipe(seconds=0.001, rate_first=0.0)
    step = load_step(TINY_WEIGHTS, features, options)
    photos = read_shard(shard)
    run = Run(step, ResidentCrops(photos[2:], CROP), photos[:2], shard.parent, tmp_path, options)
    run.run()
    assert run.steps == 1
    for name in ("autoencoder", "denoiser"):
        before, after = (load_file(p / name / "diffusion_pytorch_model.safetensors") for p in (TINY_WEIGHTS, tmp_path))
        assert before.keys() == after.keys()
        assert {v.dtype for v in after.values()} == {torch.float32, torch.int32}
    assert load_step(tmp_path, features, options).rate.mix.weight.shape == (384, 128, 1, 1)


def test_files_stand_still_once_the_critic_is_listened_to(shard: Path, features: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    options = _recipe(seconds=0.001, rate_first=0.0, files_until=0.0)
    step = load_step(TINY_WEIGHTS, features, options)
    photos = read_shard(shard)
    run = Run(step, ResidentCrops(photos[2:], CROP), photos[:2], shard.parent, tmp_path, options)
    run.run()
    before, after = (load_file(p / "autoencoder" / "diffusion_pytorch_model.safetensors") for p in (tmp_path / BEFORE, tmp_path))
    moved = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"decoder"}
    assert torch.equal(before["decoder.linear.gain"], after["decoder.linear.gain"])


def test_a_file_moves_the_end_of_a_run(shard: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    monkeypatch.setattr("sdz.export.training.gpu_train.LOOK_SECONDS", 0.0)
    options = _recipe(seconds=1e6, rate_first=0.0)
    step = load_step(TINY_WEIGHTS, features, options)
    photos = read_shard(shard)
    (tmp_path / "seconds").write_text("0.001")
    run = Run(step, ResidentCrops(photos[2:], CROP), photos[:2], shard.parent, tmp_path, options)
    run.run()
    assert (run.steps, run.seconds) == (1, 0.001)


def _judged(critic: Critic) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(3)
    picture, photo, linear = (255 * torch.rand(2, 3, 64, 64) for _ in range(3))
    return picture.requires_grad_(True), photo, linear, torch.full((2, 1, 1, 1), 48.0)


def test_the_critic_learns_by_its_own_loss_alone() -> None:
    torch.manual_seed(2)
    critic = Critic()
    picture, photo, linear, code = _judged(critic)
    critic.flattery(picture, linear, code).sum().backward()
    assert picture.grad is not None and float(picture.grad.abs().max()) > 0
    assert all(p.grad is None for p in critic.parameters())
    picture.grad = None
    critic.loss(picture, photo, linear, code).backward()
    assert picture.grad is None
    assert all(p.grad is not None for p in critic.parameters())


def test_every_layer_of_the_critic_is_held_at_a_norm_of_one() -> None:
    torch.manual_seed(2)
    critic = Critic()
    for parameter in critic.parameters():
        parameter.data *= 3.0
    for _ in range(200):
        critic.constrain()
    norms = [torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() for layer in (*critic.layers, critic.last)]  # type: ignore[operator, union-attr]
    assert norms == pytest.approx([1.0] * 6, abs=0.02)


def test_the_critic_counts_by_its_share_of_the_perceptual_gradient(shard: Path, features: Path) -> None:
    recipe = _recipe()
    step = load_step(TINY_WEIGHTS, features, recipe)
    values = []
    for strength in (0.0, 0.25, 0.5):
        torch.manual_seed(1)
        step.balance(draw(ResidentCrops(read_shard(shard), CROP).batch(3), recipe, 192), strength)
        values.append(float(step.flattered))
    assert values[0] == 0.0 and values[1] > 0
    assert values[2] == pytest.approx(2 * values[1], rel=1e-5)


def test_no_shard_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--weights", str(TINY_WEIGHTS), "--out", str(tmp_path / "run")]) == 1
    assert "no .tar shard in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([(64, 64), (64, 48)], "crops must be squares of one size, found 64x48, 64x64"),
        ([(64, 48)] * 2, "crops must be squares of one size, found 64x48"),
        ([], "crops must be squares of one size, found none"),
        ([(64, 64)], "--crop is 256, but the crops in"),
    ],
)
def test_shards_that_cannot_be_used_are_an_error(
    sizes: list[tuple[int, int]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i, size in enumerate(sizes):
            Image.new("RGB", size).save(tmp_path / "crop.png")
            archive.add(tmp_path / "crop.png", f"{i}.png")
    assert main(["--data", str(tmp_path), "--weights", str(TINY_WEIGHTS), "--out", str(tmp_path / "run")]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
