import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ImageSpec } from "../src/demo";
import { centreBox } from "../src/prepare";
import { Resizer } from "../src/resize";

interface Case {
  readonly width: number;
  readonly height: number;
  readonly spec: ImageSpec;
  readonly box: readonly [number, number, number, number];
  /** SHA-256 of the prepared pixels. */
  readonly sha256: string;
}

// Written by tests/serve/test_prepare_cases.py from what `images/prepare.py` does.
const CASES = JSON.parse(readFileSync(new URL("prepare-cases.json", import.meta.url), "utf8")) as Case[];

/** The image of a case: the same formula draws it in Python. */
function draw(width: number, height: number): Uint8ClampedArray {
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, place = 0; y < height; y++) {
    for (let x = 0; x < width; x++, place += 4) {
      for (let channel = 0; channel < 3; channel++) rgba[place + channel] = (x * x * 7 + y * 31 + x * y * 13 + channel * 101) % 256;
      rgba[place + 3] = 255;
    }
  }
  return rgba;
}

function rows(rgba: Uint8ClampedArray, width: number, resizer: Resizer, from: number, to: number): Uint8ClampedArray {
  const columns = resizer.endColumn - resizer.firstColumn;
  const cut = new Uint8ClampedArray((to - from) * columns * 4);
  for (let row = from; row < to; row++) {
    const start = (row * width + resizer.firstColumn) * 4;
    cut.set(rgba.subarray(start, start + columns * 4), (row - from) * columns * 4);
  }
  return cut;
}

async function digest(pixels: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", pixels));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

describe("an image is prepared as in Python, to the last bit", () => {
  it.each(CASES)("$width x $height to $spec.resolution, $spec.crop_mode $spec.crop_pct", async ({ width, height, spec, box, sha256 }) => {
    const found = centreBox(width, height, spec);
    expect([found.left, found.top, found.right, found.bottom]).toEqual(box);
    for (const strip of [7, height]) {
      const [rgba, resizer] = [draw(width, height), new Resizer(width, height, found, spec.resolution)];
      for (let row = resizer.firstRow; row < resizer.endRow; row += strip) {
        resizer.add(rows(rgba, width, resizer, row, Math.min(row + strip, resizer.endRow)));
      }
      expect(await digest(resizer.finish())).toBe(sha256);
    }
  });
});

it("rows that were not given are missed", () => {
  const resizer = new Resizer(8, 8, { left: 0, top: 0, right: 8, bottom: 8 }, 4);
  resizer.add(new Uint8ClampedArray(8 * 4 * 3));
  expect(() => resizer.finish()).toThrow("3 rows of 8");
});
