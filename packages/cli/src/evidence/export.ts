import {
  type Digest,
  digestOf,
  EvidenceError,
  isDigest,
  isJsonObject,
  LIMITS,
  parseDigest,
  parseJson,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { AnswerObject } from "../answer.ts";
import { writeFileAtomically } from "../atomic.ts";
import { CliError, Exit, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { askedArtifact } from "../judging/list.ts";
import { organisationClient } from "../organisation.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { facts } from "../table.ts";
import type { ArtifactType } from "../verbs/fingerprint.ts";

const EXPORT_TYPE = "application/vnd.assay.artifact-export.v1+json";

/** The largest export that is read, in bytes. */
const MAX_EXPORT = 512 * 1024 * 1024;

/** A piece in an export: its bytes, which are those of its digest, and the record's receipt. */
export type ExportedPiece = {
  readonly evidence: Digest;
  readonly form: string;
  readonly bytes: Uint8Array;
  readonly receipt: JsonValue;
};

/** Everything a server has about an artifact. Nothing in it is believed, least of all the trust that it brings. */
export type ArtifactExport = {
  readonly subject: Digest;
  readonly trust: AnswerObject;
  readonly pieces: readonly ExportedPiece[];
};

/**
 * Reads an export and proves that each piece's bytes are those of its digest. Errors: `answer-invalid` (exit 3) for what is no whole export,
 * `digest-mismatch` (exit 1).
 */
export function readExport(bytes: Uint8Array): ArtifactExport {
  const members = new AnswerObject(exportJson(bytes), "the export");
  const whole = members.raw("next") === null && members.raw("mediaType") === EXPORT_TYPE;
  const subject = members.text("subject");
  if (!whole || !isDigest(subject)) {
    throw notWhole("it lacks its end, or is something else");
  }
  return { subject, trust: members.object("trust"), pieces: members.objects("pieces").map(readPiece) };
}

function exportJson(bytes: Uint8Array): JsonValue {
  try {
    const json = parseJson(bytes, { maxBytes: MAX_EXPORT, maxDepth: LIMITS.canonicalDepth });
    return isJsonObject(json) ? (json as JsonValue) : null;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw notWhole(error.message);
  }
}

function notWhole(why: string): CliError {
  return new CliError("answer-invalid", `it is not a whole export of an artifact: ${why}`, {
    exit: Exit.unknown,
    hint: "Make it again with `assay evidence export`.",
  });
}

function readPiece(piece: AnswerObject): ExportedPiece {
  const evidence = parseDigest(piece.text("evidence"));
  const bytes = new Uint8Array(Buffer.from(piece.text("bytes"), "base64"));
  const found = digestOf(nodeCrypto, bytes);
  if (found !== evidence) {
    throw new CliError("digest-mismatch", `the export holds other bytes than those of ${evidence}: they are ${found}`, {
      exit: Exit.no,
      hint: "Nothing in it can be relied on: make it again.",
    });
  }
  return { evidence, form: piece.text("form"), bytes, receipt: piece.raw("receipt") ?? null };
}

/** Reads an export in a file. */
export async function readExportFile(path: string): Promise<ArtifactExport> {
  return readExport(await readInput(path, MAX_EXPORT));
}

/** Writes everything about an artifact into one file. Errors: those of `readExport`, of the server and of the file system. */
export async function exportEvidence(
  session: Session,
  words: string,
  options: { readonly artifactType?: ArtifactType; readonly to?: string; readonly trustTo?: string },
): Promise<void> {
  if (options.to === undefined) throw usageError("usage", "where to write it?", "Add --to FILE.");
  const api = await organisationClient(session);
  const { digest } = await askedArtifact(session, api, words, options);
  const answer = await api.client.send({
    method: "GET",
    path: api.path("artifacts", digest, "export"),
    headers: { accept: "*/*" },
  });
  const bytes = await answer.bytes(MAX_EXPORT);
  const { subject, trust, pieces } = readExport(bytes);
  if (subject !== digest) {
    throw new CliError("answer-invalid", "the export is about another artifact", { exit: Exit.unknown });
  }
  await writeFileAtomically(options.to, bytes, { mode: 0o644 });
  if (options.trustTo !== undefined) {
    await writeFileAtomically(options.trustTo, `${JSON.stringify(trust.json, null, 2)}\n`, { mode: 0o644 });
  }
  session.output.result(
    {
      subject,
      file: options.to,
      trust: { file: options.trustTo ?? null, org: trust.text("org"), version: trust.whole("version") },
      pieces: pieces.map(({ evidence, form }) => ({ evidence, form })),
    },
    facts([
      ["subject", subject],
      ["pieces", String(pieces.length)],
      ["trust", `${trust.text("org")} version ${trust.whole("version")}`],
      ["written to", options.to],
      ["trust file", options.trustTo],
    ]),
  );
}
