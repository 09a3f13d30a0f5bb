/** web/page/settings.js: what the script tag and configure() say, and that it is fixed once it is used. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { configure, configureFromTag, useSettings } from "../../web/page/settings.js";

/** @param {{src: string, dataset: Record<string, string>}[]} scripts */
const page = (...scripts) => Object.defineProperty(globalThis, "document", { value: { scripts }, configurable: true });

test("the script's own tag, then configure(), until a picture is requested", () => {
  page(
    { src: "https://a/other.js", dataset: { base: "/wrong/" } },
    { src: "https://a/sdz.js", dataset: { packs: "/packs", pack: "010203", threads: "2", provider: "cuda" } },
  );
  configureFromTag("https://a/sdz.js");
  configure({ base: "/sdz/", pack: "0a0b0c0d" });
  assert.deepEqual(useSettings(), { base: "/sdz/", packs: "/packs", ort: undefined, pack: "0a0b0c0d", provider: "wasm", threads: 2 });
  assert.throws(() => configure({ base: "/late/" }), /configure\(\) comes too late/);
  assert.equal(useSettings().base, "/sdz/");
});
