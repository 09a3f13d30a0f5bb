"""UNet clean-up with small models of the real classes: what it leaves alone, what it takes away, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from autoencoders import save_unet, small_unet
from diffusers import DDIMScheduler

from sdz.export.families.unet import STABLE_DIFFUSION, UnetError, load_clean_up


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower with more, many times so on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_unet_that_sees_no_noise_changes_nothing(tmp_path: Path, conditional: bool) -> None:
    unet = small_unet(conditional)
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    latents = torch.randn(1, 4, 7, 9)  # no multiple of what the UNet halves
    cleaned = load_clean_up(save_unet(tmp_path, unet), local_files_only=True)(latents)
    assert cleaned.shape == latents.shape
    assert torch.allclose(cleaned, latents, atol=1e-5)


def test_a_random_unet_moves_latents_the_more_the_greater_the_strength(tmp_path: Path) -> None:
    folder = save_unet(tmp_path, small_unet(conditional=True))
    latents = torch.randn(1, 4, 8, 8)
    moves = []
    for strength in (0.02, 0.1, 0.4):
        clean_up = load_clean_up(folder, steps=3, strength=strength, local_files_only=True)
        cleaned = clean_up(latents)
        assert torch.equal(cleaned, clean_up(latents))
        moves.append(float((cleaned - latents).square().mean().sqrt()))
    assert 0 < moves[0] < moves[1] < moves[2] < 2.0


def test_a_briefly_trained_unet_takes_noise_away(tmp_path: Path) -> None:
    """Clean latents are one constant per picture and channel; quantizing them to whole numbers by dice is the noise."""
    torch.manual_seed(1)
    unet: Any = small_unet()
    scheduler: Any = DDIMScheduler(**STABLE_DIFFUSION)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.Adam(unet.parameters(), lr=6e-3)

    def clean(count: int) -> torch.Tensor:
        return torch.randn(count, 4, 1, 1).expand(-1, -1, 4, 4)

    for _ in range(80):
        noise = torch.randn(16, 4, 4, 4)
        times = torch.randint(0, 300, (16,))
        predicted = unet(scheduler.add_noise(clean(16), noise, times), times).sample
        loss = (predicted - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    original = clean(8)
    dithered = (original * 3 + torch.rand(8, 4, 4, 4)).floor() / 3
    cleaned = load_clean_up(save_unet(tmp_path, unet, scheduler), strength=0.15, local_files_only=True)(dithered)
    before, after = ((x - original).square().mean() for x in (dithered, cleaned))
    assert after < 0.8 * before


@pytest.mark.parametrize(
    ("unet", "problem"),
    [
        ({"conditional": True, "addition_embed_type": "text", "addition_embed_type_num_heads": 2}, "addition_embed_type"),
        ({"num_class_embeds": 10}, "num_class_embeds"),
    ],
)
def test_a_unet_that_wants_to_be_told_more_is_refused(tmp_path: Path, unet: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnetError, match=f"more than a time .*{problem}"):
        load_clean_up(save_unet(tmp_path, small_unet(**unet)), local_files_only=True)


def test_what_is_no_unet_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnetError, match=r"no UNet's config.json in 'unet'"):
        load_clean_up(tmp_path / "nothing", local_files_only=True)
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(UnetError, match="holds a AutoencoderKL, clean-up takes UNet2DConditionModel or UNet2DModel"):
        load_clean_up(tmp_path, local_files_only=True)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    small_unet().save_pretrained(tmp_path / "unet", safe_serialization=False)
    with pytest.raises(UnetError, match="the UNet's weights cannot be read"):
        load_clean_up(tmp_path, local_files_only=True)


def test_steps_strength_and_channels_are_checked(tmp_path: Path) -> None:
    folder = save_unet(tmp_path, small_unet())
    for steps, strength in ((0, 0.1), (1, 0.0), (1, 1.5)):
        with pytest.raises(UnetError, match="at least one step"):
            load_clean_up(folder, steps=steps, strength=strength)
    with pytest.raises(UnetError, match="takes latents of 4 channels, these have 16"):
        load_clean_up(folder, local_files_only=True)(torch.zeros(1, 16, 8, 8))
