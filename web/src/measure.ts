// How long one image takes on this device, in turns with the reference net; and the file that says so.

import type { Demo, ModelFile } from "./demo";
import type { Net, Pixels } from "./net";

export interface Timing {
  readonly median_ms: number;
  readonly p90_ms: number;
  /** Calls that were timed. */
  readonly runs: number;
  /** Median of the reference net, null where it was not there. */
  readonly reference_ms: number | null;
}

export interface Measurement extends Timing {
  readonly format: "pocketvision measurement";
  readonly format_version: 1;
  readonly created: string;
  readonly device: string;
  readonly user_agent: string;
  readonly cores: number;
  readonly runtime: string;
  readonly threads: number;
  readonly file: string;
  readonly file_sha256: string;
  readonly net: string;
  readonly width: number;
  readonly resolution: number;
  readonly precision: string;
  /** Largest difference of a probability from those stored in the file's probes, null where it holds none. */
  readonly probe_gap: number | null;
}

type Call = () => Promise<unknown>;
export type Clock = () => number;

const VISITS = 12;
const VISIT_MS = 60;
const WARM_UPS = 2;
/** Browsers round their clock to as much as 1 ms, so that quick calls are timed several at a time. */
const SAMPLE_MS = 5;

export interface Sample {
  readonly ms: number;
  readonly calls: number;
}

/** Time `own` and `reference` in turns; takes about two seconds. `rest` lets the page breathe between visits. */
export async function time(own: Call, reference: Call | null, rest: () => Promise<void>, now: Clock): Promise<Timing> {
  const samples: [Sample[], Sample[]] = [[], []];
  for (let visit = 0; visit < VISITS; visit++) {
    await rest();
    samples[0].push(...(await stay(own, now)));
    if (reference) samples[1].push(...(await stay(reference, now)));
  }
  const [times, others] = samples.map((taken) => taken.map((sample) => sample.ms / sample.calls));
  return {
    median_ms: quantile(times, 0.5),
    p90_ms: quantile(times, 0.9),
    runs: samples[0].reduce((sum, sample) => sum + sample.calls, 0),
    reference_ms: reference ? quantile(others, 0.5) : null,
  };
}

/** Warm up, then time calls for a while. */
export async function stay(call: Call, now: Clock): Promise<Sample[]> {
  for (let turn = 0; turn < WARM_UPS; turn++) await call();
  const samples: Sample[] = [];
  const end = now() + VISIT_MS;
  do {
    const start = now();
    let calls = 0;
    do {
      await call();
      calls++;
    } while (now() - start < SAMPLE_MS);
    samples.push({ ms: now() - start, calls });
  } while (now() < end);
  return samples;
}

/** The value below which a share of the values lies, between neighbors by proportion, as numpy does. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const place = (sorted.length - 1) * share;
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return below + (above - below) * (place - Math.floor(place));
}

/** An image for timing; always the same one. */
export function noise(side: number): Pixels {
  let state = 1;
  return Uint8Array.from({ length: side * side * 3 }, () => (state = (state * 48_271) % 2_147_483_647) & 255);
}

export interface Circumstances {
  readonly device: string;
  readonly userAgent: string;
  readonly cores: number;
  readonly probeGap: number | null;
  readonly created: string;
}

export function record(timing: Timing, demo: Demo, file: ModelFile, net: Net, where: Circumstances): Measurement {
  const { model, precision, image } = demo.manifest;
  return {
    format: "pocketvision measurement",
    format_version: 1,
    created: where.created,
    device: where.device,
    user_agent: where.userAgent,
    cores: where.cores,
    runtime: net.runtime,
    threads: net.threads,
    file: file.path,
    file_sha256: file.sha256,
    net: model.name,
    width: model.width,
    resolution: image.resolution,
    precision,
    ...timing,
    probe_gap: where.probeGap,
  };
}
