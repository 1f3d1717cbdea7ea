// LiteRT.js: runs .tflite files; the quickest of the runtimes measured in Chromium.

import { loadAndCompile, loadLiteRt, Tensor, unloadLiteRt } from "@litertjs/core";
import { joined } from "./found";
import type { Net, Pixels, Runtime } from "./net";

const FOLDER = "runtime/litert/";
/** A softmax in 8 bit is in steps of 1/256: TensorFlow Lite's 8-bit quantization specification, SOFTMAX. */
const STEP = 1 / 256;

export async function load(threads: number): Promise<Runtime> {
  const used = await loadWith(threads);
  return { open: (file, resolution) => open(file, resolution, used) };
}

async function loadWith(threads: number): Promise<number> {
  if (threads > 1) {
    try {
      await loadLiteRt(FOLDER, { threads: true });
      return threads;
    } catch (error) {
      console.info("LiteRT.js runs on one thread here:", error);
      unloadLiteRt();
    }
  }
  await loadLiteRt(FOLDER);
  return 1;
}

async function open(file: Uint8Array, resolution: number, threads: number): Promise<Net> {
  const model = await loadAndCompile(file, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
  const whole = model.getInputDetails()[0].dtype === "uint8";
  const shape = [1, resolution, resolution, 3];
  const name = model.getInputDetails()[0].name;
  async function find(pixels: Pixels): Promise<Float32Array> {
    const input = new Tensor(whole ? pixels : Float32Array.from(pixels), shape);
    // By name: the order of the outputs is not the file's.
    const outputs = await model.run({ [name]: input });
    const [boxes, classes, scores, count] = ["boxes", "classes", "scores", "count"].map((each) => outputs[each].toTypedArray());
    const rows = joined(boxes, classes, scores, Number(count[0]));
    for (const tensor of [input, ...Object.values(outputs)]) tensor.delete();
    return rows;
  }
  async function run(pixels: Pixels): Promise<Float32Array> {
    const input = new Tensor(whole ? pixels : Float32Array.from(pixels), shape);
    const outputs = await model.run(input);
    const found = outputs[0].toTypedArray();
    // The outputs lie in the runtime's memory, which must be freed by hand.
    const shares = Float32Array.from(found, found instanceof Uint8Array ? (level) => level * STEP : undefined);
    for (const tensor of [input, ...outputs]) tensor.delete();
    return shares;
  }
  const places = model.getOutputDetails().some((output) => output.name === "count");
  return { runtime: `LiteRT.js ${__LITERT__}`, threads, run: places ? find : run, close: () => model.delete() };
}
