/**
 * `npm run package [-- FOLDER]`: writes the npm package to build/npm and packs it into FOLDER (`dist` by default). The package contains the
 * modules, their types, the core and the default pack; onnxruntime-web is optional, for packs that the core does not compute. The modules that
 * import assets are replaced by versions that bundlers understand.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const WEB = join(ROOT, "web");
const OUT = join(ROOT, "build", "npm");

/** The default pack, as in runtime/pack.py. */
const PACK = join(ROOT, "runtime", "packs", "tiny");

/** The exact core without what encoders call, and its second module, by their names in the package. */
const CORE = join(ROOT, "core");
const CORE_FILES = { "sdz.wasm": "reader.wasm", "lossless.wasm": "lossless.wasm" };

/** Parts of web/ that are not copied as they are. */
const LEFT_OUT = new Set(["demo", "npm"]);

/** Fields of package.json that concern this checkout only. */
const OWN = ["private", "scripts", "devDependencies"];

/** Bytes up to which a file stands in the module itself: bundlers turn so small ones into data: URLs, which strict content security policies refuse. */
const SMALL = 8192;

/** The package's assets.js. @param {string} id @param {Record<string, Buffer>} small files of the pack @param {string[]} files the others */
const assets = (id, small, files) => `/**
 * Addresses of the core and of the default pack's files, as literals that bundlers replace by their own. Only in the npm package; a site's
 * version of this module looks beside the scripts.
 */

import { fetchFile } from "./pack.js";

const PACK = "${id}";

/** Small files in base64. @type {Record<string, string>} */
const SMALL = {
${Object.entries(small).map(([name, data]) => `  "${name}": "${data.toString("base64")}",\n`).join("")}};

/** Functions, because import.meta.url is undefined in a bundle that is not a module. @type {Record<string, () => URL>} */
const FILES = {
${files.map((name) => `  "${name}": () => new URL("./packs/${id}/${name}", import.meta.url),\n`).join("")}};

export const coreFile = () => new URL("./sdz.wasm", import.meta.url).href;

export const exactFile = () => new URL("./lossless.wasm", import.meta.url).href;

/** Bundlers put each file where they like. */
export const packFolder = () => undefined;

export const packReader = (id) => async (name, fresh) => {
  if (id !== PACK) return null;
  if (name in SMALL) return Uint8Array.from(atob(SMALL[name]), (character) => character.charCodeAt(0));
  return name in FILES ? fetchFile(FILES[name](), fresh) : null;
};

/** A page that needs onnxruntime-web says where it is: a bundler would put its 14 MB into every application. */
export const runtimeFile = () => undefined;
`;

/** The package's start.js. */
const START = `/** Starts the worker, by an address that bundlers replace by their own. Only in the npm package; a site's version is for every policy. */

export const startWorker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "sdz" });
`;

/** The package's work/later.js. */
const LATER = `/** Modules that a site loads when they are first needed: of a worker, several bundlers make a single file only. Only in the npm package. */

import * as runner from "../session.js";
import * as reader from "./exact.js";

export const graphRunner = async () => runner;

export const exactReader = async () => reader;
`;

/** For `document.querySelector("sdz-img")`, which JSDoc cannot say. */
const TAG = '\ndeclare global {\n  interface HTMLElementTagNameMap {\n    "sdz-img": SdzImg;\n  }\n}\n';

/** Copies the modules, the README and the licence. */
function layOutScripts() {
  cpSync(WEB, join(OUT, "web"), { recursive: true, filter: (path) => !LEFT_OUT.has(basename(path)) || path === WEB });
  mkdirSync(join(OUT, "web/npm/site/work"), { recursive: true });
  for (const name of ["node.js", "sdz-assets.js"]) copyFileSync(join(WEB, "npm", name), join(OUT, "web/npm", name));
  for (const name of ["assets.js", "work/later.js"]) copyFileSync(join(WEB, name), join(OUT, "web/npm/site", name));
  for (const [name, file] of Object.entries(CORE_FILES)) copyFileSync(join(CORE, file), join(OUT, "web", name));
  copyFileSync(join(WEB, "npm/README.md"), join(OUT, "README.md"));
  copyFileSync(join(ROOT, "LICENSE"), join(OUT, "LICENSE"));
}

/** Copies the default pack and writes the module that contains its addresses. */
function layOutPack() {
  const text = readFileSync(join(PACK, "manifest.json"));
  const { tables, core } = JSON.parse(text.toString());
  const id = createHash("sha256").update(text).digest("hex").slice(0, 6);
  const folder = join(OUT, "web/packs", id);
  mkdirSync(folder, { recursive: true });
  const files = [...Object.values(tables), ...Object.values(core)].map(({ file }) => file);
  for (const name of ["manifest.json", ...files]) copyFileSync(join(PACK, name), join(folder, name));
  const read = ["manifest.json", ...files].map((name) => /** @type {const} */ ([name, readFileSync(join(PACK, name))]));
  const small = Object.fromEntries(read.filter(([, data]) => data.length <= SMALL));
  writeFileSync(join(OUT, "web/start.js"), START);
  writeFileSync(join(OUT, "web/work/later.js"), LATER);
  writeFileSync(join(OUT, "web/assets.js"), assets(id, small, files.filter((name) => !(name in small))));
}

/** Writes the types beside the modules. */
function layOutTypes() {
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const modules = [WEB, join(WEB, "format"), join(WEB, "page"), join(WEB, "work")].flatMap((room) =>
    readdirSync(room).filter((name) => name.endsWith(".js")).map((name) => join(room, name)));
  const options = ["--target", "ES2022", "--module", "NodeNext", "--lib", "ES2023,DOM,DOM.Iterable", "--strict", "--skipLibCheck"];
  const emit = ["--allowJs", "--declaration", "--emitDeclarationOnly", "--rootDir", WEB, "--outDir", join(OUT, "web")];
  execFileSync(process.execPath, [tsc, "--ignoreConfig", ...options, ...emit, ...modules], { cwd: ROOT, stdio: ["ignore", 2, 2] });
  appendFileSync(join(OUT, "web/sdz.d.ts"), TAG);
}

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const into = resolve(process.argv[2] ?? "dist");
rmSync(OUT, { recursive: true, force: true });
mkdirSync(into, { recursive: true });
layOutScripts();
layOutPack();
layOutTypes();
const published = Object.fromEntries(Object.entries(manifest).filter(([key]) => !OWN.includes(key)));
writeFileSync(join(OUT, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
const packed = execFileSync("npm", ["pack", OUT, "--json", "--pack-destination", into], { encoding: "utf8" });
const [{ filename, files, size }] = JSON.parse(packed);
console.log(`${join(into, filename)}: ${files.length} files, ${(size / 1e6).toFixed(2)} MB`);
