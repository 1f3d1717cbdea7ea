// Which file and runtime answer here: the best that this browser can run.

import type { Demo, ModelFile, RuntimeName } from "./demo";
import type { Net, Runtime } from "./net";

export interface Opened {
  readonly net: Net;
  readonly file: ModelFile;
  readonly runtime: Runtime;
}

/** What the address asks for, such as `?threads=1&runtime=onnxruntime`. */
export interface Wish {
  readonly threads: number;
  readonly runtime: string | null;
}

export const LOADERS: Record<RuntimeName, (threads: number) => Promise<Runtime>> = {
  litert: async (threads) => (await import("./litert")).load(threads),
  onnxruntime: async (threads) => (await import("./onnxruntime")).load(threads),
};

/** Which runtime runs a file, by its suffix. */
export function runtimeOf(file: string): RuntimeName {
  if (file.endsWith(".onnx")) return "onnxruntime";
  if (file.endsWith(".tflite")) return "litert";
  throw new Error(`No runtime is known for ${file}.`);
}

/** Half of the cores, at most four: small nets gain nothing from more, and a phone's other cores are slow ones. */
export function usualThreads(cores: number, isolated: boolean): number {
  return isolated ? Math.min(4, Math.max(1, Math.floor(cores / 2))) : 1;
}

export function wishOf(search: string, cores: number, isolated: boolean): Wish {
  const asked = new URLSearchParams(search);
  const threads = Number(asked.get("threads"));
  const usable = isolated && Number.isInteger(threads) && threads > 0 ? Math.min(threads, 16) : 0;
  return { threads: usable || (asked.has("threads") ? 1 : usualThreads(cores, isolated)), runtime: asked.get("runtime") };
}

/** Open the first file that this browser can run and that answers its own probes' shape. */
export async function open(demo: Demo, wish: Wish): Promise<Opened> {
  const failures: string[] = [];
  const files = demo.files.filter((file) => wish.runtime === null || file.runtime === wish.runtime);
  for (const file of files) {
    try {
      return await openFile(file, demo.manifest.image.resolution, wish.threads);
    } catch (error) {
      console.warn(`${file.path}:`, error);
      failures.push(`${file.path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const known = demo.files.map((file) => file.runtime).join(", ");
  throw new Error(failures.join(" ") || `There is no file for the runtime ${wish.runtime}; there is one for: ${known}.`);
}

async function openFile(file: ModelFile, resolution: number, threads: number): Promise<Opened> {
  const [runtime, content] = await Promise.all([LOADERS[file.runtime](threads), fetched(file.path)]);
  const net = await runtime.open(content, resolution);
  await net.run(new Uint8Array(resolution * resolution * 3));
  return { net, file, runtime };
}

export async function fetched(path: string): Promise<Uint8Array> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`cannot be loaded (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}
