import { clean } from "./output.ts";

// Line ends, and characters that are not seen or turn the direction of writing: with them a name could look like another line.
const DECEIVING = /[\t\n\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Text from elsewhere as part of one line: nothing in it can steer the terminal, begin a line or hide. */
export function oneLine(text: string): string {
  return clean(text).replace(DECEIVING, (c) =>
    c === "\n" || c === "\t" ? " " : `\\u{${c.codePointAt(0)?.toString(16)}}`,
  );
}

/** Rows in aligned columns, two spaces apart, deceiving characters made visible; no line ends in spaces. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(oneLine));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Names and values, one a line, the values aligned; an undefined value leaves its line out. */
export function facts(pairs: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined);
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${oneLine(value)}`).join("\n");
}

/** "1 entry", "2 entries": a count with its noun; `plural` where it is not the noun and an s. */
export function quantity(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
