import { expect, it } from "vitest";
import { counted, foundIn, joined, told } from "../src/found";
import type { Prepared } from "../src/prepare";
import { boxGap } from "../src/probes";

const LABELS = ["cat", "dog"];
const WHOLE = { pixels: new Uint8Array(), width: 400, height: 200, box: { left: 0, top: 0, right: 400, bottom: 200 } } as Prepared;
const ROWS = joined([0.1, 0.2, 0.5, 0.6, 0, -0.1, 1, 1.2, 9, 9, 9, 9], [1n, 0n, 7n], [0.9, 0.5, 0.99], 2);

it("joins what a file gives, and leaves out what stands behind the last box", () => {
  expect(Array.from(ROWS.subarray(0, 6), (value) => Number(value.toFixed(3)))).toEqual([0.1, 0.2, 0.5, 0.6, 1, 0.9]);
  expect(Array.from(ROWS.subarray(12))).toEqual([0, 0, 0, 0, 0, 0]);
});

it("finds the boxes from a score on, none outside of the image", () => {
  const found = foundIn(ROWS, LABELS, 0.5, WHOLE);
  expect(found.map(({ label }) => label)).toEqual(["dog", "cat"]);
  expect([found[1].left, found[1].top, found[1].right, found[1].bottom]).toEqual([0, 0, 1, 1]);
  expect(foundIn(ROWS, LABELS, 0.51, WHOLE)).toHaveLength(1);
});

it("places boxes on the whole image where the net saw its middle only", () => {
  const [found] = foundIn(ROWS, LABELS, 0.8, { ...WHOLE, box: { left: 100, top: 0, right: 300, bottom: 200 } });
  expect(found.left).toBeCloseTo(0.35);
  expect(found.right).toBeCloseTo(0.55);
});

it("tells how many there are of each label, in their order", () => {
  const found = foundIn(ROWS, LABELS, 0.05, WHOLE);
  expect(told([...found, ...found])).toBe("2 cat, 2 dog");
  expect(counted(found)[1].best).toBeCloseTo(0.9);
  expect(told([])).toBe("Nothing found");
});

it("refuses what is no boxes", () => {
  expect(() => foundIn(new Float32Array(7), LABELS, 0.5, WHOLE)).toThrow("no boxes");
  expect(() => foundIn(Float32Array.of(0, 0, 1, 1, 2, 0.9), LABELS, 0.5, WHOLE)).toThrow("no label");
});

it("compares boxes with those of a probe by their scores", () => {
  const stored = [0.1, 0.1, 0.5, 0.5, 0, 0.8, 0.6, 0.6, 0.9, 0.9, 1, 0.15];
  expect(boxGap(stored, stored)).toBe(0);
  expect(boxGap([0.1, 0.1, 0.5, 0.52, 0, 0.7], stored)).toBeCloseTo(0.1);
  expect(boxGap([0.1, 0.1, 0.5, 0.5, 1, 0.8], stored)).toBeCloseTo(0.8);
  expect(boxGap([], stored)).toBeCloseTo(0.8);
  expect(boxGap([...stored, 0.6, 0.1, 0.9, 0.3, 0, 0.3], stored)).toBeCloseTo(0.3);
});

it("expects more boxes below the last one of a full probe, and none above", () => {
  const row = (place: number, score: number) => [place / 30, 0, (place + 1) / 30, 1, 0, score];
  const full = Array.from({ length: 20 }, (_, place) => row(place, 0.9 - place / 40)).flat();
  expect(boxGap([...full, ...row(25, 0.4)], full)).toBe(0);
  expect(boxGap([...full, ...row(25, 0.6)], full)).toBeCloseTo(0.6);
});
