/** Reading the output of `strace -f -yy -xx -o FILE`: which system call began and ended where, with all of its data. */

/** One system call of the traced process. */
export interface Call {
  readonly thread: number;
  readonly name: string;
  /** The arguments as strace prints them, top-level commas split. */
  readonly args: readonly string[];
  /** What it returned; undefined when the process ended in it. */
  readonly result: number | undefined;
  /**
   * Positions in the trace of its beginning and its end. The kernel does the work between the two: what ended before another call began
   * happened before it.
   */
  readonly begin: number;
  readonly end: number;
  /** What strace says behind the result: what a new file descriptor is, or an error's name. */
  readonly tail: string;
}

export class TraceError extends Error {}

const WHOLE = /^(\d+) +(\w+)\((.*)\) += +(-?\d+|\?|0x[0-9a-f]+)(.*)$/s;
const UNFINISHED = /^(\d+) +(\w+)\((.*?)(?:,)? <unfinished \.\.\.>$/s;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/s;
const OTHER = /^(\d+) +(\+\+\+|---) /;

/**
 * The calls of a trace, in the order of their ends. Calls that did not end (the process was killed in them) come last.
 *
 * @throws TraceError at a line that is none of strace's.
 */
export function readCalls(trace: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<number, { name: string; text: string; begin: number }>();
  const ended = (
    thread: number,
    name: string,
    text: string,
    begin: number,
    end: number,
    tail: [string, string],
  ): void => {
    const [result, rest] = tail;
    calls.push({
      thread,
      name,
      args: splitArguments(text),
      result: result === "?" ? undefined : Number(result),
      begin,
      end,
      tail: rest.trim(),
    });
  };
  const lines = trace.split("\n");
  // A kill may leave half a line.
  lines.pop();
  for (const [position, line] of lines.entries()) {
    if (OTHER.test(line)) continue;
    const resumed = RESUMED.exec(line);
    if (resumed !== null) {
      const [, thread = "", name = "", rest = ""] = resumed;
      const begun = open.get(Number(thread));
      const whole = /^(.*)\) += +(-?\d+|\?|0x[0-9a-f]+)(.*)$/s.exec(rest);
      if (begun?.name !== name || whole === null) throw new TraceError(`line ${position + 1} resumes nothing: ${line}`);
      open.delete(Number(thread));
      const [, more = "", result = "", tail = ""] = whole;
      ended(Number(thread), name, begun.text + more, begun.begin, position, [result, tail]);
      continue;
    }
    const unfinished = UNFINISHED.exec(line);
    if (unfinished !== null) {
      const [, thread = "", name = "", text = ""] = unfinished;
      open.set(Number(thread), { name, text, begin: position });
      continue;
    }
    const whole = WHOLE.exec(line);
    if (whole === null) throw new TraceError(`line ${position + 1} is no call: ${line.slice(0, 200)}`);
    const [, thread = "", name = "", text = "", result = "", tail = ""] = whole;
    ended(Number(thread), name, text, position, position, [result, tail]);
  }
  for (const [thread, { name, text, begin }] of open) ended(thread, name, text, begin, lines.length, ["?", ""]);
  return calls;
}

/** Splits at commas outside strings, brackets and the decorations that `-yy` puts behind file descriptors. */
function splitArguments(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text[at]) {
      case '"': {
        // With -xx a string holds hexadecimal escapes only, so its end is the next quote.
        at = text.indexOf('"', at + 1);
        if (at === -1) throw new TraceError(`a string does not end: ${text.slice(0, 200)}`);
        break;
      }
      case "(":
      case "[":
      case "{":
      case "<":
        depth += 1;
        break;
      case ")":
      case "]":
      case "}":
        depth -= 1;
        break;
      case ">":
        // `->` stands between a socket's two addresses.
        if (text[at - 1] !== "-") depth -= 1;
        break;
      case ",":
        if (depth === 0) {
          parts.push(text.slice(from, at).trim());
          from = at + 1;
        }
        break;
      default:
    }
  }
  parts.push(text.slice(from).trim());
  return parts;
}

/** The bytes of a string argument. @throws TraceError when strace cut it short (`-s` is too small). */
export function bytesOf(argument: string): Buffer {
  const match = /^"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?$/.exec(argument);
  if (match === null || match[2] !== undefined)
    throw new TraceError(`not a whole string in hexadecimal: ${argument.slice(0, 100)}`);
  return Buffer.from((match[1] ?? "").replaceAll("\\x", ""), "hex");
}

/** A path argument. */
export function pathOf(argument: string): string {
  return bytesOf(argument).toString();
}

/** The bytes of an iovec array, as `writev` has it. */
export function iovecOf(argument: string): Buffer {
  const pieces = [...argument.matchAll(/iov_base=("(?:\\x[0-9a-f]{2})*"(?:\.\.\.)?)/g)];
  if (pieces.length === 0) throw new TraceError(`no iovec: ${argument.slice(0, 100)}`);
  return Buffer.concat(pieces.map(([, text = ""]) => bytesOf(text)));
}

/** A file descriptor's number, and what `-yy` says it is. */
export function descriptorOf(argument: string): { readonly number: number; readonly what: string } {
  const match = /^(-?\d+|AT_FDCWD)(?:<(.*)>(?:\(deleted\))?)?$/s.exec(argument);
  if (match === null) throw new TraceError(`no file descriptor: ${argument.slice(0, 100)}`);
  const [, number = "", what = ""] = match;
  return {
    number: number === "AT_FDCWD" ? -100 : Number(number),
    what: what.replace(/(?:\\x[0-9a-f]{2})+/g, (hex) => Buffer.from(hex.replaceAll("\\x", ""), "hex").toString()),
  };
}
