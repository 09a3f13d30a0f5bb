/** A static import of onnxruntime-web for the service worker; pages load it on demand. The npm package has its own version. */

// @ts-expect-error  it exists on a site only
export * from "./ort/ort.wasm.bundle.min.mjs";
