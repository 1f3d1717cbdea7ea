// A detector's rows to boxes on the image: those that count, in shares of the whole image, and what they come to.

import type { Prepared } from "./prepare";

/** Values of a row: y1, x1, y2, x2 in shares of what the net saw, class, score; a score of 0 is none. */
export const ROW = 6;

export interface FoundBox {
  readonly label: string;
  /** Place of the label among those of the file. */
  readonly index: number;
  readonly score: number;
  /** Corners in shares of the whole image, none outside of it. */
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** What a file gives for one image, joined to rows; what stands behind the last box means nothing. */
export function joined(boxes: ArrayLike<number>, classes: ArrayLike<number | bigint>, scores: ArrayLike<number>, count: number): Float32Array {
  const rows = new Float32Array(scores.length * ROW);
  for (let place = 0; place < Math.min(count, scores.length); place++) {
    for (let corner = 0; corner < 4; corner++) rows[place * ROW + corner] = boxes[place * 4 + corner];
    rows[place * ROW + 4] = Number(classes[place]);
    rows[place * ROW + 5] = scores[place];
  }
  return rows;
}

/** Return the boxes from a score on, best first. */
export function foundIn(rows: Float32Array, labels: readonly string[], least: number, { box, width, height }: Prepared): FoundBox[] {
  if (rows.length % ROW !== 0 || rows.some(Number.isNaN)) throw new Error("The model file answers with something that is no boxes.");
  const across = (share: number) => within((box.left + share * (box.right - box.left)) / width);
  const down = (share: number) => within((box.top + share * (box.bottom - box.top)) / height);
  const found: FoundBox[] = [];
  for (let start = 0; start < rows.length; start += ROW) {
    const [y1, x1, y2, x2, index, score] = rows.subarray(start, start + ROW);
    if (score <= 0 || score < least) continue;
    if (labels[index] === undefined) throw new Error("The model file answers with a class that has no label.");
    found.push({ label: labels[index], index, score, left: across(x1), top: down(y1), right: across(x2), bottom: down(y2) });
  }
  return found.sort((one, other) => other.score - one.score);
}

function within(share: number): number {
  return Math.min(Math.max(share, 0), 1);
}

export interface Count {
  readonly label: string;
  readonly index: number;
  readonly count: number;
  /** The best score among them. */
  readonly best: number;
}

/** How many there are of each label, in the order of the labels. */
export function counted(found: readonly FoundBox[]): Count[] {
  const counts = new Map<number, Count>();
  for (const { label, index, score } of found) {
    const before = counts.get(index) ?? { label, index, count: 0, best: 0 };
    counts.set(index, { label, index, count: before.count + 1, best: Math.max(before.best, score) });
  }
  return [...counts.values()].sort((one, other) => one.index - other.index);
}

/** What a screen reader says, and what a sighted person reads first. */
export function told(found: readonly FoundBox[]): string {
  return counted(found).map(({ label, count }) => `${count} ${label}`).join(", ") || "Nothing found";
}
