/** Paths and entry bundles of C2SP tlog-tiles: how a log is laid out as plain immutable files. */
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** Hashes in a full tile, entries in a full entry bundle, and the fan-out from one tile level to the next. */
export const TILE_WIDTH = 256;
/** Levels of nodes in one tile: tile level L holds tree level 8·L. */
export const TILE_HEIGHT = 8;
/** C2SP tlog-tiles allows levels 0 to 63; sizes here are safe integers, so more than six never occur. */
const MAX_LEVEL = 63;

/** A tile, or with level "entries" an entry bundle; `width` 256 when full, 1 to 255 when partial. */
export type TileAddress = { readonly level: number | "entries"; readonly index: number; readonly width: number };

/** Path of the tile at `level` and `index`; partial if `width` is below 256. "tile/0/x001/234.p/17". Throws `tile-path-invalid`. */
export function tilePath(level: number, index: number, width: number = TILE_WIDTH): string {
  if (!Number.isInteger(level) || level < 0 || level > MAX_LEVEL) {
    throw new EvidenceError("tile-path-invalid", `${level} is not a tile level.`);
  }
  return `tile/${level}/${indexPath(index, width)}`;
}

/** Path of the entry bundle at `index`; partial if `width` is below 256. "tile/entries/x001/234". Throws `tile-path-invalid`. */
export function entriesPath(index: number, width: number = TILE_WIDTH): string {
  return `tile/entries/${indexPath(index, width)}`;
}

const TILE_PATH = /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/)*[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** What a tile path names. Accepts exactly what {@link tilePath} and {@link entriesPath} write. Throws `tile-path-invalid`. */
export function parseTilePath(path: string): TileAddress {
  // Bounds the regular expression's work: 53 bits of index are six groups.
  const match = path.length > 64 ? null : TILE_PATH.exec(path);
  const [, levelText, indexText, widthText] = match ?? [];
  if (levelText === undefined || indexText === undefined) throw notATile(path);
  const level = levelText === "entries" ? levelText : Number(levelText);
  const index = Number(indexText.replaceAll(/[x/]/g, ""));
  const width = widthText === undefined ? TILE_WIDTH : Number(widthText);
  if (level !== "entries" && level > MAX_LEVEL) throw notATile(path);
  if (!Number.isSafeInteger(index) || (widthText !== undefined && width >= TILE_WIDTH)) throw notATile(path);
  // One tile, one path: leading groups of zeros and the like do not come back the same.
  const canonical = level === "entries" ? entriesPath(index, width) : tilePath(level, index, width);
  if (canonical !== path) throw notATile(path);
  return { level, index, width };
}

function notATile(path: string): EvidenceError {
  return new EvidenceError("tile-path-invalid", `Not a tile path: ${JSON.stringify(path.slice(0, 100))}.`);
}

function indexPath(index: number, width: number): string {
  if (!Number.isSafeInteger(index) || index < 0)
    throw new EvidenceError("tile-path-invalid", `${index} is not a tile index.`);
  if (!Number.isInteger(width) || width < 1 || width > TILE_WIDTH) {
    throw new EvidenceError("tile-path-invalid", `${width} is not a tile width.`);
  }
  const groups: string[] = [];
  let rest = index;
  do {
    const group = String(rest % 1000).padStart(3, "0");
    groups.unshift(groups.length === 0 ? group : `x${group}`);
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  return groups.join("/") + (width === TILE_WIDTH ? "" : `.p/${width}`);
}

/** An entry bundle: each entry after its length as a big-endian 16-bit number. Throws `entries-invalid`. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length === 0 || entries.length > TILE_WIDTH) {
    throw new EvidenceError(
      "entries-invalid",
      `An entry bundle holds 1 to ${TILE_WIDTH} entries, not ${entries.length}.`,
    );
  }
  let size = 0;
  for (const entry of entries) {
    if (entry.length > LIMITS.entryBytes) {
      throw new EvidenceError(
        "entries-invalid",
        `A log entry has ${entry.length} bytes; ${LIMITS.entryBytes} is the most.`,
      );
    }
    size += 2 + entry.length;
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const entry of entries) {
    view.setUint16(offset, entry.length);
    bytes.set(entry, offset + 2);
    offset += 2 + entry.length;
  }
  return bytes;
}

/** The entries of an entry bundle, 1 to 256 of them. Throws `entries-invalid`. */
export function decodeEntries(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Uint8Array[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    if (entries.length === TILE_WIDTH)
      throw new EvidenceError("entries-invalid", "An entry bundle holds more than 256 entries.");
    if (offset + 2 > bytes.length) throw new EvidenceError("entries-invalid", "An entry bundle ends inside a length.");
    const start = offset + 2;
    const end = start + view.getUint16(offset);
    if (end > bytes.length) throw new EvidenceError("entries-invalid", "An entry bundle ends inside an entry.");
    entries.push(bytes.slice(start, end));
    offset = end;
  }
  if (entries.length === 0) throw new EvidenceError("entries-invalid", "An entry bundle holds no entries.");
  return entries;
}
