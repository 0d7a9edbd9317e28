/** From system calls to what they do to a disk, and to the answers that went out: one ordered list. */
import { bytesOf, type Call, descriptorOf, iovecOf, pathOf, TraceError } from "./calls.ts";

/** What happened at one moment. Only what succeeded is here; paths are relative to the data directory, which is "". */
export type Step =
  | {
      readonly kind: "open";
      readonly descriptor: number;
      readonly path: string;
      readonly create: boolean;
      readonly truncate: boolean;
      readonly append: boolean;
    }
  | { readonly kind: "close"; readonly descriptor: number }
  | { readonly kind: "duplicate"; readonly from: number; readonly to: number }
  /** At `offset`, or where the descriptor stands. */
  | { readonly kind: "write"; readonly descriptor: number; readonly bytes: Buffer; readonly offset: number | undefined }
  | { readonly kind: "seek"; readonly descriptor: number; readonly offset: number }
  | { readonly kind: "resize"; readonly file: number | string; readonly size: number }
  /** The whole of one file becomes that of another (FICLONE, or copy_file_range from its start). */
  | { readonly kind: "copy"; readonly from: number; readonly to: number; readonly bytes: number | undefined }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "link"; readonly from: string; readonly to: string }
  | { readonly kind: "unlink"; readonly path: string }
  | { readonly kind: "mkdir"; readonly path: string }
  | { readonly kind: "rmdir"; readonly path: string }
  /** A sync covers what was done before it began, once it has ended. */
  | { readonly kind: "sync-begin"; readonly descriptor: number; readonly sync: number }
  | { readonly kind: "sync-end"; readonly sync: number }
  /** A client's connection was taken; `client` is its port. */
  | { readonly kind: "accept"; readonly client: number }
  /** The first bytes of an answer were on their way. */
  | { readonly kind: "answer"; readonly client: number; readonly status: number };

export interface TimedStep {
  /** The line of the trace. */
  readonly position: number;
  readonly step: Step;
}

/** Calls that are traced and change nothing that matters here. */
const HARMLESS = new Set(["accept"]);

/** What the model of the disk does not know: a trace with one of these in the data directory cannot be replayed. */
const UNKNOWN = new Set([
  "pwritev",
  "pwritev2",
  "sendfile",
  "splice",
  "fallocate",
  "symlink",
  "symlinkat",
  "io_uring_enter",
]);

/** The system calls to trace. */
export const TRACED: readonly string[] = [
  "open openat openat2 creat close dup dup2 dup3 fcntl lseek",
  "write pwrite64 writev pwritev pwritev2 sendfile splice copy_file_range ioctl ftruncate truncate fallocate",
  "rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir mkdir mkdirat",
  "fsync fdatasync sync_file_range syncfs sync accept accept4 sendto sendmsg",
].flatMap((names) => names.split(" "));

/**
 * Puts calls into the order of their effects. A change counts when its call has ended; an answer, a closing and the start of a sync when
 * theirs begins: whatever the true order within a call was, the model believes the disk has less and the client knows more.
 *
 * @param directory the data directory, absolute.
 * @throws TraceError at a call in the data directory that the model of the disk does not know.
 */
