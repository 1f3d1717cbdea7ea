// onnxruntime-web: runs .onnx files.

import * as ort from "onnxruntime-web/wasm";
import type { Net, Pixels, Runtime } from "./net";

const FOLDER = "runtime/onnxruntime/";
const INPUT = "image";

export async function load(threads: number): Promise<Runtime> {
  const here = new URL(FOLDER, document.baseURI).href;
  ort.env.wasm.wasmPaths = {
    mjs: `${here}ort-wasm-simd-threaded.mjs`,
    wasm: `${here}ort-wasm-simd-threaded.wasm`,
  };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return { open: (file, resolution) => open(file, resolution, threads) };
}

async function open(file: Uint8Array, resolution: number, threads: number): Promise<Net> {
  const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  const output = session.outputNames[0];
  const shape = [1, resolution, resolution, 3];
  async function run(pixels: Pixels): Promise<Float32Array> {
    const results = await session.run({ [INPUT]: new ort.Tensor("uint8", pixels, shape) });
    return results[output].data as Float32Array;
  }
  return { runtime: `onnxruntime-web ${__ONNXRUNTIME__}`, threads, run, close: () => session.release() };
}
