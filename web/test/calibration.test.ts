import { expect, it } from "vitest";
import { deviceFile, ROUNDS, shuffled, timeAll, type CalibrationNet } from "../src/calibration";
import { runtimeOf } from "../src/open";

const NETS: CalibrationNet[] = ["a", "b", "c"].map((name) => ({
  name,
  file: `${name}.onnx`,
  sha256: name.repeat(64),
  resolution: 32,
  precision: "float",
}));
const SPEED: Record<string, number> = { a: 2, b: 20, c: 0.5 };

it("every net is opened and closed once a round, in another order each time", async () => {
  let clock = 0;
  const opened: string[] = [];
  let open = 0;
  const found = await timeAll(
    NETS,
    async (net) => {
      opened.push(net.name);
      open++;
      return {
        run: async () => (clock += SPEED[net.name]),
        close: () => void open--,
      };
    },
    () => undefined,
    () => clock,
  );
  expect(open).toBe(0);
  expect(opened.length).toBe(ROUNDS * 3);
  const orders = [0, 1, 2, 3].map((round) => opened.slice(3 * round, 3 * round + 3));
  for (const order of orders) expect([...order].sort()).toEqual(["a", "b", "c"]);
  expect(new Set(orders.map(String)).size).toBeGreaterThan(1);
  expect(found.map((time) => time.sha256[0])).toEqual(["a", "b", "c"]);
  for (const time of found) {
    expect(time.median_ms).toBeCloseTo(SPEED[time.sha256[0]]);
    expect(time.p90_ms).toBeGreaterThanOrEqual(time.median_ms);
  }
  expect(found[1].runs).toBe(ROUNDS * 3);
});

it("nets that cannot be run are left out, and progress goes on over them", async () => {
  let clock = 0;
  const told: number[] = [];
  const found = await timeAll(
    NETS,
    async (net) => {
      if (net.name === "b") throw new Error("no memory");
      return { run: async () => (clock += 1), close: () => undefined };
    },
    (done, of) => void told.push(done / of),
    () => clock,
  );
  expect(found.map((time) => time.sha256[0])).toEqual(["a", "c"]);
  expect(told.length).toBe(ROUNDS * 3);
  expect(told).toEqual([...told].sort((one, other) => one - other));
});

it("the file says what it is", () => {
  const results = [{ sha256: "a", median_ms: 1, p90_ms: 2, runs: 3 }];
  expect(deviceFile("Pixel 7", { runtime: "onnxruntime-web 1", threads: 1 }, results)).toEqual({
    format: "pocketvision-device",
    version: 1,
    device: "Pixel 7",
    runtime: "onnxruntime-web 1",
    threads: 1,
    results,
  });
});

it("orders are all there, and the same for the same seed", () => {
  const items = Array.from({ length: 50 }, (_, place) => place);
  expect(shuffled(items, 1)).toEqual(shuffled(items, 1));
  expect(shuffled(items, 1)).not.toEqual(shuffled(items, 2));
  expect(shuffled(items, 3).sort((one, other) => one - other)).toEqual(items);
});

it("a file's suffix says what runs it", () => {
  expect(runtimeOf("a.onnx")).toBe("onnxruntime");
  expect(runtimeOf("a.b.tflite")).toBe("litert");
  expect(() => runtimeOf("a.pte")).toThrow("a.pte");
});
