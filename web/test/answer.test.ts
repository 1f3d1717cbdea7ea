import { expect, it } from "vitest";
import { answer, percent, sentence } from "../src/answer";

const LABELS = ["cat", "dog", "fox"];

it("names the likeliest first, and of equals the first label", () => {
  const found = answer(Float32Array.of(0.25, 0.5, 0.25), LABELS, null);
  expect(found.top.map(({ label }) => label)).toEqual(["dog", "cat", "fox"]);
  expect(sentence(found)).toBe("dog, 50%");
});

it("is not sure below the file's threshold, and sure at it", () => {
  const shares = Float32Array.of(0.5, 0.375, 0.125);
  expect(answer(shares, LABELS, 0.5).sure).toBe(true);
  const unsure = answer(shares, LABELS, 0.51);
  expect(unsure.sure).toBe(false);
  expect(sentence(unsure)).toBe("Not sure. Perhaps cat 50%, or dog 38%");
});

it("refuses what is no probability for each label", () => {
  expect(() => answer(Float32Array.of(0.5, 0.5), LABELS, null)).toThrow("each label");
  expect(() => answer(Float32Array.of(NaN, 0.5, 0.5), LABELS, null)).toThrow("each label");
});

it("never rounds to what is not so", () => {
  expect([0, 0.001, 0.005, 0.994, 0.999, 1].map(percent)).toEqual(["0%", "< 1%", "1%", "99%", "> 99%", "100%"]);
});
