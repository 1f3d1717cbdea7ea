// A stored image turned upright, part by part: EXIF 2.32, tag Orientation.

/** A rectangle in pixels. */
export interface Part {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Whether the stored rows are columns, the stored first column the last, and the stored first row the last. */
function turnOf(orientation: number) {
  return {
    swap: orientation >= 5,
    flipX: [2, 3, 7, 8].includes(orientation),
    flipY: [3, 4, 6, 7].includes(orientation),
  };
}

/** Width and height of a stored image once it is upright, or the other way round. */
export function sidesOf(width: number, height: number, orientation: number): readonly [number, number] {
  return turnOf(orientation).swap ? [height, width] : [width, height];
}

/** Where a part of the upright image lies in the stored one, of `width` by `height`. */
export function storedPart(part: Part, width: number, height: number, orientation: number): Part {
  const { swap, flipX, flipY } = turnOf(orientation);
  const [x, y] = swap ? [part.y, part.x] : [part.x, part.y];
  const [columns, rows] = sidesOf(part.width, part.height, orientation);
  return { x: flipX ? width - x - columns : x, y: flipY ? height - y - rows : y, width: columns, height: rows };
}

/** Turn RGBA, stored as `width` by `height`, upright. */
export function upright(rgba: Uint8ClampedArray<ArrayBuffer>, width: number, height: number, orientation: number) {
  if (orientation === 1) return rgba;
  const { swap, flipX, flipY } = turnOf(orientation);
  const [columns, rows] = sidesOf(width, height, orientation);
  const [across, down] = [flipX ? -1 : 1, flipY ? -width : width];
  const [columnStep, rowStep] = swap ? [down, across] : [across, down];
  const first = (flipX ? width - 1 : 0) + (flipY ? (height - 1) * width : 0);
  const stored = new Uint32Array(rgba.buffer, rgba.byteOffset, width * height);
  const turned = new Uint32Array(width * height);
  for (let row = 0, place = 0; row < rows; row++) {
    let from = first + row * rowStep;
    for (let column = 0; column < columns; column++, from += columnStep) turned[place++] = stored[from];
  }
  return new Uint8ClampedArray(turned.buffer);
}
