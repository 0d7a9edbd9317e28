/** The writer thread: the one owner of the write connection. It composes the same rooms as `app.ts` and answers its channel. */
import { parentPort, workerData } from "node:worker_threads";
import { nodeCrypto } from "@assay/evidence/node";
import { z } from "zod";
import { composeParts, MIGRATIONS, refillTables } from "./composition.ts";
import { ServerError } from "./errors.ts";
import { Keyring } from "./keys/keyring.ts";
import { MasterKey } from "./keys/master.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "./record/command.ts";
import { letGoOfStart } from "./pressure/after-start.ts";
import { keyDirectory, openRecord } from "./record/open.ts";
import { answerRequest, type WriterRequest } from "./record/port.ts";
import { RecordStamp } from "./record/stamp.ts";
import { migrate, programName, schemaFence } from "./storage/migrate.ts";
import { translateDiskError } from "./storage/disk-errors.ts";
import { openWriter } from "./storage/open.ts";
import { beforeSigning } from "./witness-composition.ts";

const startSchema = z.strictObject({
  dataDirectory: z.string(),
  databaseUrl: z.string().optional(),
  masterKey: z.string().optional(),
  org: z.string(),
  host: z.string().optional(),
  witnessPolicy: z.string().optional(),
  stamp: z.instanceof(SharedArrayBuffer).optional(),
});

/** What the thread is started with. */
export type WriterStart = z.input<typeof startSchema>;

/** What the thread says besides answers. */
export type WriterMessage =
  /** `notices`: what somebody should look at, though the record is open. */
  | { readonly kind: "ready"; readonly notices: readonly string[] }
  | { readonly kind: "failed-start"; readonly code: string; readonly message: string; readonly hint?: string }
  /** `problem`: why not everything that was taken is published; it is committed, and the next start publishes it. */
  | { readonly kind: "stopped"; readonly problem?: string };

/** The last word of the owner: finish what was taken, publish, close. */
export interface WriterStop {
  readonly kind: "stop";
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) throw new ServerError("internal", "writer.ts runs as a worker thread");
  const start = startSchema.parse(workerData);
  const database = openWriter(start, programName(MIGRATIONS));
  // Hosts that share the directory and start together make one key.
  const master = await database.alone(async () =>
    MasterKey.choose(start.masterKey, start.dataDirectory, !Keyring.hasKeys(keyDirectory(start.dataDirectory))),
  );
  await migrate(database, MIGRATIONS, { refill: refillTables });
  const notices: string[] = [];
  const { writer } = await openRecord({
    database,
    dataDirectory: start.dataDirectory,
    master,
    parts: composeParts(),
    founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: start.org } }],
    host: start.host,
    beforeSigning: beforeSigning(start.witnessPolicy, nodeCrypto, (notice) =>
      notices.push(`a witness could not be asked at this start: ${notice}`),
    ),
    fence: schemaFence(MIGRATIONS),
    stamp: start.stamp && new RecordStamp(start.stamp),
  });
  port.on("message", (message: WriterRequest | WriterStop) => {
    if (message.kind === "stop") {
      void stop();
    } else {
      void answerRequest(writer, message).then((answer) => port.postMessage(answer));
    }
  });
  const stop = async (): Promise<void> => {
    let problem: string | undefined;
    try {
      await writer.stop();
      await database.close();
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    port.postMessage({ kind: "stopped", ...(problem === undefined ? {} : { problem }) } satisfies WriterMessage);
    port.close();
  };
  await letGoOfStart();
  port.postMessage({ kind: "ready", notices } satisfies WriterMessage);
}

try {
  await main();
} catch (thrown) {
  const error = translateDiskError(thrown);
  const message: WriterMessage = {
    kind: "failed-start",
    code: error instanceof ServerError ? error.code : "internal",
    message: error instanceof Error ? error.message : String(error),
    ...(error instanceof ServerError && error.hint !== undefined ? { hint: error.hint } : {}),
  };
  parentPort?.postMessage(message);
}
