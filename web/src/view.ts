// What the page shows: the answer with its bars, the image with what the net sees of it, facts and figures.

import { percent, SHOWN, type Answer } from "./answer";
import { thresholdOf, type Accuracy, type Demo } from "./demo";
import { counted, told, type FoundBox } from "./found";
import type { Kept } from "./offline";
import type { Opened } from "./open";
import type { Prepared } from "./prepare";
import { LARGEST_GAP } from "./probes";
import type { Timing } from "./measure";

const LONG_LABEL = 22;
const NAMED_LABELS = 6;

export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found as T;
}

export function show(id: string, visible: boolean): void {
  element(id).hidden = !visible;
}

export function write(id: string, text: string, mood = ""): void {
  const target = element(id);
  if (target.textContent !== text) target.textContent = text;
  if (mood !== "" || target.className === "good" || target.className === "bad") target.className = mood;
}

/** Tell what went wrong, or with an empty text that all is well again. */
export function problem(text: string): void {
  write("problem", text);
  show("problem", text !== "");
}

export interface Took {
  readonly prepare_ms: number;
  readonly net_ms: number;
}

export function showAnswer(found: Answer, took: Took): void {
  const [first] = found.top;
  const box = element("answer");
  box.className = found.sure ? "" : "unsure";
  box.dataset["sure"] = String(found.sure);
  write("label", found.sure ? first.label : "Not sure");
  element("label").classList.toggle("long", (found.sure ? first.label : "").length > LONG_LABEL);
  const share = percent(first.share).replace("> ", "above ");
  const sure = share.startsWith("above") ? `with a probability ${share}` : `with a probability of ${share}`;
  write("sub", found.sure ? sure : `perhaps ${first.label}, or none of its labels`);
  showGuesses(found);
  write("took", `${ms(took.net_ms)} for the net on this device, ${ms(took.prepare_ms)} to prepare the image`);
}

/** Colors of boxes, of the labels in turn; those that `predict --draw` has. */
const COLORS = ["#ffb000", "#21a5ff", "#ff4f6d", "#3ddc84", "#c77dff", "#ff7a1a", "#00d5d5", "#f2f24a"];
/** A tag stands inside of a box whose upper side is nearer to the image's than this share of it. */
const NO_ROOM = 0.07;

/** From so many boxes on their tags are smaller. */
const MANY = 10;

function colored(target: HTMLElement, index: number): void {
  target.style.setProperty("--box", COLORS[index % COLORS.length]);
}

/** Draw a detector's boxes on the image, and tell how many there are of what. */
export function showFound(found: readonly FoundBox[], took: Took): void {
  const box = element("answer");
  box.className = "";
  box.dataset["sure"] = "true";
  const words = told(found);
  write("label", words);
  element("label").classList.toggle("long", words.length > LONG_LABEL);
  write("sub", found.length ? `the surest with a score of ${found[0].score.toFixed(2)}` : "no box reaches the score below");
  showCounts(found);
  // The best lie on top.
  element("boxes").replaceChildren(...[...found].reverse().map(drawn));
  element("boxes").classList.toggle("many", found.length > MANY);
  show("boxes", true);
  write("took", `${ms(took.net_ms)} for the net on this device, ${ms(took.prepare_ms)} to prepare the image`);
}

function drawn({ label, index, score, left, top, right, bottom }: FoundBox): HTMLElement {
  const frame = document.createElement("div");
  frame.className = top < NO_ROOM ? "box low" : "box";
  colored(frame, index);
  const sides = { left, top, width: right - left, height: bottom - top };
  for (const [side, share] of Object.entries(sides)) frame.style.setProperty(side, `${(100 * share).toFixed(3)}%`);
  Object.assign(frame.dataset, { label, score: score.toFixed(6) });
  const tag = document.createElement("span");
  tag.textContent = `${label} ${score.toFixed(2)}`;
  frame.append(tag);
  return frame;
}

function showCounts(found: readonly FoundBox[]): void {
  const rows = counted(found).map(({ label, index, count, best }) => {
    const item = guess();
    const [name, number, track] = item.children;
    const dot = document.createElement("i");
    dot.className = "dot";
    colored(dot, index);
    name.append(dot, `${label} × ${count}`);
    number.textContent = best.toFixed(2);
    item.dataset["share"] = best.toFixed(6);
    (track.firstElementChild as HTMLElement).style.width = `${best * 100}%`;
    return item;
  });
  element("guesses").replaceChildren(...rows);
  element("guesses").setAttribute("aria-label", "What was found, with the best score of each");
  show("guesses", rows.length > 0);
}

/** Offer the score from which on boxes count; `act` hears of every change. */
export function offerThreshold(least: number, act: (least: number) => void): void {
  const slider = element<HTMLInputElement>("threshold");
  slider.value = String(least);
  const tell = () => write("least", Number(slider.value).toFixed(2));
  tell();
  slider.addEventListener("input", () => {
    tell();
    act(Number(slider.value));
  });
  element("media").classList.add("placed");
  show("slider", true);
}

function showGuesses(found: Answer): void {
  const list = element("guesses");
  list.hidden = false;
  while (list.children.length < found.top.length && list.children.length < SHOWN) list.append(guess());
  found.top.forEach(({ label, share }, place) => {
    const [name, number, track] = list.children[place].children;
    name.textContent = label;
    number.textContent = percent(share);
    (list.children[place] as HTMLElement).dataset["share"] = share.toFixed(6);
    (track.firstElementChild as HTMLElement).style.width = `${share * 100}%`;
  });
}

