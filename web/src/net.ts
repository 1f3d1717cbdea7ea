// A model file, ready to answer, whichever runtime runs it.

/** RGB, [resolution, resolution, 3]. */
export type Pixels = Uint8Array<ArrayBuffer>;

export interface Net {
  /** The runtime with its version, such as `LiteRT.js 2.5.3`. */
  readonly runtime: string;
  readonly threads: number;
  /** Answer a prepared image with a probability for each label, or with the rows of boxes that `found.ts` reads. */
  run(pixels: Pixels): Promise<Float32Array>;
  /** Free its memory. */
  close(): void | Promise<void>;
}

/** Opens model files with one runtime, which is loaded once. */
export interface Runtime {
  open(file: Uint8Array, resolution: number): Promise<Net>;
}
