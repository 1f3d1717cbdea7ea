// The file's own probes: small images with the answers that the trained net gave; asked here, from their bytes on.

import type { Manifest } from "./demo";
import type { Net } from "./net";
import { decode, prepare } from "./prepare";

/** A gap above this is more than the rounding of an 8-bit file on another processor. */
export const LARGEST_GAP = 0.05;

/** Return the largest difference of any probability, null where the file holds no probes. */
export async function probeGap(net: Net, manifest: Manifest): Promise<number | null> {
  let gap: number | null = null;
  for (const probe of manifest.probes) {
    const bytes = Uint8Array.from(atob(probe.png_base64), (letter) => letter.charCodeAt(0));
    const image = await decode(new Blob([bytes], { type: "image/png" }));
    const shares = await net.run(prepare(image, manifest.image).pixels);
    image.bitmap.close();
    const gaps = probe.probabilities.map((expected, place) => Math.abs(expected - shares[place]));
    gap = Math.max(gap ?? 0, ...gaps);
  }
  return gap;
}
