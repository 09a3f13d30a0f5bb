"""The wheel as somebody installs it: an empty environment, pip and its index, every extra, every command once. Slow; `make release`."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from installed import ROOT, Environment, build_wheel
from PIL import Image

from sdz.cli import COMMANDS

TINY = ROOT / "runtime" / "packs" / "tiny"
STEPS = ["--steps", "1", "--batch", "1", "--crop", "256", "--threads", "1"]
DISPLAY = "sdz: there is no display to open a window on: neither $DISPLAY nor $WAYLAND_DISPLAY is set\n"

CALLS: dict[str, tuple[list[str], str]] = {
    "encode": (["photos/0.png", "-o", "photo.sdz"], "photo.sdz"),
    "decode": (["photo.sdz", "-o", "back.png"], "back.png"),
    "info": (["photo.sdz"], ""),
    "verify": (["photo.sdz"], ""),
    "thumbnail": (["photo.sdz", "small.png"], "small.png"),
    "install-desktop": (["--user"], "share/mime/packages/sdz.xml"),
    "build": (["photos/0.png", "--out", "site", "--judge", "1", "--jobs", "2"], "site/index.html"),
    "train": (["--data", "photos", "--out", "run", *STEPS], "run/autoencoder/config.json"),
    "distill": (["--data", "photos", "--out", "distilled", *STEPS], "distilled/denoiser/config.json"),
    "gpu-train": (
        [
            "--data",
            "shards",
            "--weights",
            str(ROOT / "export/weights/tiny"),
            "--out",
            "gpu",
            "--device",
            "cpu",
            "--seconds",
            "0.1",
            "--batch",
            "3",
            "--natural",
            "1",
            "--natural-files",
            "1",
            "--compile",
            "0",
            "--rate-first",
            "0",
        ],
        "gpu/autoencoder/diffusion_pytorch_model.safetensors",
    ),
    "prime": (["--weights", "run", "--data", "photos", "--out", "coder.bin", "--count", "4"], "coder.bin"),
    "pack": (["--out", "pack"], "pack/manifest.json"),
    "bench": (["photos/0.png", "--out", "report", "--quick", "--jobs", "1"], "report/report.json"),
    "lossless": (["default", "photos/0.png", "--no-posterior"], ""),
    "speed": (["--quick", "--no-browser", "--out", "speed"], "speed/speed.json"),
}
"""What each command is given, in the order they run, and a file that it writes."""

TRIED_ELSEWHERE = {"serve"}
"""In test_wheel.py, which waits for its answers; here its packages are imported."""


@pytest.mark.slow
def test_every_command_in_an_empty_environment(tmp_path: Path) -> None:
    assert {name for commands in COMMANDS.values() for name in commands} == {*CALLS, *TRIED_ELSEWHERE, "view"}
    environment = Environment(tmp_path / "environment", with_pip=True)
    wheel = build_wheel(tmp_path)
    # the torch of the checkout: the newest one would bring some gigabytes of CUDA where no CPU build is at hand
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", str(ROOT / "requirements-torch.txt")]
    done = environment.run("python", *install, f"{wheel}[bench,server,viewer]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = environment.run("python", "-m", "pip", "list", "--format", "json", cwd=tmp_path)
    installed = {one["name"].lower() for one in json.loads(done.stdout)}
    assert "torch" in installed and "torchvision" not in installed
    (tmp_path / "photos").mkdir()
    for i in range(4):
        soft = np.random.default_rng(i).normal(128, 20 + 10 * i, (24, 32)).clip(0, 255).astype(np.uint8)
        noise = Image.fromarray(soft).resize((512, 384), Image.Resampling.BICUBIC)
        Image.merge("RGB", (noise, noise.rotate(180), Image.linear_gradient("L").resize((512, 384)))).save(tmp_path / f"photos/{i}.png")
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards/crops.tar", "w") as shard:
        for i in range(4):
            with Image.open(tmp_path / f"photos/{i}.png") as photo:
                photo.crop((0, 0, 256, 256)).save(tmp_path / "shards/crop.png")
            shard.add(tmp_path / "shards/crop.png", f"{i}.png")
    variables = {"XDG_DATA_HOME": str(tmp_path / "share")}
    for name, (arguments, written) in CALLS.items():
        done = environment.run("sdz", name, *arguments, cwd=tmp_path, more=variables)
        assert done.returncode == 0, (name, done.stderr)
        assert (tmp_path / written).exists(), (name, written)
    # the weights that the wheel carries make the very pack that it carries
    assert (tmp_path / "pack/manifest.json").read_bytes() == (TINY / "manifest.json").read_bytes()
    report = json.loads((tmp_path / "site/manifest.json").read_text(encoding="utf-8"))
    assert report["photos"][0]["st_lpips"] > 0
    done = environment.run("sdz", "view", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, DISPLAY)
    done = environment.run("sdz", "serve", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0].partition("; ")[0]) == (1, "error: nowhere: no such directory")
