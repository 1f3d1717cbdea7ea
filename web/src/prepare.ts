// An image to the net's input, as `images/prepare.py` does it: decoded, upright, on white, resized, cropped.

import type { ImageSpec } from "./demo";
import type { Pixels } from "./net";
import { readStored } from "./orientation";
import { Resizer, type Box } from "./resize";
import { sidesOf, storedPart, upright, type Part } from "./turn";

/** Width times height above which an image is refused; Python's limit. */
export const MAX_PIXELS = 178_956_970;
const STRIP_PIXELS = 1 << 20;
/** The longer side of an image that is turned to be shown. */
const SHOWN_PIXELS = 1280;

const AS_STORED: ImageBitmapOptions = {
  imageOrientation: "from-image",
  colorSpaceConversion: "none",
  premultiplyAlpha: "none",
};

/** An image as it is stored. */
export interface Image {
  readonly bitmap: ImageBitmap;
  /** EXIF's number; 1 is upright. */
  readonly orientation: number;
}

export interface Prepared {
  /** RGB, [resolution, resolution, 3]. */
  readonly pixels: Pixels;
  readonly width: number;
  readonly height: number;
  /** The part of the image that the net sees, in pixels. */
  readonly box: Box;
}

export class ImageError extends Error {}

/** Decode a file; its color profile is ignored, as in training. */
export async function decode(file: Blob): Promise<Image & { readonly unmarked: Blob }> {
  if (file.size === 0) throw new ImageError("The file is empty.");
  try {
    const { orientation, unmarked } = await readStored(file);
    const bitmap = await createImageBitmap(unmarked, AS_STORED).catch((error: unknown) => {
      // Older browsers do not know the word "from-image".
      if (error instanceof TypeError) return createImageBitmap(unmarked);
      throw error;
    });
    return { bitmap, orientation, unmarked };
  } catch {
    throw new ImageError(
      "This browser cannot read the file as an image. JPEG, PNG and WebP always work; save it as one of these.",
    );
  }
}

/** Resize and crop a decoded image as the file's manifest says. */
export function prepare(image: Image, spec: ImageSpec): Prepared {
  const { bitmap, orientation } = image;
  const [width, height] = sidesOf(bitmap.width, bitmap.height, orientation);
  if (width * height > MAX_PIXELS) {
    throw new ImageError(`The image is larger than ${Math.round(MAX_PIXELS / 1e6)} million pixels; make it smaller.`);
  }
  const box = centreBox(width, height, spec);
  const resizer = new Resizer(width, height, box, spec.resolution);
  const columns = resizer.endColumn - resizer.firstColumn;
  const most = Math.max(1, Math.floor(STRIP_PIXELS / columns));
  const context = canvas(...sidesOf(columns, Math.min(most, resizer.endRow - resizer.firstRow), orientation));
  for (let row = resizer.firstRow; row < resizer.endRow; row += most) {
    const part = { x: resizer.firstColumn, y: row, width: columns, height: Math.min(most, resizer.endRow - row) };
    resizer.add(strip(context, image, part));
  }
  return { pixels: resizer.finish(), width, height, box };
}

/** A decoded file for people to see: upright as for the net, whatever this browser thinks of its marks. */
export async function shown({ bitmap, orientation, unmarked }: Image & { readonly unmarked: Blob }): Promise<Blob> {
  if (orientation === 1) return unmarked;
  const scale = Math.min(1, SHOWN_PIXELS / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = canvas(width, height);
  context.imageSmoothingEnabled = true;
  context.drawImage(bitmap, 0, 0, width, height);
  const rgba = upright(context.getImageData(0, 0, width, height).data, width, height, orientation);
  const [columns, rows] = sidesOf(width, height, orientation);
  const target = canvas(columns, rows);
  target.putImageData(new ImageData(rgba, columns, rows), 0, 0);
  return new Promise((resolve, reject) => {
    target.canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new ImageError("This browser cannot show the image."))));
  });
}

function canvas(width: number, height: number): CanvasRenderingContext2D {
  const element = document.createElement("canvas");
  element.width = width;
  element.height = height;
  const context = element.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new ImageError("This browser gives no canvas to read pixels from; try another browser.");
  context.imageSmoothingEnabled = false;
  return context;
}

/** RGBA of a part of the upright image. */
function strip(context: CanvasRenderingContext2D, { bitmap, orientation }: Image, part: Part) {
  const { x, y, width, height } = storedPart(part, bitmap.width, bitmap.height, orientation);
  // What is transparent lies on white.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, x, y, width, height, 0, 0, width, height);
  return upright(context.getImageData(0, 0, width, height).data, width, height, orientation);
}

/** The source's box that becomes the center crop; roundings as in `center_box` of `images/prepare.py`. */
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
