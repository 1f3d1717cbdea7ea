// Files that the page gives out, and the name of the device in them.

import { element } from "./view";

/** Let the browser save a value as JSON, in a file named after the device. */
export function saveJson(value: unknown, kind: string, device: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(value, null, 1)}\n`], { type: "application/json" }));
  link.download = `${kind}-${device.replace(/[^\w-]+/g, "-").toLowerCase() || "device"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Write the device's model into the field for its name, where the browser tells it. */
export async function suggestName(): Promise<void> {
  const data = (navigator as { userAgentData?: { getHighEntropyValues(names: string[]): Promise<{ model?: string }> } })
    .userAgentData;
  const found = await data?.getHighEntropyValues(["model"]).catch(() => undefined);
  const input = element<HTMLInputElement>("device");
  if (found?.model && input.value === "") input.value = found.model;
}