export function stepsOf(calls: readonly Call[], directory: string): TimedStep[] {
  const steps: TimedStep[] = [];
  /** Descriptors of files in the data directory. */
  const files = new Set<number>();
  const within = (path: string): string | undefined => {
    if (path === directory) return "";
    return path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : undefined;
  };
  let syncs = 0;
  // Closing is seen where it begins: the number may be given out again before the closing ends.
  const moments = calls
    .map((call) => ({ call, at: isEarly(call) ? call.begin : call.end }))
    .toSorted((left, right) => left.at - right.at);
  for (const { call, at } of moments) {
    const { name, args, result } = call;
    const [first = "", second = "", third = "", fourth = ""] = args;
    const add = (step: Step, position = at): void => {
      steps.push({ position, step });
    };
    if (isSync(name)) {
      if (!files.has(descriptorOf(first).number)) continue;
      add({ kind: "sync-begin", descriptor: descriptorOf(first).number, sync: syncs }, call.begin);
      if (result === 0) add({ kind: "sync-end", sync: syncs }, call.end);
      syncs += 1;
      continue;
    }
    if (result === undefined || result < 0) continue;
    /** A path argument behind a directory descriptor. */
    const at2 = (folder: string, text: string): string | undefined => {
      const path = pathOf(text);
      return within(path.startsWith("/") ? path : `${descriptorOf(folder).what}/${path}`);
    };
    const open = (path: string | undefined, flags: string): void => {
      if (path === undefined) return;
      files.add(result);
      add({
        kind: "open",
        descriptor: result,
        path,
        create: flags.includes("O_CREAT"),
        truncate: flags.includes("O_TRUNC"),
        append: flags.includes("O_APPEND"),
      });
    };
    const rename = (from: string | undefined, to: string | undefined): void => {
      if (from === undefined && to === undefined) return;
      if (from === undefined || to === undefined) throw new TraceError(`${name} across the data directory's border`);
      add({ kind: name.startsWith("link") ? "link" : "rename", from, to });
    };
    const write = (bytes: () => Buffer, offset: number | undefined): void => {
      const { number, what } = descriptorOf(first);
      if (files.has(number)) add({ kind: "write", descriptor: number, bytes: bytes().subarray(0, result), offset });
      else answer(what, bytes, add);
    };
    const change = (kind: "unlink" | "mkdir" | "rmdir", path: string | undefined): void => {
      if (path !== undefined) add({ kind, path });
    };
    switch (name) {
      case "open":
        open(within(pathOf(first)), second);
        break;
      case "openat":
      case "openat2":
        open(at2(first, second), third);
        break;
      case "creat":
        open(within(pathOf(first)), "O_CREAT|O_TRUNC");
        break;
      case "close":
        if (files.delete(descriptorOf(first).number)) add({ kind: "close", descriptor: descriptorOf(first).number });
        break;
      case "fcntl":
      case "dup":
      case "dup2":
      case "dup3": {
        if (name === "fcntl" && !second.startsWith("F_DUPFD")) break;
        const from = descriptorOf(first).number;
        files.delete(result);
        if (!files.has(from)) break;
        files.add(result);
        add({ kind: "duplicate", from, to: result });
        break;
      }
      case "write":
        write(() => bytesOf(second), undefined);
        break;
      case "pwrite64":
        write(() => bytesOf(second), Number(fourth));
        break;
      case "writev":
        write(() => iovecOf(second), undefined);
        break;
      case "sendto":
      case "sendmsg":
        // Node answers with write and writev; these go to other sockets (name service, processes of a cluster).
        break;
      case "lseek":
        if (files.has(descriptorOf(first).number))
          add({ kind: "seek", descriptor: descriptorOf(first).number, offset: result });
        break;
      case "ftruncate":
        if (files.has(descriptorOf(first).number))
          add({ kind: "resize", file: descriptorOf(first).number, size: Number(second) });
        break;
      case "truncate": {
        const path = within(pathOf(first));
        if (path !== undefined) add({ kind: "resize", file: path, size: Number(second) });
        break;
      }
      case "ioctl":
        if (second.includes("FICLONE") && files.has(descriptorOf(first).number)) {
          add({ kind: "copy", from: descriptorOf(third).number, to: descriptorOf(first).number, bytes: undefined });
        }
        break;
      case "copy_file_range":
        if (files.has(descriptorOf(third).number)) {
          add({ kind: "copy", from: descriptorOf(first).number, to: descriptorOf(third).number, bytes: result });
        }
        break;
      case "rename":
      case "link":
        rename(within(pathOf(first)), within(pathOf(second)));
        break;
      case "renameat":
      case "renameat2":
      case "linkat":
        rename(at2(first, second), at2(third, fourth));
        break;
      case "unlink":
        change("unlink", within(pathOf(first)));
        break;
      case "unlinkat":
        change(third.includes("AT_REMOVEDIR") ? "rmdir" : "unlink", at2(first, second));
        break;
      case "rmdir":
        change("rmdir", within(pathOf(first)));
        break;
      case "mkdir":
        change("mkdir", within(pathOf(first)));
        break;
      case "mkdirat":
        change("mkdir", at2(first, second));
        break;
      case "accept4": {
        const client = clientPort(call.tail);
        if (client !== undefined) add({ kind: "accept", client });
        break;
      }
      default: {
        if (HARMLESS.has(name)) break;
        if (UNKNOWN.has(name) && !args.some((text) => text.includes(hex(directory)) || text.includes(directory))) break;
        throw new TraceError(`the model of the disk does not know ${name}(${args.join(", ").slice(0, 200)})`);
      }
    }
  }
  return steps.toSorted((left, right) => left.position - right.position);
}

function hex(text: string): string {
  return [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

function isSync(name: string): boolean {
  return name === "fsync" || name === "fdatasync";
}

/** Whether a call counts from its beginning. */
function isEarly(call: Call): boolean {
  if (call.name === "close") return true;
  return (call.name === "write" || call.name === "writev") && clientPort(call.args[0] ?? "") !== undefined;
}

/** The client's port in `<TCP:[127.0.0.1:8400->127.0.0.1:40058]>`. */
function clientPort(text: string): number | undefined {
  const match = /TCP(?:v6)?:\[[^\]]*->[^\]]*:(\d+)\]/.exec(text);
  return match === null ? undefined : Number(match[1]);
}

/** Adds a step when what is written to a socket is the head of a final answer. */
function answer(what: string, bytes: () => Buffer, add: (step: Step) => void): void {
  const client = clientPort(what);
  if (client === undefined) return;
  const status = /^HTTP\/1\.1 ([2-5]\d\d) /.exec(bytes().subarray(0, 20).toString("latin1"));
  if (status !== null) add({ kind: "answer", client, status: Number(status[1]) });
}
