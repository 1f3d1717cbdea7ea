// onnxruntime-web: runs .onnx files.

import * as ort from "onnxruntime-web/wasm";
import { joined } from "./found";
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
  const places = session.outputNames.includes("count");
  const shape = [1, resolution, resolution, 3];
  async function run(pixels: Pixels): Promise<Float32Array> {
    const results = await session.run({ [INPUT]: new ort.Tensor("uint8", pixels, shape) });
    if (!places) return results[session.outputNames[0]].data as Float32Array;
    const [boxes, scores] = ["boxes", "scores"].map((name) => results[name].data as Float32Array);
    const [classes, count] = ["classes", "count"].map((name) => results[name].data as BigInt64Array);
    return joined(boxes, classes, scores, Number(count[0]));
  }
  return { runtime: `onnxruntime-web ${__ONNXRUNTIME__}`, threads, run, close: () => session.release() };
}
