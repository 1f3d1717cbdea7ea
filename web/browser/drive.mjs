// Uses the page in a real browser as a person would, and tells what it showed.
//
// Reads a plan as JSON from the standard input and writes what was seen as JSON to the standard output:
//   chromium  path of the browser            address   of the page
//   steps     a list of steps in order, each an object with `do` and what that step needs; see STEPS
//   camera    path of an .mjpeg or .y4m file that stands in for the camera
//   phone     true for a phone's screen and touch

import { chromium } from "playwright-core";

const PATIENCE_MS = 120_000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

const STEPS = {
  async load({ page }, { address, state = "ready" }) {
    await page.goto(address);
    await page.waitForSelector(`body[data-state="${state}"]`, { timeout: PATIENCE_MS });
    return words(page, ["title", "lead", "runs-on", "check", "kept", "problem"]);
  },

  /** Choose images one after the other. */
  async choose({ page }, { images }) {
    const found = [];
    for (const image of images) {
      const before = await count(page);
      await page.setInputFiles("#file", image);
      await page.waitForFunction((number) => Number(document.body.dataset.answered ?? 0) + Number(document.body.dataset.refused ?? 0) > number, before, { timeout: PATIENCE_MS });
      found.push(await shown(page));
    }
    return found;
  },

  /** Width and height of the image that is shown. */
  async sides({ page }) {
    return page.evaluate(async () => {
      const image = document.getElementById("image");
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    });
  },

  /** Start the camera with the keyboard alone, wait for an answer to be spoken, hold it. */
  async camera({ page }) {
    await page.focus("#start");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.getElementById("spoken").textContent !== "", null, { timeout: PATIENCE_MS });
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.getElementById("hold").textContent === "Go on", null, { timeout: PATIENCE_MS });
    return shown(page);
  },

  /** Move the slider to a score. */
  async threshold({ page }, { least }) {
    await page.locator("#threshold").fill(String(least));
    return shown(page);
  },

  async click({ page }, { id }) {
    await page.click(`#${id}`);
    return null;
  },

  async measure({ page }, { device }) {
    await page.click("#measure");
    await page.waitForSelector("#timing:not([hidden])", { timeout: PATIENCE_MS });
    await page.fill("#device", device);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    return { name: download.suggestedFilename(), text: Buffer.concat(chunks).toString("utf8") };
  },

  /** Time the calibration nets, and save the file. */
  async calibrate({ page }, { device }) {
    await page.click("#measure");
    await page.waitForSelector("#save:not([hidden])", { timeout: PATIENCE_MS });
    await page.fill("#device", device);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const shown = await words(page, ["result", "runs-on", "nets"]);
    return { name: download.suggestedFilename(), text: Buffer.concat(chunks).toString("utf8"), ...shown };
  },

  async offline({ context }, { offline }) {
    await context.setOffline(offline);
    return null;
  },

  async shot({ page }, { file, dark = false, whole = true }) {
    await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
    await page.screenshot({ path: file, fullPage: whole });
    return null;
  },

  /** What Tab reaches, in order. */
  async tab({ page }, { times }) {
    const reached = [];
    for (let turn = 0; turn < times; turn++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName || ""));
    }
    return reached;
  },

  /** What assistive technology is told. */
  async tree({ page }) {
    return page.locator("body").ariaSnapshot();
  },

  async state({ page }) {
    return page.evaluate(async () => ({
      isolated: window.crossOriginIsolated,
      secure: window.isSecureContext,
      wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      visible: [...document.querySelectorAll("button")].filter((one) => one.checkVisibility()).map((one) => one.id),
    }));
  },
};

async function words(page, ids) {
  return page.evaluate((names) => Object.fromEntries(names.map((id) => [id, document.getElementById(id)?.textContent ?? null])), ids);
}

async function count(page) {
  return page.evaluate(() => Number(document.body.dataset.answered ?? 0) + Number(document.body.dataset.refused ?? 0));
}

async function shown(page) {
  return page.evaluate(() => ({
    label: document.getElementById("label").textContent,
    sub: document.getElementById("sub").textContent,
    spoken: document.getElementById("spoken").textContent,
    took: document.getElementById("took").textContent,
    problem: document.getElementById("problem").textContent,
    sure: document.getElementById("answer").dataset.sure === "true",
    least: document.getElementById("threshold").value,
    boxes: [...document.querySelectorAll("#boxes:not([hidden]) .box")].map((box) => {
      const [whole, part] = [document.querySelector("#media > :not([hidden])"), box].map((one) => one.getBoundingClientRect());
      const shares = [(part.left - whole.left) / whole.width, (part.top - whole.top) / whole.height, (part.right - whole.left) / whole.width, (part.bottom - whole.top) / whole.height];
      return [box.dataset.label, Number(box.dataset.score), ...shares];
    }),
    top: [...document.querySelectorAll("#guesses li")].map((item) => [item.firstElementChild.textContent, Number(item.dataset.share)]),
  }));
}

async function plan() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

const { chromium: executablePath, steps, camera, phone = false, flags = [] } = await plan();
const fake = camera ? ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${camera}`] : [];
const browser = await chromium.launch({ executablePath, args: [...FLAGS, ...fake, ...flags] });
const size = phone ? { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 } : { viewport: { width: 1280, height: 900 } };
const context = await browser.newContext({ ...size, ignoreHTTPSErrors: true, acceptDownloads: true });
const page = await context.newPage();
const [requests, complaints] = [[], []];
context.on("request", (request) => requests.push(request.url()));
page.on("console", (message) => {
  if (message.type() === "error") complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));
const results = [];
for (const step of steps) results.push(await STEPS[step.do]({ page, context }, step));
await browser.close();
process.stdout.write(JSON.stringify({ results, requests, complaints }));
