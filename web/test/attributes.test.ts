import { expect, it } from "vitest";
import { attributesIn, told } from "../src/attributes";

const LABELS = ["smiling", "glasses", "hat"];

it("tells which are there, each from its own threshold on, in the order of the labels", () => {
  const found = attributesIn(Float32Array.of(0.3, 0.9, 0.1), LABELS, [0.3, 0.95, 0.05]);
  expect(found.map(({ label, there }) => [label, there])).toEqual([["smiling", true], ["glasses", false], ["hat", true]]);
  expect(told(found)).toBe("smiling, hat");
});

it("takes one half where the file has no thresholds, and says so where nothing is there", () => {
  const found = attributesIn(Float32Array.of(0.49, 0.2, 0.1), LABELS, []);
  expect(found[0].least).toBe(0.5);
  expect(told(found)).toBe("None of them");
});

it("refuses what is no probability for each", () => {
  expect(() => attributesIn(Float32Array.of(0.5), LABELS, [])).toThrow("for each attribute");
  expect(() => attributesIn(Float32Array.of(0.5, Number.NaN, 0), LABELS, [])).toThrow("for each attribute");
});
