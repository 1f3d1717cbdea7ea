// The time of many nets on this device, by which `pocketvision` predicts that of any other; and the file that says so.

import { quantile, stay, type Clock, type Sample } from "./measure";
import type { Net } from "./net";

export interface CalibrationNet {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
  readonly resolution: number;
  readonly precision: string;
}

export interface Calibration {
  readonly format: string;
  readonly version: number;
  readonly nets: readonly CalibrationNet[];
}

export interface NetTime {
  readonly sha256: string;
  readonly median_ms: number;
  readonly p90_ms: number;
  readonly runs: number;
}

export interface DeviceFile {
  readonly format: "pocketvision-device";
  readonly version: 1;
  readonly device: string;
  readonly runtime: string;
  readonly threads: number;
  readonly results: readonly NetTime[];
}

export const FOLDER = "nets/";
/** Each net is visited in so many rounds over all of them, so that a slow minute does not fall on one net alone. */
export const ROUNDS = 4;

/** Opens a net, which is closed again after each visit: a phone's memory does not hold all of them. */
export type Open = (net: CalibrationNet) => Promise<{ run(): Promise<unknown>; close(): void | Promise<void> }>;
export type Tell = (done: number, of: number, net: CalibrationNet) => void | Promise<void>;

/** Visit all nets in rounds, each in another order; nets that cannot be run are left out. */
export async function timeAll(nets: readonly CalibrationNet[], open: Open, tell: Tell, now: Clock): Promise<NetTime[]> {
  const samples = new Map<string, Sample[]>(nets.map((net) => [net.sha256, []]));
  const failed = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    const order = shuffled(nets, round + 1);
    for (const [place, net] of order.entries()) {
      await tell(round * nets.length + place, ROUNDS * nets.length, net);
      if (failed.has(net.sha256)) continue;
      try {
        const opened = await open(net);
        samples.get(net.sha256)!.push(...(await stay(() => opened.run(), now)));
        await opened.close();
      } catch (error) {
        console.warn(`${net.file}:`, error);
        failed.add(net.sha256);
      }
    }
  }
  return nets.filter((net) => !failed.has(net.sha256)).map((net) => timed(net.sha256, samples.get(net.sha256)!));
}

function timed(sha256: string, samples: readonly Sample[]): NetTime {
  const times = samples.map((sample) => sample.ms / sample.calls);
  const runs = samples.reduce((sum, sample) => sum + sample.calls, 0);
  return { sha256, median_ms: quantile(times, 0.5), p90_ms: quantile(times, 0.9), runs };
}

/** Another order for each seed, always the same for one (Fisher and Yates). */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const order = [...items];
  let state = seed;
  for (let last = order.length - 1; last > 0; last--) {
    state = (state * 48_271) % 2_147_483_647;
    const other = state % (last + 1);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

export function deviceFile(device: string, net: Pick<Net, "runtime" | "threads">, results: readonly NetTime[]): DeviceFile {
  return { format: "pocketvision-device", version: 1, device, runtime: net.runtime, threads: net.threads, results };
}

export async function readCalibration(): Promise<Calibration> {
  const response = await fetch("calibration.json");
  if (!response.ok) throw new Error("calibration.json is missing. Write the folder again with `pocketvision demo`.");
  const found = (await response.json()) as Calibration;
  if (found.format !== "pocketvision-calibration" || found.version !== 1) {
    throw new Error("calibration.json is of another version. Write the folder again with `pocketvision demo`.");
  }
  return found;
}
