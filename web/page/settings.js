/**
 * The page's settings, from `configure` and the attributes of the script tag: where worker, packs and onnxruntime-web are, which pack is
 * used, what runs the networks. By default all files are beside the scripts, or where a bundler put them.
 */

/**
 * @typedef {object} Settings addresses are relative to the page; a folder needs no "/" at its end
 * @property {string} [base] folder that holds a copy of the scripts, `packs/` and `ort/`; `npx sdz-assets FOLDER` makes one
 * @property {string} [packs] folder of the packs, `packs/` of the base when left out
 * @property {string} [ort] folder of onnxruntime-web's files, which few pages need, `ort/` of the base when left out
 * @property {string} [pack] id of the pack that the page's files use: saves a round trip
 * @property {"wasm" | "webgpu"} [provider] what runs the networks, "wasm" when left out
 * @property {number} [threads] of onnxruntime-web, in pages that are cross-origin isolated
 */

/** @type {Settings} */
const settings = {};
let used = false;

/**
 * Changes settings. Later calls add to earlier ones.
 * @param {Settings} changes
 * @throws {Error} once a picture has been asked for: the page's one worker has its settings by then
 */
export function configure(changes) {
  if (used) throw new Error("sdz: configure() comes too late, a picture has already been asked for; call it beside the import");
  Object.assign(settings, changes);
}

/** Returns the settings and fixes them. */
export function useSettings() {
  used = true;
  return settings;
}

/**
 * Takes the settings from the attributes of the script tag that loads `entry`, or of the first that has any: data-base, data-packs,
 * data-ort, data-pack, data-provider, data-threads.
 * @param {string} entry address of the module; undefined in a script that is no module
 */
export function configureFromTag(entry) {
  const tags = [...document.scripts];
  const tag = tags.find(({ src }) => src && src === entry) ?? tags.find(({ dataset: d }) => d.base ?? d.packs ?? d.ort ?? d.pack);
  if (!tag) return;
  const { base, packs, ort, pack, provider, threads } = tag.dataset;
  configure({ base, packs, ort, pack, provider: provider === "webgpu" ? provider : "wasm" });
  if (threads) configure({ threads: Number(threads) });
}
