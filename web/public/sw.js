// Keeps the page, the runtime and the model on the device: loaded once, they answer without a network.
// `pocketvision demo` writes VERSION and SHELL above this line; another model is another VERSION.

const KEPT = `pocketvision ${self.registration.scope} ${VERSION}`;
// What lets WebAssembly use threads; added here for hosts that do not send it.
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(KEPT);
      await cache.addAll(SHELL.map((path) => new Request(path, { cache: "reload" })));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const own = `pocketvision ${self.registration.scope} `;
      const names = await caches.keys();
      await Promise.all(names.filter((name) => name.startsWith(own) && name !== KEPT).map((name) => caches.delete(name)));
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  // Calibration nets are many, and used once.
  if (address.pathname.includes("/nets/")) return;
  if (event.request.method === "GET" && address.origin === location.origin) event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(KEPT);
  const found = await cache.match(request, { ignoreSearch: true, ignoreVary: true });
  if (found) return isolated(found);
  const response = await fetch(request);
  if (response.status === 200) await cache.put(bare(request), response.clone());
  return isolated(response);
}

// One entry a file, whatever the address asks for behind a question mark.
function bare(request) {
  const address = new URL(request.url);
  return address.origin + address.pathname;
}

function isolated(response) {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
