// Pillow's bilinear resize, integer for integer: pixels of any size to the net's input.
//
// Source: Pillow, src/libImaging/Resample.c: two passes, each in 22 bit fixed point with a rounding to bytes in between.
// When it shrinks, the filter spans all source pixels, which a canvas does not do. Rows are taken in strips, so that a
// large photo never lies in memory as a whole.

import type { Pixels } from "./net";

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Weights {
  /** First source pixel of each target pixel. */
  readonly first: Int32Array;
  /** How many source pixels each target pixel takes. */
  readonly count: Int32Array;
  /** Fixed-point factors, `stride` for each target pixel. */
  readonly factors: Int32Array;
  readonly stride: number;
}

const BITS = 22;
const HALF = 1 << (BITS - 1);

/** Weigh the source pixels of one side; `from` and `to` are the box's edges, which Pillow keeps in single precision. */
export function weigh(length: number, from: number, to: number, size: number): Weights {
  const start = Math.fround(from);
  const scale = Math.fround(Math.fround(to) - start) / size;
  const reach = Math.max(scale, 1);
  const stride = Math.ceil(reach) * 2 + 1;
  const weights = { first: new Int32Array(size), count: new Int32Array(size), factors: new Int32Array(size * stride) };
  for (let target = 0; target < size; target++) {
    const center = start + (target + 0.5) * scale;
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const count = Math.min(Math.trunc(center + reach + 0.5), length) - first;
    const shares = Array.from({ length: count }, (_, place) => triangle((first + place - center + 0.5) / reach));
    const total = shares.reduce((sum, share) => sum + share, 0);
    weights.first[target] = first;
    weights.count[target] = count;
    shares.forEach((share, place) => {
      weights.factors[target * stride + place] = Math.trunc(0.5 + (share / total) * (1 << BITS));
    });
  }
  return { ...weights, stride };
}

function triangle(distance: number): number {
  return Math.max(1 - Math.abs(distance), 0);
}

function range(weights: Weights): readonly [number, number] {
  const last = weights.first.length - 1;
  return [weights.first[0], weights.first[last] + weights.count[last]];
}

/**
 * Whether Pillow shrinks an image's height before its width: found by trying Pillow 13. Older ones never do; the
 * order moves single values by 1.
 */
function heightFirst(width: number, height: number, size: number): boolean {
  return height - size > 2 * Math.max(width - size, 0);
}

/** Resizes the box of an image to `size` by `size` pixels; rows come in strips, from `firstRow` to `endRow`. */
export class Resizer {
  readonly firstRow: number;
  readonly endRow: number;
  readonly firstColumn: number;
  readonly endColumn: number;
  private readonly across: Weights;
  private readonly down: Weights;
  private readonly passes: Passes;
  private row: number;

  constructor(width: number, height: number, box: Box, size: number) {
    this.across = weigh(width, box.left, box.right, size);
    this.down = weigh(height, box.top, box.bottom, size);
    [this.firstRow, this.endRow] = range(this.down);
    [this.firstColumn, this.endColumn] = range(this.across);
    this.row = this.firstRow;
    const kind = heightFirst(width, height, size) ? HeightFirst : WidthFirst;
    this.passes = new kind(this.across, this.down, size);
  }

  /** Take the next rows: RGBA, each from `firstColumn` to `endColumn`. */
  add(rgba: Uint8ClampedArray): void {
    const stride = (this.endColumn - this.firstColumn) * 4;
    for (let start = 0; start + stride <= rgba.length; start += stride) this.passes.add(rgba, start, this.row++);
  }

  /** Return RGB [size, size, 3]; every row must have been added. */
  finish(): Pixels {
    if (this.row !== this.endRow) {
      throw new Error(`${this.row - this.firstRow} rows of ${this.endRow - this.firstRow}`);
    }
    return this.passes.finish();
  }
}

interface Passes {
  /** Take one row of RGBA, which begins at `start`. */
  add(rgba: Uint8ClampedArray, start: number, row: number): void;
  finish(): Pixels;
}

class WidthFirst implements Passes {
  private readonly narrowed: Uint8Array;
  private readonly firstRow: number;

  constructor(
    private readonly across: Weights,
    private readonly down: Weights,
    private readonly size: number,
  ) {
    const [first, end] = range(down);
    this.firstRow = first;
    this.narrowed = new Uint8Array((end - first) * size * 3);
  }

  add(rgba: Uint8ClampedArray, start: number, row: number): void {
    narrow(rgba, start, 4, this.across, this.narrowed, (row - this.firstRow) * this.size * 3);
  }

  finish(): Pixels {
    const { size, down, narrowed, firstRow } = this;
    const line = size * 3;
    const result = new Uint8Array(size * line);
    for (let row = 0; row < size; row++) {
      const top = (down.first[row] - firstRow) * line;
      for (let place = 0; place < line; place++) {
        let sum = HALF;
        for (let tap = 0; tap < down.count[row]; tap++) {
          sum += narrowed[top + tap * line + place] * down.factors[row * down.stride + tap];
        }
        result[row * line + place] = byte(sum);
      }
    }
    return result;
  }
}

class HeightFirst implements Passes {
  private readonly sums: Int32Array;
  private readonly columns: number;

  constructor(
    private readonly across: Weights,
    private readonly down: Weights,
    private readonly size: number,
  ) {
    const [first, end] = range(across);
    this.columns = end - first;
    this.sums = new Int32Array(size * this.columns * 3).fill(HALF);
  }

  add(rgba: Uint8ClampedArray, start: number, row: number): void {
    const { down, sums, columns } = this;
    for (let target = 0; target < this.size; target++) {
      const tap = row - down.first[target];
      if (tap < 0 || tap >= down.count[target]) continue;
      const factor = down.factors[target * down.stride + tap];
      let place = target * columns * 3;
      for (let from = start; from < start + columns * 4; from += 4) {
        sums[place++] += rgba[from] * factor;
        sums[place++] += rgba[from + 1] * factor;
        sums[place++] += rgba[from + 2] * factor;
      }
    }
  }

  finish(): Pixels {
    const lowered = Uint8Array.from(this.sums, byte);
    const result = new Uint8Array(this.size * this.size * 3);
    for (let row = 0; row < this.size; row++) {
      narrow(lowered, row * this.columns * 3, 3, this.across, result, row * this.size * 3);
    }
    return result;
  }
}

/** Shrink one row of pixels of `step` bytes to RGB. */
function narrow(row: ArrayLike<number>, start: number, step: number, weights: Weights, result: Uint8Array, at: number): void {
  const { first, count, factors, stride } = weights;
  for (let column = 0; column < first.length; column++) {
    let from = start + (first[column] - first[0]) * step;
    let [red, green, blue] = [HALF, HALF, HALF];
    for (let tap = column * stride; tap < column * stride + count[column]; tap++, from += step) {
      red += row[from] * factors[tap];
      green += row[from + 1] * factors[tap];
      blue += row[from + 2] * factors[tap];
    }
    result[at++] = byte(red);
    result[at++] = byte(green);
    result[at++] = byte(blue);
  }
}

/** A fixed-point sum with its half added, as a byte; sums of weights that were rounded up may pass 255. */
function byte(sum: number): number {
  return Math.min(sum >> BITS, 255);
}
