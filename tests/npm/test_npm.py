"""The npm package: packed, put alone into small projects, built by Vite and esbuild, opened in Chromium and in Node.

Pixels are compared with those of the Python runtime. What the package's README has people type is what runs here.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import ROOT, SHOWN, Site, made_for, picture, without_core

from sdz.runtime.decode import decode
from sdz.runtime.encode import encode
from sdz.runtime.pack import Pack
from sdz.runtime.session import Session

pytest.importorskip("playwright.sync_api", reason="the npm package's tests need playwright")

MODULES = ROOT / "node_modules"
VITE = MODULES / "vite" / "bin" / "vite.js"
ESBUILD = MODULES / "esbuild" / "bin" / "esbuild"
TSC = MODULES / "typescript" / "bin" / "tsc"
SECONDS = 60
"""For one command."""

PACKED_LIMIT = 3_000_000

README = (ROOT / "web" / "npm" / "README.md").read_text(encoding="utf-8")
HEAD = '<!doctype html><meta charset="utf-8"><title>t</title><link rel="icon" href="data:,">'

STAGE_AND_HASH = """async () => {
  await customElements.whenDefined("sdz-img");
  const element = document.querySelector("sdz-img");
  await element.decode();
  const { data } = await (SHOWN)(element);
  const digest = await crypto.subtle.digest("SHA-256", data);
  return [element.currentStage, [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("")];
}""".replace("SHOWN", SHOWN)

SERVED = """async () => {
  await new Promise((resolve) => {
    if (navigator.serviceWorker.controller) resolve();
    else navigator.serviceWorker.addEventListener("controllerchange", resolve);
  });
  const image = new Image();
  image.src = "/photo.sdz";
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const digest = await crypto.subtle.digest("SHA-256", context.getImageData(0, 0, canvas.width, canvas.height).data);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


def block(heading: str, language: str) -> str:
    """The first code block of a language below a heading of the package's README."""
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0]


def run(*command: str | Path, cwd: Path) -> str:
    """A command's output; fails with all of it where the command does."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    run("npm", "run", "--silent", "package", "--", folder, cwd=ROOT)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def project(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the package, which needs no other: what `npm i` would do, without a registry."""
    folder = tmp_path_factory.mktemp("project")
    installed = folder / "node_modules"
    installed.mkdir()
    with tarfile.open(tarball) as archive:
        archive.extractall(installed, filter="data")
    (installed / "package").rename(installed / "sdz")
    assert "dependencies" not in json.loads((installed / "sdz" / "package.json").read_bytes())
    (folder / "package.json").write_text(json.dumps({"private": True, "type": "module", "dependencies": {"sdz": "*"}}))
    return folder


@pytest.fixture(scope="module")
def photo(session: Session) -> bytes:
    return encode(picture(256, 192), session=session)


@pytest.fixture(scope="module")
def expected(photo: bytes, session: Session) -> str:
    image = decode(photo, session=session).to_pil().convert("RGBA")
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("response", lambda answer: page.complaints.append(answer.url) if answer.status >= 400 else None)
    yield page
    context.close()


@contextmanager
def hosting(folder: Path) -> Iterator[Site]:
    """A static host."""
    site = Site("/")
    site.files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    try:
        yield site
    finally:
        site.close()


def test_what_is_packed(tarball: Path, pack: Pack) -> None:
    with tarfile.open(tarball) as archive:
        files = {member.name.removeprefix("package/"): member.size for member in archive.getmembers()}
        manifest = json.loads(archive.extractfile("package/package.json").read())  # type: ignore[union-attr]
    assert tarball.stat().st_size < PACKED_LIMIT
    folder = f"web/packs/{pack.id.hex()}"
    wanted = {"manifest.json", "linear.bin", "coder.bin", "decoder.core.bin", "denoiser.core.bin"}
    assert {name for name in files if "/packs/" in name} == {f"{folder}/{name}" for name in wanted}
    assert not [name for name in files if name.startswith(("tests", "runtime", "web/demo"))]
    assert {"README.md", "LICENSE", "web/sdz.wasm", "web/sdz.js", "web/sdz.d.ts", "web/page/element.d.ts"} <= set(files)
    assert not {"private", "scripts", "devDependencies"} & set(manifest)
    conditions = [value for target in manifest["exports"].values() for value in (target.values() if isinstance(target, dict) else [target])]
    assert {path.removeprefix("./") for path in [*conditions, *manifest["bin"].values()]} <= set(files)


def test_checkout_is_not_packed_by_accident(tmp_path: Path) -> None:
    done = subprocess.run(["npm", "pack", "--pack-destination", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode != 0
    assert "npm run package" in done.stderr
    assert not list(tmp_path.iterdir())


def test_vite_build(project: Path, page: Any, photo: bytes, expected: str, tmp_path: Path) -> None:
    """The built site, on a host with a strict policy."""
    (project / "index.html").write_text(HEAD + block("Vite", "html"))
    run("node", VITE, "build", "--outDir", tmp_path / "dist", cwd=project)
    with hosting(tmp_path / "dist") as site:
        policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src data: blob:"
        site.headers["Content-Security-Policy"] = policy
        site.files["photo.sdz"] = photo
        page.goto(site.url("index.html"))
        assert page.evaluate(STAGE_AND_HASH) == ["denoised", expected]
        assert page.complaints == []
        assert len(site.asked(".sdz")) == 1


def test_vite_development_server(project: Path, page: Any, photo: bytes, expected: str) -> None:
    (project / "index.html").write_text(HEAD + block("Vite", "html"))
    (project / "public").mkdir(exist_ok=True)
    (project / "public" / "photo.sdz").write_bytes(photo)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node", str(VITE), "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
    server = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(200):
            try:
                urllib.request.urlopen(address).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        page.goto(address)
        assert page.evaluate(STAGE_AND_HASH) == ["denoised", expected]
        assert page.complaints == []
    finally:
        server.terminate()
        server.wait(SECONDS)


@pytest.fixture(scope="module")
def copied(project: Path, tmp_path_factory: pytest.TempPathFactory, photo: bytes) -> Path:
    """A static host's folder after `npx sdz-assets public/sdz`."""
    folder = tmp_path_factory.mktemp("copied") / "public"
    _, name, target = block("esbuild", "sh").split()
    binary = json.loads((project / "node_modules" / "sdz" / "package.json").read_bytes())["bin"][name]
    run("node", project / "node_modules" / "sdz" / binary, target, cwd=folder.parent)
    (folder / "photo.sdz").write_bytes(photo)
    return folder


@pytest.mark.parametrize("form", ["esm", "iife"])
def test_esbuild(project: Path, copied: Path, page: Any, expected: str, form: str) -> None:
    (project / "main.js").write_text(block("esbuild", "js"))
    run(ESBUILD, "main.js", "--bundle", f"--format={form}", "--minify", f"--outfile={copied / 'main.js'}", cwd=project)
    kind = ' type="module"' if form == "esm" else ""
    (copied / "index.html").write_text(f'{HEAD}<sdz-img src="/photo.sdz"></sdz-img><script{kind} src="/main.js"></script>')
    with hosting(copied) as site:
        page.goto(site.url("index.html"))
        assert page.evaluate(STAGE_AND_HASH) == ["denoised", expected]
        assert page.complaints == []


def test_no_bundler(copied: Path, page: Any, expected: str) -> None:
    (copied / "index.html").write_text(HEAD + block("No bundler", "html"))
    with hosting(copied) as site:
        page.goto(site.url("index.html"))
        assert page.evaluate(STAGE_AND_HASH) == ["denoised", expected]
        assert page.complaints == []


def test_example_page(copied: Path, page: Any, expected: str) -> None:
    """web/npm/example.html beside the copied folder; both of its pictures, and what its script tells."""
    shutil.copy(ROOT / "web" / "npm" / "example.html", copied / "index.html")
    picture(256, 192).save(copied / "photo.jpg")
    with hosting(copied) as site:
        page.goto(site.url("index.html"))
        assert page.evaluate(STAGE_AND_HASH) == ["denoised", expected]
        page.wait_for_function("document.querySelector('img[data-sdz]').src.startsWith('blob:')")
        size = (copied / "photo.sdz").stat().st_size
        page.wait_for_function(f"document.querySelector('output').textContent === 'denoised, {size} of {size} bytes'")
        assert page.complaints == []


def test_service_worker(copied: Path, page: Any, expected: str) -> None:
    (copied / "sw.js").write_text(re.findall(r'`(import "\./sdz/sw\.js";)`', README)[0])
    (copied / "index.html").write_text(f"{HEAD}<script>{block('Service worker', 'js')}</script>")
    with hosting(copied) as site:
        # it takes the page over and has it loaded again
        page.goto(site.url("index.html"), wait_until="commit")
        page.wait_for_function("performance.getEntriesByType('navigation')[0].workerStart > 0 && document.readyState === 'complete'")
        assert page.evaluate(SERVED) == expected


def test_node(project: Path, photo: bytes, expected: str) -> None:
    """`sdz` is harmless there; `sdz/decode.js` gives Python's pixels, twice, the second time from the open session."""
    (project / "photo.sdz").write_bytes(photo)
    script = f"""
      import {{ createHash }} from "node:crypto";
      import * as sdz from "sdz";
      import "sdz/element.js";
      {block("Node", "js")}
      const again = await decodeBytes(await readFile("photo.sdz"), {{ packs: "node_modules/sdz/web/packs" }});
      const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
      console.log(JSON.stringify([Object.keys(sdz), width, height, hash(data), hash(again.data)]));
    """
    (project / "node.js").write_text(script)
    assert json.loads(run("node", "node.js", cwd=project)) == [["SdzError", "SdzImg", "configure"], 256, 192, expected, expected]


def test_node_with_a_pack_that_the_core_does_not_compute(project: Path, pack: Pack, photo: bytes, expected: str) -> None:
    """By onnxruntime-web; without it, an error that says so."""
    pack_id, files = without_core(pack)
    for path, content in files.items():
        target = project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    (project / "foreign.sdz").write_bytes(made_for(pack_id, photo))
    (project / "foreign.js").write_text(f"""
      import {{ createHash }} from "node:crypto";
      {block("Node", "js").partition("const")[0]}
      const decoded = decodeBytes(await readFile("foreign.sdz"), {{ packs: "packs" }});
      const hash = ({{ data }}) => createHash("sha256").update(data).digest("hex");
      console.log(await decoded.then(hash, ({{ code, message }}) => code + " " + message));
    """)
    missing = "ProviderError onnxruntime-web, which runs this pack's networks, is not installed"
    assert run("node", "foreign.js", cwd=project).startswith(missing)
    needed = shutil.ignore_patterns("*.map", "*webgpu*", "*webgl*", "*jspi*", "*jsep*", "*asyncify*", "*.all.*", "docs", "lib")
    installed = project / "node_modules"
    try:
        for name in ("onnxruntime-web", "onnxruntime-common"):
            shutil.copytree(MODULES / name, installed / name, ignore=needed)
        assert run("node", "foreign.js", cwd=project).strip() == expected
        assets = json.loads((installed / "sdz" / "package.json").read_bytes())["bin"]["sdz-assets"]
        assert run("node", installed / "sdz" / assets, "copy", cwd=project) == "copy: sdz.js, sw.js, sdz.wasm, packs/ and ort/ are there\n"
        assert (project / "copy" / "ort" / "ort.wasm.bundle.min.mjs").is_file() and (project / "copy" / "sw-onnx.js").is_file()
    finally:
        for name in ("onnxruntime-web", "onnxruntime-common"):
            shutil.rmtree(installed / name, ignore_errors=True)


def test_node_names_a_pack_that_is_not_there(project: Path, photo: bytes) -> None:
    (project / "photo.sdz").write_bytes(photo[:4] + b"\xba\xdc\x0f" + photo[7:15])
    (project / "missing.js").write_text(f"""
      {block("Node", "js").partition("const")[0]}
      console.log(await decodeBytes(await readFile("photo.sdz")).catch(({{ code, message }}) => code + " " + message));
    """)
    assert run("node", "missing.js", cwd=project).startswith("MissingPackError model pack badc0f is not installed")


def test_types(project: Path) -> None:
    """A user's TypeScript sees the types; a wrong option is an error."""
    (project / "user.ts").write_text("""
      import { SdzError, SdzImg, configure } from "sdz";
      import { decodeBytes, type DecodedImage, type Stage } from "sdz/decode.js";
      configure({ base: "/sdz/", threads: 2 });
      const element = new SdzImg();
      const shown = document.querySelector("sdz-img")?.currentStage ?? element.currentStage;
      const stage: Stage | null = shown === "exact" ? null : shown;
      export const image: Promise<DecodedImage> = decodeBytes(new Uint8Array(), { stage: stage ?? "linear" });
      image.catch((error) => error instanceof SdzError && error.code === "NotAnSdzError");
      // @ts-expect-error
      configure({ bases: "/sdz/" });
    """)
    options = ["--noEmit", "--strict", "--ignoreConfig", "--target", "ES2022", "--lib", "ES2023,DOM,DOM.Iterable", "--types", ""]
    for module, resolution in (("NodeNext", "NodeNext"), ("ESNext", "Bundler")):
        run("node", TSC, *options, "--module", module, "--moduleResolution", resolution, "user.ts", cwd=project)


def test_assets_usage(project: Path) -> None:
    command = ["node", str(project / "node_modules/sdz/web/npm/sdz-assets.js")]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: sdz-assets FOLDER")