function guess(): HTMLLIElement {
  const item = document.createElement("li");
  const [track, fill] = [document.createElement("span"), document.createElement("div")];
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  fill.className = "fill";
  track.append(fill);
  item.append(document.createElement("span"), document.createElement("span"), track);
  return item;
}

/** Say an answer to screen readers. */
export function speak(sentence: string): void {
  write("spoken", sentence);
}

export function waiting(label: string, sub: string): void {
  element("answer").className = "waiting";
  write("label", label);
  write("sub", sub);
  write("took", "");
  show("guesses", false);
  show("boxes", false);
}

/** Mark the part of the image that the net sees, where that is not all of it. */
export function showSeen({ box, width, height }: Prepared): void {
  const seen = element("seen");
  const whole = box.left <= 0.5 && box.top <= 0.5 && box.right >= width - 0.5 && box.bottom >= height - 0.5;
  seen.hidden = whole;
  seen.style.left = `${(100 * box.left) / width}%`;
  seen.style.top = `${(100 * box.top) / height}%`;
  seen.style.width = `${(100 * (box.right - box.left)) / width}%`;
  seen.style.height = `${(100 * (box.bottom - box.top)) / height}%`;
}

export function showDemo({ manifest }: Demo): void {
  const { labels, name } = manifest;
  document.title = `${name} · pocketvision`;
  write("title", name);
  const named = labels.slice(0, NAMED_LABELS).join(", ");
  const more = labels.length > NAMED_LABELS ? `${named} and ${labels.length - NAMED_LABELS} more` : named;
  const kinds = labels.length === 1 ? "1 kind" : `${labels.length} kinds`;
  write("lead", thresholdOf(manifest) === null ? `Tells apart ${kinds} of images: ${more}.` : `Finds ${kinds} of things: ${more}.`);
  show("labels", labels.length > NAMED_LABELS);
  write("all-labels", labels.join(", "));
}

export function showFile({ manifest }: Demo, { file }: Opened): void {
  const { model, precision, image, abstain_below: least, figures } = manifest;
  const figure = figures["test"] ?? figures["validation"];
  const facts: [string, string][] = [
    ["Net", `${model.name} ${model.width}, ${image.resolution} px, ${precision}`],
    ["File", `${file.path}, ${file.size_bytes.toLocaleString("en")} bytes`],
    thresholdOf(manifest) === null
      ? ["Not sure", least === null ? "never: it always answers" : `below a probability of ${percent(least)}`]
      : ["Counts", `from a score of ${thresholdOf(manifest)?.toFixed(2)}, where F1 was best`],
    ["SHA-256", file.sha256.slice(0, 16)],
  ];
  if (figure) facts.splice(2, 0, figured(figure, figures["test"] ? "test" : "validation"));
  element("facts").replaceChildren(...facts.map(([term, text]) => fact(term, text)));
}

function figured(figure: Accuracy, images: string): [string, string] {
  const share = (value: number) => `${(100 * value).toFixed(1)}%`;
  const interval = `between ${share(figure.low)} and ${share(figure.high)}`;
  if (!figure.metric) return [`Right on ${images}`, `${share(figure.value)} of ${figure.count} images, ${interval}`];
  return [`${figure.metric} on ${images}`, `${share(figure.value)}, ${interval}, ${figure.count} images`];
}

function fact(term: string, text: string): HTMLElement {
  const row = document.createElement("div");
  const [name, value] = [document.createElement("dt"), document.createElement("dd")];
  name.textContent = term;
  value.textContent = text;
  row.append(name, value);
  return row;
}

export function showCheck(gap: number | null): void {
  if (gap === null) write("check", "the file holds no probes");
  else if (gap < 0.00005) write("check", "answers as it should", "good");
  else if (gap <= LARGEST_GAP) write("check", `answers as it should (within ${gap.toFixed(4)})`, "good");
  else write("check", `answers otherwise than it should, by up to ${gap.toFixed(3)}`, "bad");
}

export function showKept(kept: Kept): void {
  const words: Record<Kept, string> = {
    kept: "works: page and model stay on this device",
    "no https": "not from this address: it needs one with https",
    "not possible": "not here: this browser keeps nothing for this address",
  };
  write("kept", words[kept], kept === "kept" ? "good" : "");
}

export function showTiming(timing: Timing, threads: number): void {
  const { reference_ms: reference } = timing;
  write("median", ms(timing.median_ms));
  write("p90", ms(timing.p90_ms));
  write("ratio", reference === null ? "–" : `${(timing.median_ms / reference).toFixed(2)} ×`);
  const plural = threads === 1 ? "1 thread" : `${threads} threads`;
  const beside = reference === null ? "" : `; the reference net took ${ms(reference)} in turns with it`;
  write("runs", `The net alone, one image at a time, ${timing.runs} runs on ${plural}${beside}.`);
  write("measured", `Median ${ms(timing.median_ms)}`);
  show("timing", true);
  show("save", true);
}

export function ms(value: number): string {
  const digits = value < 1 ? 2 : value < 20 ? 1 : 0;
  return `${value.toFixed(digits)} ms`;
}
