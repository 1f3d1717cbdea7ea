// The file's own probes: small images with the answers that the trained net gave; asked here, from their bytes on.

import type { Manifest } from "./demo";
import { ROW } from "./found";
import type { Net } from "./net";
import { decode, prepare } from "./prepare";

/** A gap above this is more than the rounding of an 8-bit file on another processor. */
export const LARGEST_GAP = 0.05;
/** As in Python: from which score on a box is compared, from which overlap on two are alike, and what a probe keeps. */
const [SEEN, ALIKE, KEPT, SLACK] = [0.2, 0.45, 20, 0.1];

/** Return the largest difference of any probability or box's score, null where the file holds no probes. */
export async function probeGap(net: Net, manifest: Manifest): Promise<number | null> {
  let gap: number | null = null;
  for (const probe of manifest.probes) {
    const bytes = Uint8Array.from(atob(probe.png_base64), (letter) => letter.charCodeAt(0));
    const image = await decode(new Blob([bytes], { type: "image/png" }));
    const answer = await net.run(prepare(image, manifest.image).pixels);
    image.bitmap.close();
    const gaps = manifest.model.detector ? [boxGap(answer, probe.probabilities)] : shareGaps(answer, probe.probabilities);
    gap = Math.max(gap ?? 0, ...gaps);
  }
  return gap;
}

function shareGaps(shares: Float32Array, expected: readonly number[]): number[] {
  return expected.map((share, place) => Math.abs(share - shares[place]));
}

/** By how much a score is above that of a like box on the other side; where there is none, the whole score. */
export function boxGap(answer: ArrayLike<number>, stored: readonly number[]): number {
  const expected = rowsOf(stored);
  const found = rowsOf(answer).filter((row) => row[5] > 0);
  // A full probe holds the best boxes only: what the file gives below them counts as expected.
  const last = expected.length >= KEPT ? expected[expected.length - 1][5] + SLACK : 0;
  const below = found.filter((row) => row[5] < last);
  return Math.max(0, above(found, [...expected, ...below]), above(expected, found));
}

function above(one: readonly number[][], other: readonly number[][]): number {
  const gaps = one.filter((row) => row[5] >= SEEN).map((row) => {
    const alike = other.filter((each) => each[4] === row[4] && overlap(each, row) >= ALIKE);
    return Math.min(row[5], ...alike.map((each) => Math.max(0, row[5] - each[5])));
  });
  return Math.max(0, ...gaps);
}

function overlap(one: readonly number[], other: readonly number[]): number {
  const [height, width] = [0, 1].map((side) => Math.max(0, Math.min(one[side + 2], other[side + 2]) - Math.max(one[side], other[side])));
  const area = (box: readonly number[]) => (box[2] - box[0]) * (box[3] - box[1]);
  const whole = area(one) + area(other) - height * width;
  return whole > 0 ? (height * width) / whole : 0;
}

function rowsOf(numbers: ArrayLike<number>): number[][] {
  const flat = Array.from(numbers);
  return Array.from({ length: Math.floor(flat.length / ROW) }, (_, place) => flat.slice(place * ROW, (place + 1) * ROW));
}
