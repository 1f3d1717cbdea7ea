import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readStored } from "../src/orientation";
import { sidesOf, storedPart, upright } from "../src/turn";

interface Case {
  readonly name: string;
  readonly content: string;
  readonly orientation: number;
}

// Written by tests/images/test_orientations.py, where Python is held to them too.
const CASES = JSON.parse(readFileSync(new URL("orientation-cases.json", import.meta.url), "utf8")) as Case[];

function blob({ content }: Case): Blob {
  return new Blob([Buffer.from(content, "base64")], { type: "image/png" });
}

describe("the orientation that counts is Python's", () => {
  it.each(CASES)("$name", async (one) => {
    const found = await readStored(blob(one));
    expect(found.orientation).toBe(one.orientation);
    expect(found.unmarked.type).toBe("image/png");
    // Nothing is left to turn it by, for us or for a browser.
    expect((await readStored(found.unmarked)).orientation).toBe(1);
  });
});

it("what holds no mark stays as it is", async () => {
  for (const one of CASES.filter(({ name }) => ["no mark", "PNG, other text"].includes(name))) {
    const { unmarked } = await readStored(blob(one));
    expect(Buffer.from(await unmarked.arrayBuffer()).toString("base64")).toBe(one.content);
  }
});

it("files that are cut anywhere are left to the browser to judge", async () => {
  for (const one of CASES) {
    const bytes = Buffer.from(one.content, "base64");
    for (let length = 0; length < bytes.length; length += 7) {
      const { orientation, unmarked } = await readStored(new Blob([bytes.subarray(0, length)]));
      expect([1, 2, 3, 4, 5, 6, 7, 8]).toContain(orientation);
      expect(unmarked.size).toBeLessThanOrEqual(length);
    }
  }
});

/** Where EXIF's words put a stored pixel: its row 0 and its column 0 lie on these sides of the upright image. */
const SIDES: Readonly<Record<number, readonly [string, string]>> = {
  1: ["top", "left"],
  2: ["top", "right"],
  3: ["bottom", "right"],
  4: ["bottom", "left"],
  5: ["left", "top"],
  6: ["right", "top"],
  7: ["right", "bottom"],
  8: ["left", "bottom"],
};

describe.each([1, 2, 3, 4, 5, 6, 7, 8])("orientation %i", (orientation) => {
  const [width, height] = [5, 3];
  const rgba = Uint8ClampedArray.from({ length: width * height * 4 }, (_, place) => place);
  const [columns, rows] = sidesOf(width, height, orientation);
  const turned = upright(rgba, width, height, orientation);

  it("puts every pixel where the standard says", () => {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at: Record<string, number> = { left: 0, top: 0 };
        for (const [side, steps] of [[SIDES[orientation][0], y], [SIDES[orientation][1], x]] as const) {
          if (side === "left" || side === "right") at["left"] = side === "left" ? steps : columns - 1 - steps;
          else at["top"] = side === "top" ? steps : rows - 1 - steps;
        }
        const place = (at["top"] * columns + at["left"]) * 4;
        expect([...turned.subarray(place, place + 4)]).toEqual([...rgba.subarray((y * width + x) * 4, (y * width + x) * 4 + 4)]);
      }
    }
  });

  it("gives parts of the upright image", () => {
    const part = { x: 1, y: 0, width: columns - 2, height: rows - 1 };
    const stored = storedPart(part, width, height, orientation);
    const cut = new Uint8ClampedArray(stored.width * stored.height * 4);
    for (let row = 0; row < stored.height; row++) {
      const start = ((stored.y + row) * width + stored.x) * 4;
      cut.set(rgba.subarray(start, start + stored.width * 4), row * stored.width * 4);
    }
    const found = upright(cut, stored.width, stored.height, orientation);
    for (let row = 0; row < part.height; row++) {
      const start = ((part.y + row) * columns + part.x) * 4;
      const line = found.subarray(row * part.width * 4, (row + 1) * part.width * 4);
      expect([...line]).toEqual([...turned.subarray(start, start + part.width * 4)]);
    }
  });
});
