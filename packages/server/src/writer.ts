/** The writer thread: the one owner of the write connection. It composes the same rooms as `app.ts` and answers its channel. */
import { parentPort, workerData } from "node:worker_threads";
import { z } from "zod";
import { composeParts, MIGRATIONS } from "./composition.ts";
import { ServerError } from "./errors.ts";
import { Keyring } from "./keys/keyring.ts";
import { MasterKey } from "./keys/master.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "./record/command.ts";
import { keyDirectory, openRecord } from "./record/open.ts";
import { answerRequest, type WriterRequest } from "./record/port.ts";
import { migrate } from "./storage/migrate.ts";
import { openWriter } from "./storage/open.ts";

const startSchema = z.strictObject({
  dataDirectory: z.string(),
  databaseUrl: z.string().optional(),
  masterKey: z.string().optional(),
  org: z.string(),
  host: z.string().optional(),
});

/** What the thread is started with. */
export type WriterStart = z.input<typeof startSchema>;

/** What the thread says besides answers. */
export type WriterMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "failed-start"; readonly code: string; readonly message: string; readonly hint?: string }
  | { readonly kind: "stopped" };

/** The last word of the owner: finish what was taken, publish, close. */
export interface WriterStop {
  readonly kind: "stop";
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw new ServerError("internal", "writer.ts runs as a worker thread");
  const start = startSchema.parse(workerData);
  const database = openWriter(start);
  // Hosts that share the directory and start together make one key.
  const master = await database.alone(async () =>
    MasterKey.choose(start.masterKey, start.dataDirectory, !Keyring.hasKeys(keyDirectory(start.dataDirectory))),
  );
  await migrate(database, MIGRATIONS);
  const { writer } = await openRecord({
    database,
    dataDirectory: start.dataDirectory,
    master,
    parts: composeParts(),
    founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: start.org } }],
    host: start.host,
  });
  port.on("message", (message: WriterRequest | WriterStop) => {
    if (message.kind === "stop") {
      void stop();
    } else {
      void answerRequest(writer, message).then((answer) => port.postMessage(answer));
    }
  });
  const stop = async (): Promise<void> => {
    try {
      await writer.stop();
    } finally {
      await database.close();
      port.postMessage({ kind: "stopped" } satisfies WriterMessage);
      port.close();
    }
  };
  port.postMessage({ kind: "ready" } satisfies WriterMessage);
}

try {
  await main();
} catch (error) {
  const message: WriterMessage = {
    kind: "failed-start",
    code: error instanceof ServerError ? error.code : "internal",
    message: error instanceof Error ? error.message : String(error),
    ...(error instanceof ServerError && error.hint !== undefined ? { hint: error.hint } : {}),
  };
  parentPort?.postMessage(message);
}
