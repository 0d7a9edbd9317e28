const LINE_FEED = 0x0a;

/** The lines of a JSON Lines document (https://jsonlines.org) that hold something, without what ends them. Memory is shared with the bytes. */
export function* evidenceLines(bytes: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  while (start < bytes.length) {
    const found = bytes.indexOf(LINE_FEED, start);
    const end = found === -1 ? bytes.length : found;
    const line = trimmed(bytes.subarray(start, end));
    if (line.length > 0) yield line;
    start = end + 1;
  }
}

/** A line of a stream: its number in the file, the first being 1, and its bytes; undefined when it is longer than the limit. */
export interface NumberedLine {
  readonly line: number;
  readonly bytes: Uint8Array | undefined;
}

/**
 * The lines of a stream as they come, empty ones left out. Of a line longer than `maxBytes` nothing is kept but its number: memory stays
 * within one line whatever comes.
 */
export async function* streamedLines(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<NumberedLine, void> {
  let kept: Uint8Array[] = [];
  let size = 0;
  let line = 1;
  const keep = (piece: Uint8Array): void => {
    size += piece.length;
    if (size > maxBytes) kept = [];
    // A copy: the chunk's memory is the stream's.
    else if (piece.length > 0) kept.push(piece.slice());
  };
  const ended = (): NumberedLine | undefined => {
    const bytes = size > maxBytes ? undefined : trimmed(Buffer.concat(kept));
    const number = line++;
    kept = [];
    size = 0;
    return bytes?.length === 0 ? undefined : { line: number, bytes };
  };
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      keep(chunk.subarray(start, end));
      start = end + 1;
      const found = ended();
      if (found !== undefined) yield found;
    }
    keep(chunk.subarray(start));
  }
  const last = ended();
  if (last !== undefined) yield last;
}

/** Lines together, at most so many, and no more than one behind `maxBytes` of them: what is worked on at once has bounded memory. */
export async function* lineGroups(
  lines: AsyncIterable<NumberedLine>,
  { count, maxBytes }: { readonly count: number; readonly maxBytes: number },
): AsyncGenerator<NumberedLine[], void> {
  let group: NumberedLine[] = [];
  let held = 0;
  for await (const line of lines) {
    group.push(line);
    held += line.bytes?.length ?? 0;
    if (group.length < count && held < maxBytes) continue;
    yield group;
    group = [];
    held = 0;
  }
  if (group.length > 0) yield group;
}

/** Without the blanks that JSON allows around a value. */
function trimmed(line: Uint8Array): Uint8Array {
  const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;
  let start = 0;
  let end = line.length;
  while (start < end && isBlank(line[start])) start++;
  while (end > start && isBlank(line[end - 1])) end--;
  return line.subarray(start, end);
}
