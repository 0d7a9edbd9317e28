import { createHash } from "node:crypto";
import {
  type Checkpoint,
  type Crypto,
  cosignatureLine,
  cosignedBytes,
  EvidenceError,
  emptyRoot,
  equalBytes,
  formatVkey,
  NOTE_COSIGNATURE_ED25519,
  noteKey,
  openNote,
  parseCheckpoint,
  parseNote,
  noteSignatureLine,
  toHex,
  verifyConsistency,
} from "@assay/evidence";
import type { FastifyInstance, FastifyReply } from "fastify";
import { ServerError } from "../errors.ts";
import { type Keyring, rawEd25519 } from "../keys/keyring.ts";
import { retryAfter } from "../pressure/refusals.ts";
import type { RecordClient } from "../record/client.ts";
import type { Reader } from "../storage/database.ts";
import type { WitnessLogs } from "./logs-file.ts";
import { RateLimiter } from "./limiter.ts";
import { cosignedAnswer } from "./operations.ts";
import { witnessedLog } from "./queries.ts";
import { type AddCheckpoint, parseAddCheckpoint, REQUEST_BYTES, SIZE_TYPE } from "./wire.ts";

/** New checkpoints of one log, which only that log can make, and repetitions of the newest one, which anybody can send. */
const ADVANCES = { burst: 20, perSecond: 10 };
const REPETITIONS = { burst: 5, perSecond: 1 };

export interface WitnessDoorContext {
  readonly record: Pick<RecordClient, "operate">;
  readonly reader: Reader;
  readonly keyring: Keyring;
  readonly crypto: Crypto;
  /** The logs we witness. */
  readonly logs: WitnessLogs;
  /** Our name as a witness; fixed for ever, as it is part of what the key's hash is made of. */
  readonly name: string;
}

/** What the door answers that is no cosignature. */
class Refused extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The name of the witness beside a log of this origin: the same host, so fixed when the origin was. */
export function witnessName(origin: string): string {
  return `${origin.replace(/\/logs\/[^/]+$/, "")}/witness`;
}

/**
 * The witness others ask (C2SP tlog-witness): it cosigns a checkpoint when it is signed by a log we were told to witness, and continues
 * the newest checkpoint we cosigned of that log. No credentials: what counts is the log's signature.
 */
export function registerWitnessDoor(app: FastifyInstance, context: WitnessDoorContext): void {
  const { reader, logs } = context;
  const limiters = { advances: new RateLimiter(ADVANCES), repetitions: new RateLimiter(REPETITIONS) };

  app.removeAllContentTypeParsers();
  // Clients of this protocol send any content type, or none.
  app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: REQUEST_BYTES }, (_request, body, done) =>
    done(null, body),
  );
  app.setErrorHandler((error, request, reply) => answerError(error, request.log, reply));

  // The route's own limit too: it is what a stranger may make this process set memory aside for.
  app.post("/witness/add-checkpoint", { bodyLimit: REQUEST_BYTES }, async (request, reply) => {
    const body = request.body;
    const lines = await cosign(context, limiters, Buffer.isBuffer(body) ? body : Buffer.alloc(0));
    return reply.header("content-type", "text/plain; charset=utf-8").send(lines);
  });

  app.get("/witness/vkey", async (_request, reply) => {
    if (!context.keyring.has("witness")) throw new Refused(404, "this server has no witness key");
    const vkey = formatVkey(context.name, NOTE_COSIGNATURE_ED25519, rawEd25519(context.keyring.key("witness")));
    return reply.header("content-type", "text/plain; charset=utf-8").send(`${vkey}\n`);
  });

  // By its hash, so that a request names no log that is not there. A log taken off the list is not shown any more.
  const origins = new Map(
    [...logs.keys()].map((origin) => [createHash("sha256").update(origin).digest("hex"), origin]),
  );
  app.get<{ Params: { hash: string } }>("/witness/:hash/checkpoint", async (request, reply) => {
    const origin = origins.get(request.params.hash);
    const state = origin === undefined ? undefined : await witnessedLog(reader, origin);
    if (state === undefined) throw new Refused(404, "no checkpoint of such a log was cosigned here");
    return reply
      .header("content-type", "text/plain; charset=utf-8")
      .header("cache-control", "no-cache")
      .send(state.note);
  });
}

