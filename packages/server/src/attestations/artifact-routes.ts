import { Readable } from "node:stream";
import { formatTrustFile, LIMITS, parseDigest, type TrustVersion, utf8Decode } from "@assay/evidence";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import { newestSequence } from "../record/newest.ts";
import { trustVersion } from "../trust/queries.ts";
import { bundlesAbout } from "./about-queries.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { isStatement, jsonLine } from "./evidence-bytes.ts";
import { digestSchema } from "./piece.ts";
import { evidenceAbout, type EvidenceRow } from "./queries.ts";
import { readingAhead } from "./read-ahead.ts";
import { MAX_EVIDENCE_BYTES } from "./reading.ts";
import { type EvidenceSight, evidenceSight, visiblePage } from "./sight.ts";

/** Pieces fetched from the index at a time. */
const PAGE = 100;

/** Everything about a digest in one file: what `assay evidence check` and `assay verify --offline` judge elsewhere. */
export const ARTIFACT_EXPORT_TYPE = "application/vnd.assay.artifact-export.v1+json";

/** Predicate types that say no more than that the artifact is signed: what a `.sigstore.json` beside a file is. */
const SIGNATURE_TYPES: readonly string[] = [
  "https://assay.dev/message-signature/v1",
  "https://sigstore.dev/cosign/sign/v1",
];

const params = z.object({ org: z.string().min(1).max(64), digest: digestSchema });

/** A file's name and one of the suffixes that evidence beside files has (SLSA, "Distributing provenance"; Sigstore). */
const fileName = z
  .string()
  .max(LIMITS.subjectNameLength)
  .regex(/^[^/\\\u0000-\u001f]*\.(?:intoto\.jsonl|sigstore\.json)$/);

