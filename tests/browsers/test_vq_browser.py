"""A VQModel from its folder to pixels in Chromium: the same codebook entries as in Python, the same linear stage, near the same pixels."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from autoencoders import save_vq
from browser import Site, pack_files, scripts
from PIL import Image

from sdz.export.families import load_family
from sdz.export.packs.foreign.build import build_foreign_pack
from sdz.runtime.decode import decode, open_latents
from sdz.runtime.encode import encode
from sdz.runtime.errors import CorruptPackError
from sdz.runtime.format.indices import KnownIndices, entries_of
from sdz.runtime.info import describe
from sdz.runtime.pack import Pack
from sdz.runtime.quantize import nearest_entries
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

DECODE = """async ({ base, id, names }) => {
  const { decodeBytes, readPicture } = await import(base + "decode.js");
  const { loadPack, fetchReader } = await import(base + "pack.js");
  const { Session } = await import(base + "session.js");
  const pack = await loadPack(id, fetchReader(new URL(`packs/${id}/`, base)));
  const session = new Session(pack, { ort: base + "ort/", threads: 1 });
  const out = {};
  for (const name of names) {
    const bytes = new Uint8Array(await (await fetch(base + name)).arrayBuffer());
    const picture = await readPicture(bytes, pack);
    const { values } = await picture.known();
    const linear = await decodeBytes(bytes, { stage: "linear", pack });
    const decoded = await decodeBytes(bytes, { session });
    out[name] = {
      nodes: [...values], complete: picture.facts.complete,
      linear: [...linear.data], decoded: [...decoded.data], stage: decoded.stage,
    };
  }
  return out;
}"""


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    import skimage.data

    return Image.fromarray(skimage.data.astronaut())


@pytest.fixture(scope="module")
def vq_pack(tmp_path_factory: pytest.TempPathFactory, photo: Image.Image) -> Pack:
    folder = tmp_path_factory.mktemp("vq")
    model = save_vq(folder / "model")
    # a codebook that fits what the encoder gives
    crop = torch.from_numpy(np.asarray(photo)[:128, 64:192].copy()).permute(2, 0, 1)[None].float()
    latents = model.encode(crop / 127.5 - 1).latents[0].flatten(1).T
    model.quantize.embedding.weight.data = latents[torch.randperm(len(latents), generator=torch.Generator().manual_seed(1))[:37]].clone()
    model.save_pretrained(folder / "model")
    return build_foreign_pack(load_family(str(folder / "model")), [np.asarray(photo)[:160, :160]], folder / "pack", precision="fp32").pack


def test_a_site_s_visitor_gets_python_s_entries_and_pixels(vq_pack: Pack, photo: Image.Image, chromium: Any) -> None:
    session = Session(vq_pack)
    pictures = {"odd": photo.crop((100, 20, 233, 117)), "grey": photo.convert("L").crop((0, 0, 60, 40))}
    files = {f"{name}.sdz": encode(image, session=session) for name, image in pictures.items()}
    files["cut.sdz"] = files["odd.sdz"][:120]
    files["small.sdz"] = encode(pictures["odd"], target_size=150, session=session)
    files["half.sdz"] = encode(pictures["odd"], quality=20, session=session)
    assert len(files["small.sdz"]) == 150
    site = Site("/")
    site.files = scripts() | pack_files(vq_pack) | dict(files) | {"empty.html": b"<!doctype html><title>empty</title>"}
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(site.url("empty.html"))
        seen = page.evaluate(DECODE, {"base": site.url(""), "id": vq_pack.id.hex(), "names": list(files)})
    finally:
        context.close()
        site.close()
    for name, data in files.items():
        known = open_latents(data, pack=vq_pack).picture.known()
        assert isinstance(known, KnownIndices)
        assert seen[name]["nodes"] == known.node.flatten().tolist()
        assert seen[name]["complete"] == known.complete == (name in ("odd.sdz", "grey.sdz"))
        assert seen[name]["stage"] == "decoded"
        for stage, limit in (("linear", 0.0), ("decoded", 0.5)):
            pixels = decode(data, stage=stage, session=session).pixels
            there = np.array(seen[name][stage], np.float64).reshape(*pixels.shape[:2], 4)[:, :, :3]
            assert np.abs(there - pixels).mean() <= limit
    # the indices are those of the encoder's latents
    rgb = np.asarray(photo.crop((100, 20, 236, 120)))
    whole = encode(Image.fromarray(rgb), session=session)
    known = open_latents(whole, pack=vq_pack).picture.known()
    expected = nearest_entries(session.encode(rgb), vq_pack.indices.codebook)
    assert isinstance(known, KnownIndices) and np.array_equal(entries_of(known, vq_pack.indices), expected)


def test_what_is_said_of_the_pack_and_its_files(vq_pack: Pack, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (vq_pack.quantizer, vq_pack.patch, vq_pack.exact, vq_pack.denoiser_min_step_index) == ("indices", 4, False, None)
    assert vq_pack.indices.codebook.shape == (37, 4)
    assert hashlib.sha256(vq_pack.coder_bytes).hexdigest() == vq_pack.manifest["tables"]["coder"]["sha256"]
    vq_pack.verify()
    with pytest.raises(CorruptPackError, match="do not begin with 'sdzT'"):
        replace(vq_pack, quantizer="planes").verify()
    with pytest.raises(CorruptPackError, match="for 4 channels, the manifest says 5"):
        replace(vq_pack, channels=5).indices  # noqa: B018
    data = encode(photo.crop((0, 0, 64, 64)), pack=vq_pack)
    monkeypatch.setattr("sdz.runtime.pack.find_pack", lambda pack_id: vq_pack)
    report = describe(data)
    assert report["latents"]["channels"] == ["indices"]
    assert [plane["plane"] for plane in report["latents"]["planes"]] == [5, 4, 3, 2, 1, 0]
    assert sum(plane["bytes"] for plane in report["latents"]["planes"]) == report["spent"]["latents"]
