/** web/session.js: what is loaded and when, and WebGPU's self-check, with a stand-in for onnxruntime-web. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Session } from "../../web/session.js";
import { thrown, withGpu } from "./support.js";

/**
 * A stand-in: sessions whose networks answer with constants; of WebGPU's values the first is off by `offset`.
 * The denoiser adds `move`.
 * @param {{offset?: number, fail?: string, move?: number}} [behaviour]
 */
function fakeRuntime({ offset = 0, fail = "", move = 0 } = {}) {
  /** @type {string[]} */
  const created = [];
  let running = 0;
  const ort = {
    created,
    Tensor: class {
      /** @param {string} type @param {Float32Array} data @param {number[]} dims */
      constructor(type, data, dims) {
        Object.assign(this, { type, data, dims });
      }
    },
    InferenceSession: {
      /** @param {Uint8Array} bytes @param {{executionProviders: string[]}} options */
      async create(bytes, { executionProviders: [provider] }) {
        const name = new TextDecoder().decode(bytes);
        if (name === fail) throw new Error("cannot load");
        created.push(`${name} ${provider}`);
        return {
          outputNames: ["out"],
          /** @param {Record<string, {data: Float32Array, dims: number[]}>} feeds */
          async run(feeds) {
            assert.equal(++running, 1, "one run at a time");
            await new Promise((resolve) => setTimeout(resolve, 2));
            running--;
            const [, , h, w] = feeds.latents.dims;
            const data = name.startsWith("decoder") ? new Uint8Array(h * w * 1024).fill(100) : feeds.latents.data.map((v) => v + move);
            if (name.startsWith("decoder") && provider === "webgpu") data[0] += offset;
            return { out: { data, dispose() {} } };
          },
        };
      },
    },
  };
  return /** @type {any} */ (ort);
}

const pack = /** @type {import("../../web/pack.js").Pack} */ (
  /** @type {unknown} */ ({ channels: 2, l1Limit: 1000, exact: true, denoiserMinStepIndex: 22, graphBytes: async (/** @type {string} */ name) => new TextEncoder().encode(name) })
);

const LATENTS = {
  values: Int32Array.of(5, 600, -7, 800), levels: new Int32Array(4), precision: new Int32Array(4), halfWidth: new Int32Array(4), h: 1, w: 2,
};

test("each graph is loaded once, when first used, and runs one at a time", async () => {
  const ort = fakeRuntime();
  const session = new Session(pack, { ort });
  assert.deepEqual(ort.created, []);
  await Promise.all([1, 2, 3].map(() => session.decode(LATENTS.values, LATENTS.precision, 1, 2)));
  assert.deepEqual(ort.created, ["decoder wasm"]);
  assert.deepEqual([session.isReady("decoder"), session.isReady("denoiser")], [true, false]);
  await session.denoise(LATENTS);
  assert.deepEqual(ort.created, ["decoder wasm", "denoiser wasm"]);
});

test("denoised values are guarded", async () => {
  const session = new Session(pack, { ort: fakeRuntime() });
  // 600 and 800 stand at one position: over 1,000, so both are halved
  assert.deepEqual([...(await session.denoise(LATENTS))], [5, 300, -7, 400]);
});

test("a part of the strength makes a part of each move, rounded half up, before the guard", async () => {
  const moved = async (/** @type {number} */ move, /** @type {number | undefined} */ strength) => [
    ...(await new Session(pack, { ort: fakeRuntime({ move }) }).denoise(LATENTS, strength)),
  ];
  assert.deepEqual(await moved(10, 0), [5, 300, -7, 400]);
  assert.deepEqual(await moved(10, 3), [7, 301, -5, 401]);
  assert.deepEqual(await moved(-10, 3), [3, 299, -9, 399]);
  assert.deepEqual(await moved(10, 8), [10, 302, -2, 402]);
  assert.deepEqual(await moved(10, undefined), [15, 305, 3, 405]);
});

test("a graph that cannot be loaded may be tried again", async () => {
  const session = new Session(pack, { ort: fakeRuntime({ fail: "decoder" }) });
  for (let i = 0; i < 2; i++) {
    assert.equal((await thrown(() => session.decode(LATENTS.values, LATENTS.precision, 1, 2))).code, "ProviderError");
  }
});

for (const [what, offset, present, provider] of /** @type {[string, number, boolean, string][]} */ ([
  ["within the tolerance it runs", 8, true, "webgpu"],
  ["beyond the tolerance the reference runs", 9, true, "wasm"],
  ["without WebGPU the reference runs", 0, false, "wasm"],
])) {
  test(`WebGPU: ${what}`, async () => {
    await withGpu(present, async () => {
      const session = new Session(pack, { ort: fakeRuntime({ offset }), provider: "webgpu" });
      const pixels = await session.decode(LATENTS.values, LATENTS.precision, 1, 2);
      assert.equal(session.provider, provider);
      assert.equal(session.fallbackReason === undefined, provider === "webgpu");
      assert.equal(pixels[0], provider === "webgpu" ? 100 + offset : 100);
    });
  });
}

test("WebGPU: a graph that cannot be loaded there leaves the reference", async () => {
  await withGpu(true, async () => {
    const session = new Session(pack, { ort: fakeRuntime({ fail: "decoder-fp32" }), provider: "webgpu" });
    assert.equal((await session.decode(LATENTS.values, LATENTS.precision, 1, 2))[0], 100);
    assert.equal(session.provider, "wasm");
    assert.match(session.fallbackReason ?? "", /cannot load/);
  });
});