/** What stands about an artifact, as files: under the names that stand beside a file, and all in one. */
export function registerArtifactRoutes(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, blobs, authenticator, prover, logs } = context;
  const tags = ["evidence"];

  app.get(
    "/api/assay/v1/orgs/:org/artifacts/:digest/:file",
    {
      schema: {
        summary: "Download the evidence about an artifact as a file beside it",
        description:
          "NAME.intoto.jsonl: every signed statement, one a line, oldest first, as it was given. NAME.sigstore.json: one Sigstore bundle, the newest that signs the artifact itself, else the newest. The name is the file's as you call it, and decides nothing.",
        tags,
        params: params.extend({ file: fileName }),
      },
    },
    async (request, reply) => {
      const { org, file } = request.params;
      const sight = await evidenceSight(context, request, org);
      const asOf = await newestSequence(reader);
      if (file.endsWith(".sigstore.json")) {
        const bundle = await oneBundle(sight, org, request.params.digest, asOf);
        if (bundle === undefined) throw nothing(org, request.params.digest, "Sigstore bundle");
        const bytes = await blobs.readSmall(parseDigest(bundle.digest), MAX_EVIDENCE_BYTES);
        return asFile(reply, "application/json", file).send(Buffer.from(bytes));
      }
      const chunks = gathered(statementLines(sight, org, request.params.digest, asOf));
      const first = await chunks.next();
      if (first.done === true) throw nothing(org, request.params.digest, "signed statement");
      const second = await chunks.next();
      // Most are one chunk, and go out as one answer of a known length.
      const body = second.done === true ? first.value : Readable.from(headed([first.value, second.value], chunks));
      return asFile(reply, "application/vnd.in-toto.bundle", file).send(body);
    },
  );

  app.get(
    "/api/assay/v1/orgs/:org/artifacts/:digest/export",
    {
      schema: {
        summary: "Download everything about an artifact in one file that verifies elsewhere",
        description:
          "A JSON object: the trust file of now, and every piece with its bytes (base64) as they are stored, where it was given, and the record's receipt. `next` is null at the end of a file that is whole.",
        tags,
        params,
      },
    },
    async (request, reply) => {
      const { org, digest } = request.params;
      const sight = await evidenceSight(context, request, org);
      const actor = await requireActor(authenticator, request);
      const refusal = await authorize(reader, actor, "trust.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const asOf = await newestSequence(reader);
      const trust = await trustVersion(reader, org, { asOf }, logs);
      if (trust === undefined) throw new Problem(404, "trust-version-unknown", `${org} has no trust`);
      const name = `${digest.slice("sha256:".length)}.assay.json`;
      return asFile(reply, ARTIFACT_EXPORT_TYPE, name).send(Readable.from(exported(sight, org, digest, trust, asOf)));
    },
  );

  async function oneBundle(
    sight: EvidenceSight,
    org: string,
    subject: string,
    asOf: number,
  ): Promise<EvidenceRow | undefined> {
    for (const predicateTypes of [SIGNATURE_TYPES, undefined]) {
      const { rows } = await visiblePage(
        sight,
        { after: undefined, wanted: 1 },
        async (after, limit) => ({
          rows: await bundlesAbout(reader, org, subject, { asOf, after, limit, predicateTypes }),
          scannedTo: undefined,
        }),
        (row) => row.about,
      );
      if (rows[0] !== undefined) return rows[0];
    }
    return undefined;
  }

  async function* pages(
    sight: EvidenceSight,
    org: string,
    subject: string,
    asOf: number,
  ): AsyncGenerator<EvidenceRow[]> {
    let after: number | undefined;
    for (;;) {
      const rows = await evidenceAbout(reader, org, subject, { asOf, after, limit: PAGE });
      yield await sight.visible(rows);
      after = rows.at(-1)?.about;
      if (rows.length < PAGE) return;
    }
  }

  async function* statementLines(
    sight: EvidenceSight,
    org: string,
    subject: string,
    asOf: number,
  ): AsyncGenerator<Buffer, undefined> {
    for await (const rows of pages(sight, org, subject, asOf)) {
      const statements = rows.filter(isStatement);
      const ahead = readingAhead(blobs, statements);
      for (const row of statements) {
        const line = await jsonLine(ahead, parseDigest(row.digest));
        if (line !== undefined) yield line;
      }
    }
    return undefined;
  }

  /** Written piece by piece: all evidence about an artifact may be more than memory holds. */
  async function* exported(
    sight: EvidenceSight,
    org: string,
    subject: string,
    trust: TrustVersion,
    asOf: number,
  ): AsyncGenerator<string> {
    const head = { mediaType: ARTIFACT_EXPORT_TYPE, org, subject, asOf };
    yield `${JSON.stringify(head).slice(0, -1)},"trust":${utf8Decode(formatTrustFile(trust)).trim()},"pieces":[`;
    let separator = "\n";
    for await (const rows of pages(sight, org, subject, asOf)) {
      const ahead = readingAhead(blobs, rows);
      for (const row of rows) {
        const bytes = await ahead.readSmall(parseDigest(row.digest), MAX_EVIDENCE_BYTES);
        const receipt = (await prover.receipt(row.sequence)) ?? null;
        const piece = {
          evidence: row.digest,
          form: row.form,
          predicateType: row.predicate_type,
          receivedAt: row.time,
          sequence: row.sequence,
          bytes: Buffer.from(bytes).toString("base64"),
          receipt,
        };
        yield `${separator}${JSON.stringify(piece)}`;
        separator = ",\n";
      }
    }
    yield '\n],"next":null}\n';
  }
}

function nothing(org: string, digest: string, what: string): Problem {
  return new Problem(404, "evidence-unknown", `${org} has no ${what} about ${digest}`);
}

/** Lines come out in chunks of at least this many bytes, but for the last: each chunk is a write of its own to the connection. */
const CHUNK = 64 * 1024;

async function* gathered(lines: AsyncIterable<Buffer>): AsyncGenerator<Buffer, undefined> {
  let waiting: Buffer[] = [];
  let size = 0;
  for await (const line of lines) {
    waiting.push(line);
    size += line.length;
    if (size < CHUNK) continue;
    yield Buffer.concat(waiting, size);
    waiting = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(waiting, size);
  return undefined;
}

async function* headed(first: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* first;
  yield* rest;
}

/** Stored bytes go out as a file to be saved, and as nothing a browser would run. */
function asFile(reply: FastifyReply, mediaType: string, name: string): FastifyReply {
  return reply
    .header("content-type", mediaType)
    .header("content-disposition", `attachment; filename*=UTF-8''${encodeURIComponent(name)}`)
    .header("x-content-type-options", "nosniff")
    .header("content-security-policy", "sandbox");
}
