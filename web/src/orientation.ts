// How a stored image must be turned to stand upright: the rule of `images/upright.py`, which is Pillow's. Browsers
// differ in what they heed, so they are given the image without any such mark, and the page turns it.

/** What a file says of itself. */
export interface Stored {
  /** EXIF's number, 1 to 8; 1 is upright. */
  readonly orientation: number;
  /** The same image, with nothing in it that a browser could turn it by. */
  readonly unmarked: Blob;
}

/** Where EXIF and XMP lie in a file; a later block of XMP replaces an earlier one. */
interface Marks {
  exif: Uint8Array | null;
  xmp: string | null;
  /** Parts of the file that are left out, in order. */
  readonly cuts: [number, number][];
  /** Bytes that are written over. */
  readonly patches: [number, ArrayLike<number>][];
}

type Reader = (bytes: Uint8Array<ArrayBuffer>, marks: Marks) => Promise<void> | void;

const TAG = 0x0112;
const TIFF_XMP = 700;
/** Bytes of one value of each TIFF type; 0 for numbers that are no type. */
const SIZES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8];
const [ASCII, SHORT, LONG, SIGNED_BYTE, SIGNED_SHORT, SIGNED_LONG, IFD, LONG_8] = [2, 3, 4, 6, 8, 9, 13, 16];
const EXIF_HEAD = "Exif\0\0";
/** A name that looks like an address; nobody is asked there. */
const XMP_HEAD = ["http:", "", "ns.adobe.com", "xap", "1.0", "\0"].join("/");
const XMP_KEYWORD = "XML:com.adobe.xmp";
const RAW_KEYWORD = "Raw profile type exif";
const [WEBP_XMP, WEBP_EXIF] = [4, 8];

/** Read how an image is stored; one that is of no known kind is left to the browser. */
export async function readStored(file: Blob): Promise<Stored> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const marks: Marks = { exif: null, xmp: null, cuts: [], patches: [] };
  const read = readerOf(bytes);
  if (!read) return { orientation: 1, unmarked: file };
  try {
    await read(bytes, marks);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a cut file: the browser judges it
  }
  const orientation = orientationOf(marks); // before TIFF's own entry is written over
  return { orientation, unmarked: without(bytes, marks, file.type) };
}

function readerOf(bytes: Uint8Array): Reader | null {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return readJpeg;
  if (bytes[0] === 0x89 && text(bytes, 1, 8) === "PNG\r\n\x1a\n") return readPng;
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP") return readWebp;
  return isTiff(bytes) ? readTiff : null;
}

// ---------------------------------------------------------------- files

const readJpeg: Reader = (bytes, marks) => {
  const view = viewOf(bytes);
  const blocks: Uint8Array[] = [];
  for (let place = 2; place + 4 <= bytes.length; ) {
    const marker = bytes[place] === 0xff ? bytes[place + 1] : 0;
    if (marker === 0xda || marker === 0xd9) break;
    const alone = marker === 0 || marker === 1 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd8);
    if (alone) {
      place += marker === 0 || marker === 0xff ? 1 : 2; // padding, or no marker at all
      continue;
    }
    const end = place + 2 + view.getUint16(place + 2);
    if (marker === 0xe1) readApp1(bytes, place, end, marks, blocks);
    place = end;
  }
  if (blocks.length > 0) marks.exif = joined(blocks);
};

function readApp1(bytes: Uint8Array, place: number, end: number, marks: Marks, blocks: Uint8Array[]): void {
  const body = bytes.subarray(place + 4, end);
  // Split over several blocks, EXIF goes on without its head.
  if (starts(body, EXIF_HEAD)) blocks.push(blocks.length === 0 ? body : body.subarray(EXIF_HEAD.length));
  if (starts(body, XMP_HEAD)) marks.xmp = text(body, XMP_HEAD.length);
  if (starts(body, "Exif") || starts(body, "http")) marks.cuts.push([place, end]);
}

const readPng: Reader = async (bytes, marks) => {
  const view = viewOf(bytes);
  for (let place = 8; place + 12 <= bytes.length; ) {
    const [size, name] = [view.getUint32(place), text(bytes, place + 4, place + 8)];
    const body = bytes.subarray(place + 8, place + 8 + size);
    const end = place + 12 + size;
    if (name === "eXIf") marks.exif = body;
    const marked = name === "eXIf" || (await readText(name, body, marks));
    if (marked) marks.cuts.push([place, end]);
    if (name === "IEND") break;
    place = end;
  }
};

/** Read a PNG's text where it is XMP, or EXIF as ImageMagick once wrote it; tell whether it is. */
async function readText(name: string, body: Uint8Array<ArrayBuffer>, marks: Marks): Promise<boolean> {
  if (!["tEXt", "zTXt", "iTXt"].includes(name)) return false;
  const keyword = text(body, 0, body.indexOf(0));
  if (keyword !== XMP_KEYWORD && keyword !== RAW_KEYWORD) return false;
  let from = keyword.length + 1;
  let packed = name === "zTXt";
  if (name === "iTXt") {
    packed = body[from] !== 0;
    from = body.indexOf(0, body.indexOf(0, from + 2) + 1) + 1; // after the language and the translated keyword
  } else if (packed) from += 1;
  const value = text(packed ? await inflated(body.subarray(from)) : body.subarray(from));
  if (keyword === XMP_KEYWORD) marks.xmp = value;
  else marks.exif ??= hexadecimal(value.split("\n").slice(3).join(""));
  return true;
}

