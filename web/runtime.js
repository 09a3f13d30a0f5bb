/** onnxruntime-web as a static import, for the service worker only: pages load it later. The npm package imports it by name here. */

// @ts-expect-error  it exists on a site only
export * from "./ort/ort.wasm.bundle.min.mjs";
