// The page that measures the calibration nets: one button, progress, and a file.

import { deviceFile, FOLDER, readCalibration, ROUNDS, timeAll, type CalibrationNet, type NetTime } from "./calibration";
import { noise } from "./measure";
import type { Net, Runtime } from "./net";
import { keep } from "./offline";
import { fetched, LOADERS, runtimeOf } from "./open";
import { saveJson, suggestName } from "./save";
import { element, ms, problem, show, write } from "./view";

const THREADS = 1;

async function begin(): Promise<void> {
  try {
    await keep();
    const { nets } = await readCalibration();
    const asked = new URLSearchParams(location.search).get("runtime");
    const name = asked ?? runtimeOf(nets[0].file);
    const own = nets.filter((net) => runtimeOf(net.file) === name);
    if (own.length === 0) throw new Error(`There are no nets for the runtime ${name}.`);
    const runtime = await LOADERS[runtimeOf(own[0].file)](THREADS);
    const first = await open(runtime, own[0]);
    write("runs-on", `${first.runtime}, 1 thread`);
    write("nets", `${own.length}, each timed in ${ROUNDS} rounds`);
    write("lead", `Measures ${own.length} nets on this device. From these times, those of other nets can be predicted.`);
    element("measure").addEventListener("click", () => void measure(runtime, own, first));
    element<HTMLButtonElement>("measure").disabled = false;
    document.body.dataset["state"] = "ready";
    await suggestName();
  } catch (error) {
    console.error(error);
    document.body.dataset["state"] = "failed";
    problem(error instanceof Error ? error.message : String(error));
  }
}

async function open(runtime: Runtime, net: CalibrationNet): Promise<Net> {
  return runtime.open(await fetched(FOLDER + net.file), net.resolution);
}

async function measure(runtime: Runtime, nets: readonly CalibrationNet[], first: Net): Promise<void> {
  const button = element<HTMLButtonElement>("measure");
  button.disabled = true;
  show("going", true);
  write("result", "");
  problem("");
  const screen = await navigator.wakeLock?.request("screen").catch(() => undefined);
  const results = await timeAll(nets, (net) => opened(runtime, net), tell, () => performance.now());
  await screen?.release();
  show("going", false);
  button.disabled = false;
  write("measure", "Measure again");
  if (results.length < nets.length) problem(`${nets.length - results.length} nets could not be run here; they are left out.`);
  if (results.length === 0) return;
  const times = results.map((result) => result.median_ms);
  write("result", `${results.length} nets, from ${ms(Math.min(...times))} to ${ms(Math.max(...times))}.`);
  offer(first, results);
}

async function opened(runtime: Runtime, net: CalibrationNet): Promise<{ run(): Promise<unknown>; close(): void | Promise<void> }> {
  const [found, image] = [await open(runtime, net), noise(net.resolution)];
  return { run: () => found.run(image), close: () => found.close() };
}

async function tell(done: number, of: number, net: CalibrationNet): Promise<void> {
  const bar = element<HTMLProgressElement>("progress");
  [bar.value, bar.max] = [done, of];
  write("now", `${done + 1} of ${of}: ${net.name}`);
  await new Promise<void>((resolve) => setTimeout(resolve, 10));
}

function offer(net: Net, results: readonly NetTime[]): void {
  const button = element<HTMLButtonElement>("save");
  button.onclick = () => {
    const device = element<HTMLInputElement>("device").value.trim();
    problem(device ? "" : "Give this device a name, for the file.");
    if (device) saveJson(deviceFile(device, net, results), "device", device);
  };
  show("save", true);
}

void begin();
