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
  /** Its bytes, of which the thread gets a copy; or where they lie in the memory for bodies. */
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

/** What a thread says of a request. */
export interface Put {
  readonly answer: PutAnswer;
  /** How long it had it in hand, ms. */
  readonly ms: number;
}

/**
 * Threads there are at most. Each has one blob in hand, and so many syncs are under way at once, which a disk takes together. More gained little
 * on a disk that syncs within a millisecond, and each takes some 8 MiB.
 */
const THREADS = 4;

/** As many as there are where a disk takes its time. */
const THREADS_OF_SLOW = 8;

/** How long a put takes where a disk takes its time, ms: three syncs, and a megabyte; and of how many puts, about, that is the mean. */
const SLOW_MS = 10;
const MEAN_OF = 32;

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
  readonly #slowMs: number;
  /** What a put takes, ms. */
  #mean = 0;
  readonly #failures = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  /** @param times how long a thread without work is kept, and how long a put takes on a slow disk, ms. */
  constructor({ idleMs = IDLE_MS, slowMs = SLOW_MS }: { readonly idleMs?: number; readonly slowMs?: number } = {}) {
    this.#idleMs = idleMs;
    this.#slowMs = slowMs;
  }

  /**
   * Syncs of directories that failed, of whatever directory: the first sync of a directory to fail is told so, a later one may have nothing left to
   * write. A thread counts a failure as soon as it sees it, because answers of two threads may overtake each other. What nobody sees is the
   * moment between a failure in the kernel and its count.
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
   * @throws ServerError `storage-failed` when the thread that had it in hand died, and nobody knows how far it came, or none could be started.
   */
  put(request: PutRequest): Promise<PutAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      let thread: FileThread | undefined;
      try {
        thread = this.#idle();
      } catch (error) {
        // INVARIANT: what was answered waits no more: its memory may be another's by now.
        this.#waiting.shift();
        next.reject(notPut("no thread could be started to put a blob there", error));
        continue;
      }
      if (thread === undefined) return;
      this.#waiting.shift();
      clearTimeout(thread.ending);
      thread.current = next;
      thread.worker.ref();
      const { body } = next.request;
      if (!(body instanceof Uint8Array)) {
        thread.worker.postMessage(next.request);
        continue;
      }
      // Copied no sooner than it can be put, whole: what is told of a view is all the memory that it is of.
      const copy = new Uint8Array(body);
      thread.worker.postMessage({ ...next.request, body: copy }, [copy.buffer]);
    }
  }

  /**
   * A thread without work; undefined when all that there may be have some.
   *
   * @throws what the system says when there is none and none can be started.
   */
  #idle(): FileThread | undefined {
    for (const thread of this.#threads) if (thread.current === undefined) return thread;
    if (this.#threads.size >= (this.#mean > this.#slowMs ? THREADS_OF_SLOW : THREADS)) return undefined;
    try {
      return this.#start();
    } catch (error) {
      // Those that there are come to it.
      if (this.#threads.size > 0) return undefined;
      throw error;
    }
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
    // It is waited for as long as it has something in hand.
    worker.unref();
    worker.on("message", ({ answer, ms }: Put) => {
      const done = thread.current;
      thread.current = undefined;
      this.#mean += (ms - this.#mean) / MEAN_OF;
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
      thread.current?.reject(notPut("the thread that was to put a blob there ended", cause));
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

/** That nobody knows whether a blob is there: putting it again is right in any case. */
function notPut(message: string, cause: unknown): ServerError {
  return new ServerError("storage-failed", message, { cause, hint: "send the same request again" });
}

/** Those of this process. */
export const fileThreads = new FileThreads();
