import { expect, it } from "vitest";
import { quantile, time } from "../src/measure";
import { usualThreads, wishOf } from "../src/open";

/** A clock that calls move on, rounded as browsers round theirs. */
function stage(step: number) {
  let exact = 0;
  return {
    call: (ms: number) => async () => {
      exact += ms;
    },
    now: () => Math.floor(exact / step) * step,
  };
}

const rest = () => Promise.resolve();

it.each([0.005, 0.1, 1])("a clock of %d ms still tells short times", async (step) => {
  const { call, now } = stage(step);
  const timing = await time(call(0.3), call(0.6), rest, now);
  expect(timing.median_ms).toBeGreaterThan(0.24);
  expect(timing.median_ms).toBeLessThan(0.36);
  expect(timing.median_ms / timing.reference_ms!).toBeCloseTo(0.5, 1);
  expect(timing.runs).toBeGreaterThan(1000);
});

it("a slow net is called once in each visit, and a missing reference is told", async () => {
  const { call, now } = stage(0.1);
  const timing = await time(call(500), null, rest, now);
  expect(timing).toEqual({ median_ms: 500, p90_ms: 500, runs: 12, reference_ms: null });
});

it("quantiles lie between neighbors", () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 0.9)).toBe(10);
  expect(quantile([7], 0.9)).toBe(7);
});

it("threads are asked for only where there can be any", () => {
  expect([1, 2, 4, 8, 64].map((cores) => usualThreads(cores, true))).toEqual([1, 1, 2, 4, 4]);
  expect(usualThreads(8, false)).toBe(1);
  expect(wishOf("?threads=2&runtime=litert", 8, true)).toEqual({ threads: 2, runtime: "litert" });
  expect(wishOf("?threads=2", 8, false).threads).toBe(1);
  expect(wishOf("?threads=many", 8, true).threads).toBe(1);
  expect(wishOf("", 8, true)).toEqual({ threads: 4, runtime: null });
});
