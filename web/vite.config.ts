// Builds the page into the Python package, with the runtimes' WebAssembly files beside it.

import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "vite";

const OUT = resolve(import.meta.dirname, "../src/pocketvision/serve/page");
const LITERT = ["litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal"];
const RUNTIMES = {
  litert: LITERT.flatMap((name) => [`@litertjs/core/wasm/${name}.js`, `@litertjs/core/wasm/${name}.wasm`]),
  onnxruntime: ["mjs", "wasm"].map((suffix) => `onnxruntime-web/dist/ort-wasm-simd-threaded.${suffix}`),
};

function modules(path: string): string {
  return resolve(import.meta.dirname, "node_modules", path);
}

function version(name: string): string {
  return JSON.stringify(JSON.parse(readFileSync(modules(`${name}/package.json`), "utf8")).version);
}

function copyRuntimes(): void {
  copyFileSync(resolve(import.meta.dirname, "../LICENSE"), resolve(OUT, "LICENSE"));
  for (const [name, files] of Object.entries(RUNTIMES)) {
    const folder = resolve(OUT, "runtime", name);
    mkdirSync(folder, { recursive: true });
    for (const file of files) copyFileSync(modules(file), resolve(folder, file.split("/").at(-1)!));
  }
}

export default defineConfig({
  base: "./",
  define: { __LITERT__: version("@litertjs/core"), __ONNXRUNTIME__: version("onnxruntime-web") },
  // onnxruntime-web is told where its files lie; the bundler must not copy them a second time.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "production"] },
  build: { outDir: OUT, emptyOutDir: true, rolldownOptions: { input: ["index.html", "calibrate.html"].map((name) => resolve(import.meta.dirname, name)) }, target: "es2022", modulePreload: { polyfill: false } },
  plugins: [{ name: "runtimes", closeBundle: copyRuntimes }],
});
