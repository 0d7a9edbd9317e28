import { Worker } from "node:worker_threads";
import { ServerError } from "../errors.ts";
import { alignedMemory } from "./aligned-memory.ts";
import { threadProgram } from "./thread-program.ts";

/** What a thread is started with. */
export interface FileThreadStart {
  /** The memory for bodies (aligned-memory.ts), which it reads where it lies. */
  readonly memory: SharedArrayBuffer | undefined;
  /** Syncs of directories that failed in any thread, an Int32. */
  readonly failures: SharedArrayBuffer;
}

/** A blob to be put into a directory. */
export interface PutRequest {
  /** Its bytes, or where they lie in the memory for bodies. */
  readonly body: Uint8Array | { readonly at: number; readonly length: number };
  /** What they are said to be, 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  /** Where they are written: nothing is there yet. */
  readonly temporary: string;
  /** Their name, and the directory it stands in. */
  readonly path: string;
  readonly directory: string;
}

/** Why it was not put, by how far it came: no file, no name, or a name that is not known to be on disk. */
export interface PutFailure {
  readonly state: "unwritten" | "unnamed" | "unsynced";
  readonly message: string;
  /** What an error loses on its way to another thread. */
  readonly details: { readonly [K in "code" | "errno" | "syscall" | "path"]: NodeJS.ErrnoException[K] | undefined };
}

export type PutAnswer =
  /** It is there, durably, name included. */
  | { readonly state: "put" }
  /** The bytes have another digest: nothing was written. */
  | { readonly state: "other"; readonly sha256: string }
  | PutFailure;

/**
 * Threads there are at most. Each has at most one blob in hand, and so many syncs are under way at once, which a disk takes together. More
 * gained little when measured, and each takes some 7 MiB.
 */
const THREADS = 4;

/** How long a thread without work is kept, ms. */
const IDLE_MS = 20_000;

interface Waiting {
  readonly request: PutRequest;
  readonly resolve: (answer: PutAnswer) => void;
  readonly reject: (error: Error) => void;
}

interface FileThread {
  readonly worker: Worker;
  /** What it has in hand. */
  current: Waiting | undefined;
  ending: NodeJS.Timeout | undefined;
}

/**
 * Threads that put blobs at hand into a directory: hash, file, sync, name, sync of the name, in one go. Through the pool of libuv each of these
 * is a trip of its own to another thread, and the hash of a body keeps the thread that answers requests from all else.
 *
 * They are started as they are needed, and end by themselves. Neither keeps a process alive that has nothing else to do.
 */
export class FileThreads {
  readonly #threads = new Set<FileThread>();
  readonly #waiting: Waiting[] = [];
  readonly #idleMs: number;
  readonly #failures = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  constructor(idleMs = IDLE_MS) {
    this.#idleMs = idleMs;
  }

  /**
   * Counts syncs of directories that failed. An answer of one thread may come before that of another which is older: a thread counts a failure
   * before it answers anything.
   */
  get failures(): number {
    return Atomics.load(this.#failures, 0);
  }

  /** Threads there are. */
  get size(): number {
    return this.#threads.size;
  }

  /**
   * Puts a blob.
   *
   * @throws ServerError `internal` when the thread that had it in hand died: how far it came nobody knows.
   */
  put(request: PutRequest): Promise<PutAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        const thread = this.#idle();
        if (thread === undefined) return;
        thread.worker.postMessage(next.request);
        clearTimeout(thread.ending);
        thread.worker.ref();
        thread.current = next;
      } catch (error) {
        // INVARIANT: what was answered waits no more: its memory may be another's by now.
        next.reject(new ServerError("internal", "no thread could be started to put a blob there", { cause: error }));
      }
      this.#waiting.shift();
    }
  }

  /** A thread without work; undefined when all that there may be have some. */
  #idle(): FileThread | undefined {
    for (const thread of this.#threads) if (thread.current === undefined) return thread;
    return this.#threads.size < THREADS ? this.#start() : undefined;
  }

  #start(): FileThread {
    const workerData: FileThreadStart = { memory: alignedMemory.shared(), failures: this.#failures.buffer };
    const worker = new Worker(threadProgram("file-thread", import.meta.url), {
      workerData,
      name: "assay-files",
      // It makes next to no objects.
      resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 32 },
    });
    const thread: FileThread = { worker, current: undefined, ending: undefined };
    this.#threads.add(thread);
    worker.on("message", (answer: PutAnswer) => {
      const done = thread.current;
      thread.current = undefined;
      worker.unref();
      thread.ending = setTimeout(() => this.#end(thread), this.#idleMs);
      thread.ending.unref();
      done?.resolve(answer);
      this.#next();
    });
    let cause: unknown;
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", () => {
      clearTimeout(thread.ending);
      this.#threads.delete(thread);
      thread.current?.reject(new ServerError("internal", "the thread that was to put a blob there ended", { cause }));
      this.#next();
    });
    return thread;
  }

  #end(thread: FileThread): void {
    // From here on nothing is given to it.
    this.#threads.delete(thread);
    void thread.worker.terminate();
  }
}

/** Those of this process. */
export const fileThreads = new FileThreads();
