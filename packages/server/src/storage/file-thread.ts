/** A thread that puts blobs into a directory, one after another (file-threads.ts). */
import { createHash } from "node:crypto";
import { renameSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { sharedAligned } from "./aligned-memory.ts";
import { isMissing, makeDirectorySync, syncDirectorySync, writeNewFile } from "./durable.ts";
import type { FileThreadStart, Put, PutAnswer, PutFailure, PutRequest } from "./file-threads.ts";

const { memory, failures } = workerData as FileThreadStart;
const pieces = memory === undefined ? undefined : sharedAligned(memory);

function failed(state: PutFailure["state"], thrown: unknown): PutFailure {
  const { message, code, errno, syscall, path } = thrown as NodeJS.ErrnoException;
  return { state, message, details: { code, errno, syscall, path } };
}

function write(path: string, bytes: Uint8Array): void {
  try {
    writeNewFile(path, bytes);
  } catch (error) {
    if (!isMissing(error)) throw error;
    // Somebody took the directory away; it holds no facts.
    makeDirectorySync(path);
    writeNewFile(path, bytes);
  }
}

function put({ body, sha256, temporary, path, directory }: PutRequest): PutAnswer {
  const bytes = body instanceof Uint8Array ? body : pieces?.subarray(body.at, body.at + body.length);
  if (bytes === undefined) throw new Error("there is no shared memory");
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== sha256) return { state: "other", sha256: actual };
  try {
    write(temporary, bytes);
  } catch (error) {
    return failed("unwritten", error);
  }
  // COMMIT POINT of a blob that was at hand. Before the rename: nothing is under its name. After it and the directory's sync: the blob is
  // there whole, under the name of its content. A blob already there has the same content, so replacing it changes nothing.
  try {
    renameSync(temporary, path);
  } catch (error) {
    return failed("unnamed", error);
  }
  try {
    syncDirectorySync(directory);
  } catch (error) {
    Atomics.add(new Int32Array(failures), 0, 1);
    return failed("unsynced", error);
  }
  return { state: "put" };
}

parentPort?.on("message", (request: PutRequest) => {
  const started = performance.now();
  const answer = put(request);
  // At once: until the collector of garbage comes round there would be tens of megabytes of them.
  if (request.body instanceof Uint8Array && request.body.buffer instanceof ArrayBuffer) request.body.buffer.transfer(0);
  parentPort?.postMessage({ answer, ms: performance.now() - started } satisfies Put);
});
