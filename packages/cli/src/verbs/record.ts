import {
  EvidenceError,
  type NoteKey,
  parseVkey,
  toBase64,
  type VerifiedReceipt,
  verifyReceipt,
  verifyRedaction,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { Command } from "commander";
import { AnswerObject, answerInvalid } from "../answer.ts";
import { writeFileAtomically } from "../atomic.ts";
import { asCliError, CliError, Exit, usageError } from "../errors.ts";
import { serverClient } from "../http.ts";
import { parsing } from "../input.ts";
import { showMoment } from "../moment.ts";
import { API, askObject, findOut } from "../organisation.ts";
import type { JsonValue } from "../output.ts";
import { readLastSeen } from "../record/last-seen.ts";
import { answeredReceipt, readReceiptFile, readShownFile, receiptFile, receiptHint } from "../record/receipt.ts";
import type { Session } from "../session.ts";
import { facts } from "../table.ts";

interface VerifyOptions {
  readonly vkey?: string;
  readonly trust?: string;
  readonly redaction?: string;
  readonly shown?: string;
}

export function define(command: Command, session: Session): void {
  command
    .command("show")
    .description("show one event of the record")
    .argument("<sequence>", "its place in the record")
    .action((words: string) => show(session, sequence(words)));

  command
    .command("prove")
    .description("fetch the receipt that proves an event offline")
    .argument("<sequence>", "its place in the record")
    .option("-o, --file <file>", "write the receipt here (default: standard output)")
    .action((words: string, options: { file?: string }) => prove(session, sequence(words), options.file));

  command
    .command("verify")
    .description(
      "verify a receipt offline; or, without one, that the server's record was not rewritten since you last looked",
    )
    .argument("[receipt]", "a receipt file, as written by `assay record prove`")
    .option("--vkey <key>", "the log's key (name+hash+key), from somebody you trust")
    .option("--trust <file>", "a trust file that names the log's key (with a receipt)")
    .option("--redaction <file>", "of a redacted event: the receipt of the event that redacted it")
    .option("--shown <file>", "of a redacted event: what it says now, as `record show --output json` wrote it")
    .action((receipt: string | undefined, options: VerifyOptions) => {
      if ((options.redaction === undefined) !== (options.shown === undefined) || (options.shown && !receipt)) {
        throw usageError("usage", "a redacted event takes its receipt, --redaction and --shown together");
      }
      return receipt === undefined ? verifyServer(session, options) : verifyFile(session, receipt, options);
    });
}

function sequence(words: string): number {
  if (/^(?:0|[1-9]\d{0,14})$/.test(words)) return Number(words);
  throw usageError(
    "sequence-invalid",
    `${JSON.stringify(words)} is not a place in the record`,
    "Write it as a number, from 0.",
  );
}

async function show(session: Session, at: number): Promise<void> {
  const client = await serverClient(session);
  const answer = await askObject(client, { method: "GET", path: `${API}/record/${at}` });
  if (answer.whole("sequence") !== at) throw answerInvalid("it is another event");
  const event = answer.object("event");
  const redacted = answer.raw("redacted") === undefined ? undefined : answer.object("redacted");
  session.output.result(
    answer.json,
    `${facts([
      ["record", String(at)],
      ["what", event.text("type")],
      ["who", event.text("actor")],
      ["organisation", `${event.text("org")} (its event ${event.whole("orgSeq")})`],
      ["when", showMoment(event.whole("time"))],
      ["commitment", answer.text("commitment")],
      ...(redacted === undefined ? [] : [["redacted", `by record ${redacted.whole("by")}`] as const]),
    ])}\n\n${JSON.stringify(event.raw("body") ?? null, null, 2)}`,
  );
}

async function prove(session: Session, at: number, file: string | undefined): Promise<void> {
  const client = await serverClient(session);
  const answer = await client.json({ method: "GET", path: `${API}/record/${at}/receipt` });
  const receipt = answeredReceipt(answer);
  if (receipt.sequence !== at) throw answerInvalid("the receipt is for another event");
  const json = new AnswerObject(answer, "the receipt").json;
  const text = receiptFile(json);
  if (file === undefined) {
    session.output.result(json, text);
    return;
  }
  await writeFileAtomically(file, text, { mode: 0o644 });
  session.output.result(
    { sequence: at, size: receipt.size, file },
    `the receipt of record ${at} is in ${file}; verify it with \`assay record verify ${file}\``,
  );
}

/** Runs a verification of receipts, and says in this command line's words what it failed by. */
async function proving<T>(path: string, verification: () => Promise<T>): Promise<T> {
  try {
    return await verification();
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    // What is no receipt at all says nothing about the record: only a receipt can fail.
    const exit = error.code === "receipt-invalid" ? Exit.usage : Exit.no;
    throw new CliError(error.code, `${path}: ${error.message}`, { exit, hint: receiptHint(error), cause: error });
  }
}

async function verifyFile(session: Session, path: string, options: VerifyOptions): Promise<void> {
  const keys = await receiptKeys(session, options);
  if (options.redaction !== undefined && options.shown !== undefined) {
    return await verifyRedacted(session, keys, { receipt: path, redaction: options.redaction, shown: options.shown });
  }
  const verified: VerifiedReceipt = await proving(path, async () =>
    verifyReceipt(nodeCrypto, await readReceiptFile(path), keys),
  );
  const { event, checkpoint } = verified;
  const log = { origin: checkpoint.origin, size: checkpoint.size, root: toBase64(checkpoint.root) };
  // An event is JSON without values that JSON.stringify would lose.
  const shown = event as unknown as JsonValue;
  session.output.verdict(
    { result: "proven", sequence: verified.sequence, time: event.time, event: shown, log },
    `PROVEN  record ${verified.sequence} of ${checkpoint.origin}\n\n${facts([
      ["what", event.type],
      ["who", event.actor],
      ["organisation", `${event.org} (its event ${event.orgSeq})`],
      ["when", `${showMoment(event.time)}, by the record's clock`],
      ["log", `${checkpoint.size} entries, root ${log.root}`],
      ["signed by", verified.verifiedBy.map(({ name }) => name).join(" ")],
    ])}\n\n${JSON.stringify(event.body, null, 2)}`,
  );
}

/** A redacted event, as it is shown now: that the log holds what it was, and says itself that this stands for it. */
async function verifyRedacted(
  session: Session,
  keys: NoteKey[],
  files: { readonly receipt: string; readonly redaction: string; readonly shown: string },
): Promise<void> {
  const claim = {
    receipt: await proving(files.receipt, () => readReceiptFile(files.receipt)),
    redaction: await proving(files.redaction, () => readReceiptFile(files.redaction)),
    shown: await proving(files.shown, () => readShownFile(files.shown)),
  };
  const verified = await proving(files.receipt, () => verifyRedaction(nodeCrypto, claim, keys));
  const { event, redaction, fields, reason, checkpoint } = verified;
  session.output.verdict(
    {
      result: "redacted",
      sequence: verified.sequence,
      redactedBy: redaction.sequence,
      redactedAt: redaction.time,
      fields: [...fields],
      reason,
      event: event as unknown as JsonValue,
      log: { origin: checkpoint.origin, size: checkpoint.size, root: toBase64(checkpoint.root) },
    },
    `REDACTED  record ${verified.sequence} of ${checkpoint.origin}\n\n${facts([
      ["what", event.type],
      ["redacted", `${showMoment(redaction.time)}, by record ${redaction.sequence}`],
      ["reason", reason],
      ["replaced", fields.join(" ")],
      ["signed by", verified.verifiedBy.map(({ name }) => name).join(" ")],
    ])}\n\n${JSON.stringify(event.body, null, 2)}`,
  );
}

/** Whose signature under a checkpoint counts: the key given, those of the trust file, else the one pinned for the server. */
async function receiptKeys(session: Session, { vkey, trust }: { vkey?: string; trust?: string }): Promise<NoteKey[]> {
  if (vkey !== undefined && trust !== undefined)
    throw usageError("usage", "--vkey and --trust are two answers to one question");
  if (vkey !== undefined) return [parsing("--vkey", () => parseVkey(vkey))];
  if (trust !== undefined) {
    const { logKeys, readTrust } = await import("../judging/offline.ts");
    return logKeys(await readTrust(trust));
  }
  const { server } = await session.settings();
  const seen = server === undefined ? undefined : await readLastSeen(session.env, server);
  if (seen !== undefined) return [parseVkey(seen.vkey)];
  throw usageError(
    "log-key-missing",
    "whose log is this receipt to be of?",
    "Give --vkey KEY or --trust FILE; or run `assay record verify` once, which pins the server's key.",
  );
}

async function verifyServer(session: Session, options: { vkey?: string; trust?: string }): Promise<void> {
  if (options.trust !== undefined) throw usageError("usage", "--trust is for receipts", "Name the receipt file.");
  const client = await serverClient(session);
  const { followRecord } = await import("../record/follow.ts");
  // Exit 1 is the record's own failure alone: a server that refuses to show it has not rewritten it.
  const followed = await followRecord(client, session.env, options.vkey, new Date()).catch((error: unknown) => {
    const known = asCliError(error);
    if (known.code.startsWith("record-")) throw known;
    return findOut<never>(() => Promise.reject(known));
  });
  const { origin, size, before, vkey } = followed;
  const root = toBase64(followed.root);
  const grown =
    before === undefined
      ? "first look: its key is taken on trust and pinned. Compare it with the operator's, by another way."
      : `everything seen before is still there (${before} entries then, ${size} now)`;
  session.output.verdict(
    { result: "holds", origin, size, root, vkey, firstUse: before === undefined, before: before ?? null },
    `HOLDS  ${origin}\n\n${facts([
      ["entries", String(size)],
      ["root", root],
      ["key", vkey],
      ["history", grown],
    ])}`,
  );
}
