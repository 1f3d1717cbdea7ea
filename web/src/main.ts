// The page: opens the model, answers images and frames, measures the time.

import { answer, sentence } from "./answer";
import { attributesIn, told as named } from "./attributes";
import { Camera, cameraAllowed, CameraError, severalCameras } from "./camera";
import { readDemo, thresholdOf, thresholdsOf, type Demo } from "./demo";
import { foundIn, told } from "./found";
import { noise, record, time, type Timing } from "./measure";
import { keep } from "./offline";
import { fetched, open, wishOf, type Opened } from "./open";
import { decode, ImageError, prepare, shown, type Image, type Prepared } from "./prepare";
import { probeGap } from "./probes";
import { saveJson, suggestName } from "./save";
import * as view from "./view";

const { element, show, write, problem } = view;

/** A live answer is spoken once it has stayed the same for so long, and not again until it changes. */
const STEADY_MS = 1200;

/** An answer in words: what it comes to, and what is said of it. */
interface Told {
  readonly label: string;
  readonly sentence: string;
}

/** What the net gave for the image that is shown. */
interface Given {
  readonly numbers: Float32Array;
  readonly prepared: Prepared;
  readonly took: view.Took;
}

class Page {
  private readonly video = element<HTMLVideoElement>("video");
  private readonly image = element<HTMLImageElement>("image");
  private readonly camera = new Camera(this.video, (frame) => this.answerFrame(frame));
  private gap: number | null = null;
  private timing: Timing | null = null;
  private steady = { words: "", since: 0, spoken: false };
  private turns = Promise.resolve();
  /** The score from which on boxes count; null for files that find none. */
  private least: number | null;
  private given: Given | null = null;

  constructor(
    private readonly demo: Demo,
    private readonly opened: Opened,
  ) {
    this.least = thresholdOf(demo.manifest);
  }

  async start(): Promise<void> {
    view.showFile(this.demo, this.opened);
    const { net } = this.opened;
    write("runs-on", `${net.runtime}, ${net.threads === 1 ? "1 thread" : `${net.threads} threads`}`);
    this.gap = await probeGap(net, this.demo.manifest);
    view.showCheck(this.gap);
    view.waiting("No image yet", invitation());
    this.listen();
    if (this.least !== null) view.offerThreshold(this.least, (least) => this.countFrom(least));
    this.offerCamera();
    for (const id of ["start", "shoot", "choose", "measure"]) element<HTMLButtonElement>(id).disabled = false;
    document.body.dataset["state"] = "ready";
    await suggestName();
  }

  private listen(): void {
    const clicks: Record<string, () => unknown> = {
      choose: () => element<HTMLInputElement>("file").click(),
      shoot: () => element<HTMLInputElement>("capture").click(),
      start: () => this.startCamera(() => this.camera.start()),
      turn: () => this.startCamera(() => this.camera.turn()),
      hold: () => this.holdOrGoOn(),
      stop: () => this.stopCamera(),
      measure: () => this.measure(),
      save: () => this.save(),
    };
    for (const [id, act] of Object.entries(clicks)) element(id).addEventListener("click", () => void act());
    for (const id of ["file", "capture"]) {
      const input = element<HTMLInputElement>(id);
      input.addEventListener("change", () => {
        const file = input.files?.[0];
        if (file) void this.answerFile(file);
        input.value = ""; // so that the same image can be chosen again
      });
    }
    document.addEventListener("paste", (event) => this.take(event.clipboardData));
    this.listenToDrops();
  }

  private listenToDrops(): void {
    const over = (event: DragEvent, inside: boolean) => {
      event.preventDefault();
      element("view").classList.toggle("over", inside);
    };
    document.addEventListener("dragover", (event) => over(event, true));
    document.addEventListener("dragleave", (event) => over(event, false));
    document.addEventListener("drop", (event) => {
      over(event, false);
      this.take(event.dataTransfer);
    });
  }

  private take(data: DataTransfer | null): void {
    const file = data?.files[0];
    if (file) void this.answerFile(file);
  }

  private offerCamera(): void {
    const allowed = cameraAllowed();
    const touch = matchMedia("(pointer: coarse)").matches;
    show("start", allowed);
    show("shoot", !allowed && touch);
    element("choose").classList.toggle("main", !allowed && !touch);
    if (!allowed) {
      write("no-camera", "The live camera needs an address that begins with https; images can be taken and chosen all the same.");
      show("no-camera", true);
    }
    write("hint", invitation());
  }

  // ---------------------------------------------------------------- answering

  /** Answer one image after the other, however fast they come. */
  private answerFile(file: Blob): Promise<void> {
    this.turns = this.turns.then(() => this.answerChosen(file)).catch((error: unknown) => this.tell(error));
    return this.turns;
  }

  private async answerChosen(file: Blob): Promise<void> {
    this.stopCamera();
    problem("");
    const image = await decode(file);
    this.showImage(await shown(image));
    view.speak((await this.answerImage(image)).sentence);
    document.body.dataset["answered"] = String(Number(document.body.dataset["answered"] ?? 0) + 1);
  }

  private async answerFrame(frame: HTMLVideoElement): Promise<void> {
    try {
      this.speakWhenSteady(await this.answerImage({ bitmap: await createImageBitmap(frame), orientation: 1 }));
    } catch (error) {
      this.stopCamera();
      this.tell(error);
    }
  }

  private async answerImage(image: Image): Promise<Told> {
    const started = performance.now();
    const prepared = prepare(image, this.demo.manifest.image);
    image.bitmap.close();
    const ready = performance.now();
    const numbers = await this.opened.net.run(prepared.pixels);
    const took = { prepare_ms: ready - started, net_ms: performance.now() - ready };
    view.showSeen(prepared);
    this.given = { numbers, prepared, took };
    return this.showGiven(this.given);
  }

