// Kept on the device: the service worker, and what to tell where there can be none.

export type Kept = "kept" | "no https" | "not possible";

const RELOADED = "reloaded for threads";

/**
 * Start the service worker, and return once all later requests go through it.
 *
 * Where the host does not send the headers that threads need, the worker adds them, from the next load on.
 */
export async function keep(): Promise<Kept> {
  if (!window.isSecureContext) return "no https";
  if (!("serviceWorker" in navigator)) return "not possible";
  reloadOnUpdate();
  try {
    await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
    await Promise.race([controlled(), after(4000)]);
  } catch (error) {
    console.info("not kept for offline use:", error);
    return "not possible";
  }
  if (!navigator.serviceWorker.controller) return "not possible";
  if (!window.crossOriginIsolated && sessionStorage.getItem(RELOADED) === null) {
    sessionStorage.setItem(RELOADED, "yes");
    location.reload();
    await new Promise(() => undefined);
  }
  return "kept";
}

/** Where another model was put in this one's place, load again: the old page was what the device had kept. */
function reloadOnUpdate(): void {
  if (!navigator.serviceWorker.controller) return;
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
}

function controlled(): Promise<void> {
  if (navigator.serviceWorker.controller) return Promise.resolve();
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
  });
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
