// What the page shows: the answer with its bars, the image with what the net sees of it, facts and figures.

import { percent, SHOWN, type Answer } from "./answer";
import { told as named, type Attribute } from "./attributes";
import { thresholdOf, thresholdsOf, type Accuracy, type Demo } from "./demo";
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

/** Show a bar for each attribute, marked where it begins to count. */
export function showAttributes(found: readonly Attribute[], took: Took): void {
  const box = element("answer");
  box.className = "";
  box.dataset["sure"] = "true";
  const words = named(found);
  write("label", words);
  element("label").classList.toggle("long", words.length > LONG_LABEL);
  const there = found.filter((one) => one.there).length;
  write("sub", `${there} of ${found.length === 1 ? "1 attribute" : `${found.length} attributes`}, each from its own probability on`);
  const list = element("guesses");
  list.classList.add("each");
  list.setAttribute("aria-label", "Attributes, with the probability of each and that from which on it is there");
  while (list.children.length < found.length) list.append(marked());
  found.forEach((one, place) => showAttribute(list.children[place] as HTMLElement, one));
  show("guesses", true);
  write("took", `${ms(took.net_ms)} for the net on this device, ${ms(took.prepare_ms)} to prepare the image`);
}

function showAttribute(item: HTMLElement, { label, share, least, there }: Attribute): void {
  const [name, number, track] = item.children;
  const [fill, mark] = track.children;
  item.classList.toggle("there", there);
  item.dataset["share"] = share.toFixed(6);
  name.textContent = label;
  number.textContent = `${percent(share)} ${there ? "≥" : "<"} ${percent(least)}`;
  (fill as HTMLElement).style.width = `${share * 100}%`;
  (mark as HTMLElement).style.left = `${least * 100}%`;
}

function marked(): HTMLLIElement {
  const item = guess();
  const mark = document.createElement("i");
  mark.className = "mark";
  item.children[2].append(mark);
  return item;
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
  write("lead", leadOf(manifest, more));
  show("labels", labels.length > NAMED_LABELS);
  write("all-labels", labels.join(", "));
}

function leadOf(manifest: Demo["manifest"], named: string): string {
  const count = manifest.labels.length;
  const kinds = count === 1 ? "1 kind" : `${count} kinds`;
  if (thresholdsOf(manifest) !== null) return `Tells of each image which ${count === 1 ? "attribute" : "attributes"} it has: ${named}.`;
  return thresholdOf(manifest) === null ? `Tells apart ${kinds} of images: ${named}.` : `Finds ${kinds} of things: ${named}.`;
}

/** Name and words of the row that says when an answer counts. */
function ruleOf(manifest: Demo["manifest"]): [string, string] {
  const { abstain_below: least, labels } = manifest;
  const [score, thresholds] = [thresholdOf(manifest), thresholdsOf(manifest)];
  if (score !== null) return ["Counts", `from a score of ${score.toFixed(2)}, where F1 was best`];
  if (thresholds === null) return ["Not sure", least === null ? "never: it always answers" : `below a probability of ${percent(least)}`];
  const each = labels.map((label, place) => `${label} ${percent(thresholds[place] ?? 0.5)}`).join(", ");
  return ["Counts", labels.length > NAMED_LABELS ? "each from its own probability, marked on its bar" : `from a probability of: ${each}`];
}

export function showFile({ manifest }: Demo, { file }: Opened): void {
  const { model, precision, image, figures } = manifest;
  const figure = figures["test"] ?? figures["validation"];
  const facts: [string, string][] = [
    ["Net", `${model.name} ${model.width}, ${image.resolution} px, ${precision}`],
    ["File", `${file.path}, ${file.size_bytes.toLocaleString("en")} bytes`],
    ruleOf(manifest),
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
