/**
 * A disk that keeps what it must and no more: a file's bytes once the file was synced, a name once its directory was. Everything else is
 * pending, and a crash may take it or leave it.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Step } from "./steps.ts";

/** What a crash leaves of what was not synced. */
export type Loss =
  /** Nothing: the power failed. */
  | { readonly kind: "unsynced-lost" }
  /** All of it: only the process died. */
  | { readonly kind: "nothing-lost" }
  /** Some of it, by chance: whole writes or single 512-byte sectors; a directory's changes up to one of them, or any of them. */
  | { readonly kind: "some-lost"; readonly random: () => number };

const SECTOR = 512;

/** Bytes that grow. */
class Content {
  #bytes = Buffer.alloc(0);
  #size = 0;

  write(offset: number, bytes: Uint8Array): void {
    this.#reserve(offset + bytes.length);
    this.#bytes.set(bytes, offset);
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  resize(size: number): void {
    this.#reserve(size);
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    this.#size = size;
  }

  get size(): number {
    return this.#size;
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  copy(): Content {
    const copy = new Content();
    copy.write(0, this.bytes());
    return copy;
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(size, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#size);
    this.#bytes = larger;
  }
}

type FileChange =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: "resize"; readonly size: number };

type EntryChange =
  | { readonly kind: "set"; readonly name: string; readonly node: Node }
  | { readonly kind: "remove"; readonly name: string }
  /** A rename within the directory: both or neither. */
  | { readonly kind: "move"; readonly from: string; readonly to: string; readonly node: Node };

type Entries = Map<string, Node>;

/** One file or directory: what is on the disk, what a reader sees, and the changes between the two, oldest first. */
abstract class Pending<Change, State> {
  readonly durable: State;
  readonly now: State;
  readonly pending: Change[] = [];
  /** Changes ever made durable; a sync names those it covers by their count since the beginning. */
  #settled = 0;

  constructor(durable: State, now: State) {
    this.durable = durable;
    this.now = now;
  }

  protected abstract apply(state: State, change: Change): void;

  change(change: Change): void {
    this.apply(this.now, change);
    this.pending.push(change);
  }

  /** Changes made so far. */
  get issued(): number {
    return this.#settled + this.pending.length;
  }

  /** A sync that began when `issued` changes had been made has ended. */
  settle(issued: number): void {
    for (; this.#settled < issued; this.#settled += 1) {
      const change = this.pending.shift();
      if (change !== undefined) this.apply(this.durable, change);
    }
  }
}

class FileNode extends Pending<FileChange, Content> {
  readonly kind = "file";

  constructor() {
    super(new Content(), new Content());
  }

  protected apply(state: Content, change: FileChange): void {
    if (change.kind === "write") state.write(change.offset, change.bytes);
    else state.resize(change.size);
  }

  after(loss: Loss): Content {
    if (loss.kind === "unsynced-lost") return this.durable;
    if (loss.kind === "nothing-lost") return this.now;
    const content = this.durable.copy();
    for (const change of this.pending) {
      const fate = loss.random();
      if (fate < 0.35) this.apply(content, change);
      else if (fate < 0.7 && change.kind === "write") tear(content, change, loss.random);
    }
    return content;
  }
}

/** Some sectors of a write, and its length. */
function tear(
  content: Content,
  write: { readonly offset: number; readonly bytes: Buffer },
  random: () => number,
): void {
  const end = write.offset + write.bytes.length;
  content.resize(Math.max(content.size, end));
  for (let at = write.offset; at < end; ) {
    const next = Math.min(end, (Math.floor(at / SECTOR) + 1) * SECTOR);
    if (random() < 0.5) content.write(at, write.bytes.subarray(at - write.offset, next - write.offset));
    at = next;
  }
}

class DirectoryNode extends Pending<EntryChange, Entries> {
  readonly kind = "directory";

  constructor() {
    super(new Map(), new Map());
  }

  protected apply(entries: Entries, change: EntryChange): void {
    switch (change.kind) {
      case "set":
        entries.set(change.name, change.node);
        break;
      case "remove":
        entries.delete(change.name);
        break;
      case "move":
        if (entries.get(change.from) === change.node) entries.delete(change.from);
        entries.set(change.to, change.node);
        break;
    }
  }

  after(loss: Loss): Entries {
    if (loss.kind === "unsynced-lost") return this.durable;
    if (loss.kind === "nothing-lost") return this.now;
    const entries = new Map(this.durable);
    const fate = loss.random();
    const kept = Math.floor(loss.random() * (this.pending.length + 1));
    for (const [index, change] of this.pending.entries()) {
      // In the order they were made up to some moment, as journals keep them; now and then any of them, as nothing forbids.
      if (fate < 0.75 ? index < kept : loss.random() < 0.5) this.apply(entries, change);
    }
    return entries;
  }
}

type Node = FileNode | DirectoryNode;

/** The data directory on such a disk. The directory itself is there and durable from the beginning. */
export class SimulatedDisk {
  readonly #root = new DirectoryNode();
  readonly #descriptors = new Map<number, { node: Node; position: number; append: boolean }>();
  readonly #syncs = new Map<number, { node: Node; issued: number }>();

  /** Lets one step happen. @throws Error when it does not fit what is there: then the trace or the model is wrong. */
  apply(step: Step): void {
    switch (step.kind) {
      case "open": {
        let node = this.#find(step.path);
        if (node === undefined) {
          if (!step.create) throw new Error(`${step.path} was opened and is not there`);
          node = new FileNode();
          const { parent, name } = this.#parent(step.path);
          parent.change({ kind: "set", name, node });
        }
        if (node.kind === "file" && step.truncate && node.now.size > 0) node.change({ kind: "resize", size: 0 });
        this.#descriptors.set(step.descriptor, { node, position: 0, append: step.append });
        break;
      }
      case "close":
        this.#descriptors.delete(step.descriptor);
        break;
      case "duplicate":
        this.#descriptors.set(step.to, this.#opened(step.from));
        break;
      case "write": {
        const opened = this.#opened(step.descriptor);
        const node = asFile(opened.node);
        const offset = step.offset ?? (opened.append ? node.now.size : opened.position);
        node.change({ kind: "write", offset, bytes: step.bytes });
        if (step.offset === undefined) opened.position = offset + step.bytes.length;
        break;
      }
      case "seek":
        this.#opened(step.descriptor).position = step.offset;
        break;
      case "resize": {
        const node = typeof step.file === "number" ? this.#opened(step.file).node : this.#at(step.file);
        asFile(node).change({ kind: "resize", size: step.size });
        break;
      }
      case "copy": {
        const [from, to] = [this.#opened(step.from), this.#opened(step.to)];
        const start = step.bytes === undefined ? 0 : from.position;
        const source = asFile(from.node).now.bytes();
        const bytes = Buffer.from(source.subarray(start, start + (step.bytes ?? source.length)));
        asFile(to.node).change({ kind: "write", offset: step.bytes === undefined ? 0 : to.position, bytes });
        if (step.bytes !== undefined) {
          from.position += step.bytes;
          to.position += step.bytes;
        }
        break;
      }
      case "rename": {
        const node = this.#at(step.from);
        // Two names of one file: nothing happens (POSIX, rename).
        if (this.#find(step.to) === node) break;
        const [from, to] = [this.#parent(step.from), this.#parent(step.to)];
        if (from.parent === to.parent) {
          from.parent.change({ kind: "move", from: from.name, to: to.name, node });
        } else {
          // Nothing promises that the two halves reach the disk together.
          to.parent.change({ kind: "set", name: to.name, node });
          from.parent.change({ kind: "remove", name: from.name });
        }
        break;
      }
      case "link": {
        const { parent, name } = this.#parent(step.to);
        parent.change({ kind: "set", name, node: this.#at(step.from) });
        break;
      }
      case "unlink":
      case "rmdir": {
        const { parent, name } = this.#parent(step.path);
        parent.change({ kind: "remove", name });
        break;
      }
      case "mkdir": {
        if (step.path === "") break;
        const { parent, name } = this.#parent(step.path);
        parent.change({ kind: "set", name, node: new DirectoryNode() });
        break;
      }
      case "sync-begin": {
        const { node } = this.#opened(step.descriptor);
        this.#syncs.set(step.sync, { node, issued: node.issued });
        break;
      }
      case "sync-end": {
        const sync = this.#syncs.get(step.sync);
        if (sync === undefined) throw new Error(`sync ${step.sync} ended and never began`);
        this.#syncs.delete(step.sync);
        sync.node.settle(sync.issued);
        break;
      }
      case "accept":
      case "answer":
        break;
    }
  }

  /** The process ended, however: what it had open is closed. What was pending is still pending. */
  processEnded(): void {
    this.#descriptors.clear();
    this.#syncs.clear();
  }

  /** The present name of what a descriptor is of; undefined when it has none any more. */
  descriptorPath(descriptor: number): string | undefined {
    const node = this.#descriptors.get(descriptor)?.node;
    return node === undefined ? undefined : pathTo(this.#root, node);
  }

  /** What a power loss now could take: files by their paths, and directories, with a slash at the end, in which names are pending. */
  pendingPaths(): string[] {
    const found: string[] = [];
    const visit = (directory: DirectoryNode, prefix: string): void => {
      if (directory.pending.length > 0) found.push(prefix === "" ? "./" : prefix);
      for (const [name, node] of directory.now) {
        if (node.kind === "directory") visit(node, `${prefix}${name}/`);
        else if (node.pending.length > 0) found.push(`${prefix}${name}`);
      }
    };
    visit(this.#root, "");
    return found;
  }

  /** Every file a crash at this moment leaves, by its path; directories end with a slash and have no bytes. */
  after(loss: Loss): Map<string, Buffer> {
    const files = new Map<string, Buffer>();
    // A file with two names has the same bytes under both.
    const contents = new Map<FileNode, Buffer>();
    const visit = (directory: DirectoryNode, prefix: string): void => {
      for (const [name, node] of directory.after(loss)) {
        const path = `${prefix}${name}`;
        if (node.kind === "directory") {
          files.set(`${path}/`, Buffer.alloc(0));
          visit(node, `${path}/`);
          continue;
        }
        const bytes = contents.get(node) ?? Buffer.from(node.after(loss).bytes());
        contents.set(node, bytes);
        files.set(path, bytes);
      }
    };
    visit(this.#root, "");
    return files;
  }

  #opened(descriptor: number): { node: Node; position: number; append: boolean } {
    const opened = this.#descriptors.get(descriptor);
    if (opened === undefined) throw new Error(`descriptor ${descriptor} is not open`);
    return opened;
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path === "" ? [] : path.split("/")) {
      if (node?.kind !== "directory") return undefined;
      node = node.now.get(name);
    }
    return node;
  }

  #at(path: string): Node {
    const node = this.#find(path);
    if (node === undefined) throw new Error(`${path} is not there`);
    return node;
  }

  #parent(path: string): { parent: DirectoryNode; name: string } {
    const slash = path.lastIndexOf("/");
    const parent = this.#at(slash === -1 ? "" : path.slice(0, slash));
    if (parent.kind !== "directory") throw new Error(`${path} is not in a directory`);
    return { parent, name: path.slice(slash + 1) };
  }
}

function asFile(node: Node): FileNode {
  if (node.kind !== "file") throw new Error("a directory was written to");
  return node;
}

function pathTo(directory: DirectoryNode, wanted: Node): string | undefined {
  if (directory === wanted) return "";
  for (const [name, node] of directory.now) {
    if (node === wanted) return name;
    const below = node.kind === "directory" ? pathTo(node, wanted) : undefined;
    if (below !== undefined) return `${name}/${below}`;
  }
  return undefined;
}

/** Puts files down in an empty directory. SQLite's `-shm` is left out: it is a cache in memory, made anew from the log. */
export function putDown(files: ReadonlyMap<string, Buffer>, directory: string): void {
  for (const [path, bytes] of files) {
    if (path.endsWith("-shm")) continue;
    const target = join(directory, path);
    if (path.endsWith("/")) {
      mkdirSync(target, { recursive: true, mode: 0o700 });
      continue;
    }
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    writeFileSync(target, bytes, { mode: 0o600 });
  }
}

/** Chance that can be repeated: mulberry32. @returns numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
