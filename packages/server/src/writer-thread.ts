import { Worker } from "node:worker_threads";
import { ServerError, type ServerErrorCode } from "./errors.ts";
import { ChannelClient, type WriterAnswer } from "./record/port.ts";
import { RecordStamp } from "./record/stamp.ts";
import { threadProgram } from "./storage/thread-program.ts";
import type { WriterMessage, WriterStart, WriterStop } from "./writer.ts";

/** The writer thread as its owner sees it. */
export interface WriterThread {
  readonly client: ChannelClient;
  /** What somebody should look at, though the record is open. */
  readonly notices: readonly string[];
  /** Finishes and publishes what was taken, then ends the thread. @returns why not all of it is published; undefined when it is. */
  stop(): Promise<string | undefined>;
  /** Resolves with the reason when the thread ends without being asked. */
  readonly died: Promise<string>;
}

/** Starts the writer thread and waits until the record is open. @throws ServerError why it could not be opened. */
export async function startWriterThread(start: Omit<WriterStart, "stamp">): Promise<WriterThread> {
  // With a database elsewhere other hosts write the record too.
  const stamp = start.databaseUrl === undefined ? new RecordStamp() : undefined;
  const workerData: WriterStart = { ...start, ...(stamp === undefined ? {} : { stamp: stamp.shared }) };
  const worker = new Worker(threadProgram("writer", import.meta.url), { workerData, name: "assay-writer" });
  const client = new ChannelClient((request) => worker.postMessage(request), stamp);
  let stopped = false;
  let onStopped: (problem?: string) => void = () => undefined;
  const stoppedPromise = new Promise<string | undefined>((resolve) => {
    onStopped = resolve;
  });
  const died = new Promise<string>((resolve) => {
    worker.on("error", (error) => {
      client.close(`the writer failed: ${error instanceof Error ? error.message : String(error)}`);
      resolve(error instanceof Error ? (error.stack ?? error.message) : String(error));
    });
    worker.on("exit", (code) => {
      client.close("the writer has stopped");
      onStopped(`the writer thread ended with code ${code}`);
      if (!stopped) resolve(`the writer thread ended with code ${code}`);
    });
  });
  const notices = await new Promise<readonly string[]>((resolve, reject) => {
    void died.then((reason) => reject(new ServerError("internal", reason)));
    worker.on("message", (message: WriterMessage | WriterAnswer) => {
      switch (message.kind) {
        case "ready":
          resolve(message.notices);
          break;
        case "failed-start":
          stopped = true;
          void worker.terminate();
          reject(
            new ServerError(
              message.code as ServerErrorCode,
              message.message,
              message.hint === undefined ? {} : { hint: message.hint },
            ),
          );
          break;
        case "stopped":
          onStopped(message.problem);
          break;
        default:
          client.receive(message);
      }
    });
  });
  return {
    client,
    notices,
    died,
    async stop() {
      stopped = true;
      worker.postMessage({ kind: "stop" } satisfies WriterStop);
      const problem = await stoppedPromise;
      await worker.terminate();
      return problem;
    },
  };
}