/** The procedure of the specification, in its order. @returns signature lines. */
async function cosign(
  context: WitnessDoorContext,
  limiters: { readonly advances: RateLimiter; readonly repetitions: RateLimiter },
  body: Uint8Array,
): Promise<string> {
  const { crypto, reader, record, keyring, logs, name } = context;
  const request = parseAddCheckpoint(body);
  const keys = logs.get(request.origin);
  if (keys === undefined) throw new Refused(404, "this log is not witnessed here");
  const { text, checkpoint, signatures } = await openRequest(crypto, request, keys);
  if (request.old > checkpoint.size) throw new Refused(400, "the old size is above the checkpoint's");

  const state = await witnessedLog(reader, request.origin);
  if (request.old !== (state?.size ?? 0)) throw conflict(state?.size ?? 0);
  requireConsistent(crypto, request, checkpoint, state?.root);

  const limiter = state?.size === checkpoint.size ? limiters.repetitions : limiters.advances;
  if (!limiter.pass(request.origin, performance.now())) {
    throw new Refused(429, "too many checkpoints of this log", { "retry-after": "1" });
  }
  const key = noteKey(name, NOTE_COSIGNATURE_ED25519, rawEd25519(keyring.key("witness")));
  const time = Math.floor(Date.now() / 1000);
  const line = cosignatureLine(key, time, keyring.sign("witness", cosignedBytes(time, text)));
  const answer = cosignedAnswer.parse(
    await record.operate("witness.cosign", {
      keyId: keyring.key("witness").id,
      origin: request.origin,
      oldSize: request.old,
      oldRoot: state === undefined ? null : toHex(state.root),
      size: checkpoint.size,
      root: toHex(checkpoint.root),
      note: `${text}\n${[...signatures, line].map((each) => `${each}\n`).join("")}`,
      time,
    }),
  );
  // INVARIANT: the cosignature leaves this process only here, after the state it rests on is durable. What was signed for a request
  // that lost to another is forgotten.
  switch (answer.outcome) {
    case "recorded":
      return `${line}\n`;
    case "conflict":
      throw conflict(answer.size);
    case "root":
      throw new Refused(422, "another checkpoint of this size was cosigned");
    case "key":
      throw new ServerError(
        "key-missing",
        "this server's witness key is not the one whose statements the database remembers",
        {
          hint: "start the server again: it makes a new witness key, or says which one to put back",
        },
      );
  }
}

/** Verifies the log's signature. Only its own lines are kept: strangers could add any. */
async function openRequest(
  crypto: Crypto,
  request: AddCheckpoint,
  keys: Parameters<typeof openNote>[2],
): Promise<{ text: string; checkpoint: Checkpoint; signatures: string[] }> {
  let opened: Awaited<ReturnType<typeof openNote>>;
  try {
    opened = await openNote(crypto, request.note, keys);
  } catch (error) {
    if (error instanceof EvidenceError && /^note-(unverified|signature-invalid)$/.test(error.code)) {
      throw new Refused(403, "no signature by a key of this log, or a wrong one");
    }
    throw error;
  }
  const checkpoint = parseCheckpoint(opened.text);
  const signatures = parseNote(request.note)
    .signatures.filter((line) =>
      opened.verifiedBy.some((key) => key.name === line.name && equalBytes(key.keyHash, line.keyHash)),
    )
    .map((line) => noteSignatureLine(line, line.signature));
  return { text: opened.text, checkpoint, signatures };
}

function requireConsistent(
  crypto: Crypto,
  { old, proof }: AddCheckpoint,
  { size, root }: Checkpoint,
  oldRoot: Uint8Array | undefined,
): void {
  const none = emptyRoot(crypto);
  if (size === 0 && !equalBytes(root, none)) throw new Refused(422, "the root of a log without entries is wrong");
  const claim = { oldSize: old, newSize: size, oldRoot: oldRoot ?? none, newRoot: root, proof };
  if (!verifyConsistency(crypto, claim)) throw new Refused(422, "the consistency proof does not hold");
}

function conflict(size: number): Refused {
  return new Refused(409, `${size}\n`, { "content-type": SIZE_TYPE });
}

function answerError(
  error: unknown,
  log: { error(detail: object, message: string): void },
  reply: FastifyReply,
): FastifyReply {
  const { status, message, headers } = refusalOf(error);
  if (status >= 500 && retryAfter(error) === undefined) log.error({ err: error }, "a checkpoint could not be cosigned");
  // As bytes: the framework would add a charset to the type of a string, and clients compare the type as a whole.
  return reply
    .code(status)
    .headers({ "content-type": "text/plain; charset=utf-8", ...headers })
    .send(Buffer.from(message.endsWith("\n") ? message : `${message}\n`));
}

function refusalOf(error: unknown): Refused {
  if (error instanceof Refused) return error;
  if (error instanceof EvidenceError) return new Refused(400, error.message);
  const seconds = retryAfter(error);
  if (seconds !== undefined) return new Refused(503, "try again later", { "retry-after": String(seconds) });
  if (error instanceof ServerError) {
    switch (error.code) {
      case "witness-request-invalid":
        return new Refused(400, error.message);
      case "writer-overloaded":
      case "writer-stopped":
      case "database-unavailable":
      case "database-busy":
      case "write-unconfirmed":
        return new Refused(503, "try again in a moment", { "retry-after": "1" });
      default:
        return new Refused(500, "the server could not do this; its log says why");
    }
  }
  const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
  return status >= 400 && status < 500 && error instanceof Error
    ? new Refused(status, error.message)
    : new Refused(500, "the server could not do this; its log says why");
}
