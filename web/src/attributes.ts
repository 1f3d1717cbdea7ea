// Several probabilities of one image, each by itself: which attributes are there, by the file's own thresholds.

export interface Attribute {
  readonly label: string;
  readonly share: number;
  /** The probability from which on it counts as there. */
  readonly least: number;
  readonly there: boolean;
}

/** Where a file says nothing, an attribute counts as there from here on. */
const HALF = 0.5;

/** All attributes, in the order of the labels, so that none moves while a camera runs. */
export function attributesIn(shares: Float32Array, labels: readonly string[], thresholds: readonly number[]): Attribute[] {
  if (shares.length !== labels.length || shares.some(Number.isNaN)) {
    throw new Error("The model file answers with something that is not a probability for each attribute.");
  }
  return labels.map((label, place) => {
    const least = thresholds[place] ?? HALF;
    return { label, share: shares[place], least, there: shares[place] >= Math.fround(least) };
  });
}

/** What a screen reader says, and what a sighted person reads first. */
export function told(found: readonly Attribute[]): string {
  const there = found.filter((one) => one.there).map(({ label }) => label);
  return there.join(", ") || "None of them";
}
