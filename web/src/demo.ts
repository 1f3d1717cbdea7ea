// What `pocketvision demo` wrote beside this page: the manifest of the file, and which runtimes can run it.

export interface ImageSpec {
  readonly resolution: number;
  readonly crop_mode: "squash" | "crop";
  readonly crop_pct: number;
}

export interface Accuracy {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** What it measures; accuracy where nothing is said. */
  readonly metric?: string;
}

export interface Manifest {
  readonly name: string;
  /** What is asked of the net: `classification`, `attributes`, `detection`. */
  readonly task?: string;
  readonly labels: readonly string[];
  readonly image: ImageSpec;
  readonly model: { readonly name: string; readonly width: number; readonly resolution: number; readonly detector?: object };
  readonly precision: string;
  readonly figures: Readonly<Record<string, Accuracy>>;
  readonly probes: readonly { readonly png_base64: string; readonly probabilities: readonly number[] }[];
  readonly created: string;
  readonly abstain_below: number | null;
  /** Per label the probability from which on an attribute is there, or of a detector the score from which on a box counts. */
  readonly thresholds?: readonly number[];
}

/** From which score on a detector's boxes count; null for files that find none. */
export function thresholdOf({ model, thresholds }: Manifest): number | null {
  return model.detector ? (thresholds?.[0] ?? 0.5) : null;
}

/** Of each label the probability from which on it counts as there; null for files whose labels exclude each other. */
export function thresholdsOf({ task, thresholds }: Manifest): readonly number[] | null {
  return task === "attributes" ? (thresholds ?? []) : null;
}

export type RuntimeName = "litert" | "onnxruntime";

export interface ModelFile {
  readonly runtime: RuntimeName;
  readonly path: string;
  readonly size_bytes: number;
  readonly sha256: string;
  /** A net of known size that is timed in turns with the file's own, to compare devices. */
  readonly reference: string;
}

export interface Demo {
  readonly format_version: number;
  readonly manifest: Manifest;
  /** The best one first. */
  readonly files: readonly ModelFile[];
  readonly reference_resolution: number;
}

export const FORMAT_VERSION = 1;

export async function readDemo(): Promise<Demo> {
  const response = await fetch("demo.json");
  if (!response.ok) throw new Error("demo.json is missing. Write the folder again with `pocketvision demo`.");
  const demo = (await response.json()) as Demo;
  if (demo.format_version !== FORMAT_VERSION) {
    throw new Error("demo.json is of another version. Write the folder again with `pocketvision demo`.");
  }
  return demo;
}