  private showGiven({ numbers, prepared, took }: Given): Told {
    const { labels, abstain_below: least } = this.demo.manifest;
    if (this.least !== null) {
      const found = foundIn(numbers, labels, this.least, prepared);
      view.showFound(found, took);
      return { label: told(found), sentence: told(found) };
    }
    const thresholds = thresholdsOf(this.demo.manifest);
    if (thresholds !== null) {
      const attributes = attributesIn(numbers, labels, thresholds);
      view.showAttributes(attributes, took);
      return { label: named(attributes), sentence: named(attributes) };
    }
    const found = answer(numbers, labels, least);
    view.showAnswer(found, took);
    return { label: found.sure ? found.top[0].label : "not sure", sentence: sentence(found) };
  }

  private countFrom(least: number): void {
    this.least = least;
    if (this.given) view.speak(this.showGiven(this.given).sentence);
  }

  private speakWhenSteady(found: Told): void {
    const words = found.label;
    if (words !== this.steady.words) this.steady = { words, since: performance.now(), spoken: false };
    if (this.steady.spoken || performance.now() - this.steady.since < STEADY_MS) return;
    this.steady.spoken = true;
    view.speak(found.sentence);
  }

  private showImage(file: Blob): void {
    URL.revokeObjectURL(this.image.src);
    this.image.src = URL.createObjectURL(file);
    this.showMedia(this.image);
  }

  private showMedia(shown: HTMLElement | null): void {
    show("empty", shown === null);
    show("media", shown !== null);
    this.image.hidden = shown !== this.image;
    this.video.hidden = shown !== this.video;
  }

  private showNothing(): void {
    this.given = null;
    this.showMedia(null);
    write("spoken", "");
    view.waiting("No image yet", invitation());
  }

  private tell(error: unknown): void {
    const known = error instanceof ImageError || error instanceof CameraError;
    if (!known) console.error(error);
    problem(known ? error.message : `The image could not be answered: ${error instanceof Error ? error.message : String(error)}`);
    if (error instanceof ImageError) this.showNothing();
    document.body.dataset["refused"] = String(Number(document.body.dataset["refused"] ?? 0) + 1);
  }

  // ---------------------------------------------------------------- camera

  private async startCamera(begin: () => Promise<void>): Promise<void> {
    problem("");
    write("spoken", "");
    try {
      this.showMedia(this.video);
      await begin();
    } catch (error) {
      this.stopCamera();
      this.tell(error);
      return;
    }
    this.steady = { words: "", since: 0, spoken: false };
    this.showControls();
    show("turn", await severalCameras());
    element("hold").focus();
  }

  private stopCamera(): void {
    if (!this.camera.on && this.video.hidden) return;
    this.camera.stop();
    this.showNothing();
    this.showControls();
    show("turn", false);
  }

  private async holdOrGoOn(): Promise<void> {
    if (this.camera.held) await this.camera.resume();
    else this.camera.hold();
    this.showControls();
  }

  private showControls(): void {
    const { on, held } = this.camera;
    show("start", !on);
    show("hold", on);
    show("stop", on);
    write("hold", held ? "Go on" : "Hold");
  }

  // ---------------------------------------------------------------- time

  private async measure(): Promise<void> {
    const button = element<HTMLButtonElement>("measure");
    button.disabled = true;
    if (this.camera.on) this.camera.hold();
    write("measure", "Measuring");
    try {
      const { net } = this.opened;
      const image = noise(this.demo.manifest.image.resolution);
      const reference = await this.reference();
      const rest = () => new Promise<void>((resolve) => setTimeout(resolve, 10));
      this.timing = await time(() => net.run(image), reference, rest, () => performance.now());
      view.showTiming(this.timing, net.threads);
    } catch (error) {
      this.tell(error);
    }
    if (this.camera.on) this.showControls();
    write("measure", "Measure again");
    button.disabled = false;
  }

  private async reference(): Promise<(() => Promise<unknown>) | null> {
    const { runtime, file } = this.opened;
    const side = this.demo.reference_resolution;
    try {
      const net = await runtime.open(await fetched(file.reference), side);
      const image = noise(side);
      return () => net.run(image);
    } catch (error) {
      console.info("measured without the reference net:", error);
      return null;
    }
  }

  private save(): void {
    if (!this.timing) return;
    const device = element<HTMLInputElement>("device").value.trim();
    const found = record(this.timing, this.demo, this.opened.file, this.opened.net, {
      device,
      userAgent: navigator.userAgent,
      cores: navigator.hardwareConcurrency,
      probeGap: this.gap,
      created: new Date().toISOString(),
    });
    saveJson(found, "measurement", device);
  }
}

function invitation(): string {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (!cameraAllowed()) return touch ? "Take an image, or choose one." : "Choose, drop or paste an image.";
  return touch ? "Point the camera at something, or choose an image." : "Start the camera, or choose, drop or paste an image.";
}

async function begin(): Promise<void> {
  try {
    const kept = await keep();
    view.showKept(kept);
    const demo = await readDemo();
    view.showDemo(demo);
    const wish = wishOf(location.search, navigator.hardwareConcurrency, window.crossOriginIsolated);
    await new Page(demo, await open(demo, wish)).start();
  } catch (error) {
    console.error(error);
    document.body.dataset["state"] = "failed";
    const reason = error instanceof Error ? error.message : String(error);
    problem(`The model cannot be run in this browser. ${reason}`);
    write("hint", "There is nothing to answer with.");
  }
}

void begin();