const readWebp: Reader = (bytes, marks) => {
  if (text(bytes, 12, 16) !== "VP8X") return;
  const [view, flags] = [viewOf(bytes), bytes[20]];
  for (let place = 12; place + 8 <= bytes.length; ) {
    const [size, name] = [view.getUint32(place + 4, true), text(bytes, place, place + 4)];
    const body = bytes.subarray(place + 8, place + 8 + size);
    if (name === "EXIF" && flags & WEBP_EXIF) marks.exif ??= body;
    if (name === "XMP " && flags & WEBP_XMP) marks.xmp ??= text(body);
    if (name === "EXIF" || name === "XMP ") marks.patches.push([place, [0x6e, 0x6f, 0x6e, 0x65]]); // "none"
    place += 8 + size + (size & 1);
  }
};

const readTiff: Reader = (bytes, marks) => {
  marks.exif = bytes;
  const entries = new Entries(bytes);
  const found = entries.find(TAG);
  const one = entries.little ? [SHORT, 0, 1, 0, 0, 0, 1, 0, 0, 0] : [0, SHORT, 0, 0, 0, 1, 0, 1, 0, 0];
  if (found) marks.patches.push([found.entry + 2, one]);
  const xmp = entries.find(TIFF_XMP);
  if (!xmp) return;
  marks.xmp = text(bytes, xmp.start, xmp.start + xmp.size);
  marks.patches.push([xmp.start, new Uint8Array(xmp.size)]);
};

// ---------------------------------------------------------------- EXIF and XMP

function orientationOf({ exif, xmp }: Marks): number {
  try {
    const found = (exif && exifOrientation(exif)) ?? Number(/tiff:Orientation(?:="|>)([0-9])/.exec(xmp ?? "")?.[1]);
    return found >= 1 && found <= 8 ? found : 1;
  } catch (error) {
    if (error instanceof RangeError) return 1; // damaged EXIF: the image itself is whole
    throw error;
  }
}

/** What EXIF says, null where it does not speak of orientation. */
function exifOrientation(exif: Uint8Array): number | null {
  const body = exif.subarray(starts(exif, EXIF_HEAD + EXIF_HEAD) ? 12 : starts(exif, EXIF_HEAD) ? 6 : 0);
  if (body.length === 0) return null;
  return new Entries(body).find(TAG)?.number() ?? null;
}

function isTiff(bytes: Uint8Array): boolean {
  return ["II*\0", "MM\0*", "II\0*", "MM*\0"].includes(text(bytes, 0, 4));
}

interface Entry {
  /** Where its 12 bytes begin. */
  readonly entry: number;
  readonly start: number;
  readonly size: number;
  /** Its first value, 0 where that is no whole number. */
  number(): number;
}

/** The first directory of a TIFF, which is what EXIF is. */
class Entries {
  readonly little: boolean;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    if (!isTiff(bytes)) throw new RangeError("no TIFF");
    this.view = viewOf(bytes);
    this.little = bytes[0] === 0x49;
  }

  /** Find a tag; as in Pillow, a value that lies outside ends the search. */
  find(tag: number): Entry | null {
    const { view, little, bytes } = this;
    const first = view.getUint32(4, little);
    if (first + 2 > bytes.length) return null;
    let total = 0;
    for (let left = view.getUint16(first, little), entry = first + 2; left > 0; left--, entry += 12) {
      if (entry + 12 > bytes.length) return null;
      const type = view.getUint16(entry + 2, little);
      const size = view.getUint32(entry + 4, little) * (SIZES[type] ?? 0);
      if (size === 0) continue;
      let start = entry + 8;
      if (size > 4) {
        total += size;
        if (total > bytes.length) continue;
        start = view.getUint32(entry + 8, little);
        if (start + size > bytes.length) return null;
      }
      if (view.getUint16(entry, little) !== tag) continue;
      return { entry, start, size, number: () => this.number(type, start, size) };
    }
    return null;
  }

  private number(type: number, start: number, size: number): number {
    const { view, little, bytes } = this;
    if (type === ASCII) {
      const word = text(bytes, start, start + size).replace(/\0$/, "");
      return /^[1-8]$/.test(word) ? Number(word) : 0;
    }
    if (type === SHORT) return view.getUint16(start, little);
    if (type === LONG || type === IFD) return view.getUint32(start, little);
    if (type === SIGNED_BYTE) return view.getInt8(start);
    if (type === SIGNED_SHORT) return view.getInt16(start, little);
    if (type === SIGNED_LONG) return view.getInt32(start, little);
    return type === LONG_8 ? Number(view.getBigUint64(start, little)) : 0;
  }
}

// ---------------------------------------------------------------- bytes

function without(bytes: Uint8Array<ArrayBuffer>, { cuts, patches }: Marks, type: string): Blob {
  for (const [place, value] of patches) bytes.set(value, place);
  let from = 0;
  const parts = cuts.map(([start, end]) => {
    const part = bytes.subarray(from, start);
    from = end;
    return part;
  });
  return new Blob([...parts, bytes.subarray(from)], { type });
}

async function inflated(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer().then(
    (content) => new Uint8Array(content),
    () => new Uint8Array(), // damaged: as if it were empty
  );
}

function hexadecimal(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/[\da-f]{2}/gi) ?? [], (pair) => Number.parseInt(pair, 16));
}

function joined(blocks: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function starts(bytes: Uint8Array, head: string): boolean {
  return text(bytes, 0, head.length) === head;
}

/** Bytes as characters, one each; only ASCII is compared. */
function text(bytes: Uint8Array, from = 0, to = bytes.length): string {
  return new TextDecoder("latin1").decode(bytes.subarray(Math.max(from, 0), Math.max(to, 0)));
}
