/** web/session.js: what is loaded and when, and WebGPU's self-check, with a stand-in for onnxruntime-web. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Session } from "../../web/session.js";
import { thrown, varint, withGpu } from "./support.js";

/**
 * A stand-in: sessions whose networks answer with constants; of WebGPU's values the first is off by `offset`.
 * The denoiser adds `move`.
 * @param {{offset?: number, fail?: string, move?: number, wrong?: string}} [behaviour]
 */
function fakeRuntime({ offset = 0, fail = "", move = 0, wrong = "" } = {}) {
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
        const name = new TextDecoder().decode(bytes.subarray(2));
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
            const decodes = name.startsWith("decoder");
            const data = decodes ? new Uint8Array(h * w * 1024).fill(100) : feeds.latents.data.map((v) => v + move);
            if (decodes && provider === "webgpu") data[0] += offset;
            if (wrong === "run") throw new Error("out of memory");
            if (wrong === "shape") return { out: { data, dims: [4, 4], dispose() {} } };
            if (wrong === "type") return { out: { data: new Int32Array(data), dims: [16 * h, 16 * w, 4], dispose() {} } };
            return { out: { data, dims: decodes ? [16 * h, 16 * w, 4] : feeds.latents.dims, dispose() {} } };
          },
        };
      },
    },
  };
  return /** @type {any} */ (ort);
}

/** An ONNX file that has a producer's name and nothing else. @param {string} name */
const named = (name) => Uint8Array.of(0x12, name.length, ...new TextEncoder().encode(name));

const pack = /** @type {import("../../web/pack.js").Pack} */ (
  /** @type {unknown} */ ({ channels: 2, patch: 16, l1Limit: 1000, exact: true, denoiserMinStepIndex: 22, graphBytes: async (/** @type {string} */ name) => named(name) })
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
    assert.equal((await thrown(() => session.decode(LATENTS.values, LATENTS.precision, 1, 2))).code, "CorruptPackError");
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

for (const [wrong, network, told] of /** @type {const} */ ([
  ["run", "decoder", /out of memory/],
  ["shape", "decoder", /gives Uint8Array 4,4 in place of Uint8Array 16,32,4/],
  ["type", "decoder", /gives Int32Array 16,32,4 in place of/],
  ["shape", "denoiser", /gives Float32Array 4,4 in place of Float32Array 1,2,1,2/],
  ["NaN", "denoiser", /not finite/],
  ["Infinity", "denoiser", /not finite/],
])) {
  test(`a ${network} that is not what the manifest says: ${wrong}`, async () => {
    const session = new Session(pack, { ort: fakeRuntime({ wrong, move: Number(wrong === "NaN" || wrong === "Infinity" ? wrong : 0) }) });
    const { values, precision, h, w } = LATENTS;
    const error = await thrown(() => (network === "decoder" ? session.decode(values, precision, h, w) : session.denoise(LATENTS)));
    assert.equal(error.code, "CorruptPackError");
    assert.match(error.message, told);
  });
}

/** A protobuf field of bytes. @param {number} field @param {...ArrayLike<number>} parts @returns {number[]} */
const bytesOf = (field, ...parts) => {
  const inner = parts.flatMap((part) => Array.from(part));
  return [...varint(field * 8 + 2), ...varint(inner.length), ...inner];
};
const letters = (/** @type {string} */ text) => new TextEncoder().encode(text);
/** A model whose graph holds a tensor. @param {...number} tensor */
const withTensor = (...tensor) => bytesOf(7, bytesOf(5, tensor));
let nested = bytesOf(1, bytesOf(4, letters("If")));
for (let i = 0; i < 200; i++) nested = bytesOf(1, bytesOf(5, bytesOf(6, nested)));

for (const [what, graph, told] of /** @type {[string, number[], RegExp][]} */ ([
  ["external data", withTensor(...bytesOf(13, letters("x"))), /outside the file/],
  ["a tensor's location", withTensor(14 * 8, 1), /outside the file/],
  ["external data in a constant's attribute", bytesOf(7, bytesOf(1, bytesOf(5, bytesOf(5, bytesOf(13, letters("x")))))), /outside the file/],
  // field 13 in five bytes plus 2 ** 32
  ["external data behind an over-long tag", withTensor(0xea, 0x80, 0x80, 0x80, 0x10, 1, 120), /not an ONNX file/],
  ["a loop", bytesOf(7, bytesOf(1, bytesOf(4, letters("Loop")))), /Loop may run for ever/],
  ["a scan in a function", bytesOf(25, bytesOf(7, bytesOf(4, letters("Scan")))), /Scan may run for ever/],
  ["a length beyond the end", [0x3a, 200, 1], /not an ONNX file/],
  ["a varint without end", [0x08, ...new Array(12).fill(255)], /not an ONNX file/],
  ["a group", [0x0b], /not an ONNX file/],
  ["graphs in graphs", bytesOf(7, nested), /not an ONNX file/],
  ["text", [...letters("hello")], /not an ONNX file/],
])) {
  test(`a graph that is refused before it is loaded: ${what}`, async () => {
    const ort = fakeRuntime();
    const session = new Session({ ...pack, graphBytes: async () => Uint8Array.from(graph) }, { ort });
    const error = await thrown(() => session.prepare("decoder"));
    assert.equal(error.code, "CorruptPackError");
    assert.match(error.message, told);
    assert.deepEqual(ort.created, []);
  });
}
