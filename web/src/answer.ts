// Probabilities to words: the likeliest labels, and whether the file is sure.

export interface Guess {
  readonly label: string;
  readonly share: number;
}

export interface Answer {
  readonly top: readonly Guess[];
  /** False where the likeliest is below the file's threshold: the image may be none of the labels. */
  readonly sure: boolean;
}

export const SHOWN = 5;

export function answer(shares: Float32Array, labels: readonly string[], least: number | null): Answer {
  if (shares.length !== labels.length || shares.some(Number.isNaN)) {
    throw new Error("The model file answers with something that is not a probability for each label.");
  }
  const order = Array.from(shares.keys()).sort((one, other) => shares[other] - shares[one] || one - other);
  const top = order.slice(0, SHOWN).map((place) => ({ label: labels[place], share: shares[place] }));
  return { top, sure: least === null || top[0].share >= least };
}

export function percent(share: number): string {
  if (share > 0.995 && share < 1) return "> 99%";
  return share > 0 && share < 0.005 ? "< 1%" : `${Math.round(share * 100)}%`;
}

/** What a screen reader says, and what a sighted person reads first. */
export function sentence(found: Answer): string {
  const [first, second] = found.top;
  if (found.sure) return `${first.label}, ${percent(first.share)}`;
  const guesses = second ? `${first.label} ${percent(first.share)}, or ${second.label} ${percent(second.share)}` : first.label;
  return `Not sure. Perhaps ${guesses}`;
}
