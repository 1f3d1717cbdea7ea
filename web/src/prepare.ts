// A picture to the net's input, as `images/prepare.py` does it: decoded, upright, on white, resized, cropped.

import type { ImageSpec } from "./demo";
import type { Pixels } from "./net";
import { Resizer, type Box } from "./resize";

/** Width times height above which a picture is refused; Python's limit. */
export const MAX_PIXELS = 178_956_970;
const STRIP_PIXELS = 1 << 20;

const AS_STORED: ImageBitmapOptions = {
  imageOrientation: "from-image",
  colorSpaceConversion: "none",
  premultiplyAlpha: "none",
};

export interface Prepared {
  /** RGB, [resolution, resolution, 3]. */
  readonly pixels: Pixels;
  readonly width: number;
  readonly height: number;
  /** The part of the picture that the net sees, in pixels. */
  readonly box: Box;
}

export class PictureError extends Error {}

/** Decode a file; its colour profile is ignored and its orientation applied, as in training. */
export async function decode(file: Blob): Promise<ImageBitmap> {
  if (file.size === 0) throw new PictureError("The file is empty.");
  try {
    return await createImageBitmap(file, AS_STORED).catch((error: unknown) => {
      // Older browsers do not know the word "from-image" and turn pictures upright by default.
      if (error instanceof TypeError) return createImageBitmap(file);
      throw error;
    });
  } catch {
    throw new PictureError(
      "This browser cannot read the file as a picture. JPEG, PNG and WebP always work; save it as one of these.",
    );
  }
}

/** Resize and crop a decoded picture as the file's manifest says. */
export function prepare(bitmap: ImageBitmap, spec: ImageSpec): Prepared {
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    throw new PictureError(`The picture is larger than ${Math.round(MAX_PIXELS / 1e6)} million pixels; make it smaller.`);
  }
  const box = centreBox(width, height, spec);
  const resizer = new Resizer(width, height, box, spec.resolution);
  const columns = resizer.endColumn - resizer.firstColumn;
  const most = Math.max(1, Math.floor(STRIP_PIXELS / columns));
  const context = canvas(columns, Math.min(most, resizer.endRow - resizer.firstRow));
  for (let row = resizer.firstRow; row < resizer.endRow; row += most) {
    resizer.add(strip(context, bitmap, resizer.firstColumn, row, Math.min(most, resizer.endRow - row)));
  }
  return { pixels: resizer.finish(), width, height, box };
}

function canvas(width: number, height: number): CanvasRenderingContext2D {
  const element = document.createElement("canvas");
  element.width = width;
  element.height = height;
  const context = element.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new PictureError("This browser gives no canvas to read pixels from; try another browser.");
  context.imageSmoothingEnabled = false;
  return context;
}

function strip(context: CanvasRenderingContext2D, bitmap: ImageBitmap, x: number, y: number, rows: number) {
  const columns = context.canvas.width;
  // What is transparent lies on white.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, columns, rows);
  context.drawImage(bitmap, x, y, columns, rows, 0, 0, columns, rows);
  return context.getImageData(0, 0, columns, rows).data;
}

/** The source's box that becomes the centre crop; roundings as in `centre_box` of `images/prepare.py`. */
export function centreBox(width: number, height: number, spec: ImageSpec): Box {
  const short = roundHalfEven(spec.resolution / spec.crop_pct);
  const least = Math.min(width, height);
  const [across, down] = [width, height].map((side) => {
    const resized = spec.crop_mode === "squash" ? short : Math.floor((short * side) / least);
    const start = roundHalfEven((resized - spec.resolution) / 2);
    return [(start * side) / resized, Math.min(((start + spec.resolution) * side) / resized, side)] as const;
  });
  return { left: across[0], right: across[1], top: down[0], bottom: down[1] };
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
