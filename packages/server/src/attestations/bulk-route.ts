import { Readable } from "node:stream";
import { EvidenceError, LIMITS } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { ServerError, type ServerErrorCode } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import { retryAfter } from "../pressure/refusals.ts";
import type { Actor } from "../record/command.ts";
import { withinOneRequest } from "./artifact-bytes.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { admit, repositoryField, takeIn } from "./intake.ts";
import { lineGroups, type NumberedLine, streamedLines } from "./lines.ts";
import { readLine } from "./reading.ts";

/** Bounds on one file of evidence. A line has at most the bytes of one piece; what is longer is passed over like any unknown line. */
export const BULK_LIMITS = {
  /** Bytes of the file. */
  fileBytes: 4 * 1024 ** 3,
  /** Lines that hold something: their results are kept until the client takes them. */
  lines: 100_000,
} as const;

/** Lines worked on at once: they share commits; of large ones fewer, because all of them are in memory. */
const AT_ONCE = { count: 16, maxBytes: LIMITS.bundleBytes } as const;

/** Media types of JSON Lines; the first is in-toto's own (attestation bundle). */
const LINES_TYPES = [
  "application/vnd.in-toto.bundle",
  "application/x-ndjson",
  "application/jsonl",
  "application/octet-stream",
];

/**
 * What came of one line. `ignored`: it is no evidence that can be read, and nothing was done with it. `refused`: it is evidence, and may
 * not be taken in; with `artifacts-busy` not now, and it can be sent again. `earlier`: where the same signature came first, in other bytes.
 */
export type LineResult = { readonly line: number } & (
  | {
      readonly status: "added" | "present" | "repeated";
      readonly evidence: string;
      readonly sequence?: number;
      readonly earlier?: number;
    }
  | { readonly status: "ignored" | "refused"; readonly code: string; readonly message: string }
);

/** What the record refuses for what a line holds: sent again it would be refused again, and the lines behind it would never be read. */
const LINE_FAULTS: ReadonlySet<string> = new Set<ServerErrorCode>([
  "text-invalid",
  "command-invalid",
  "event-too-large",
]);

/** What ends the work on a file for reasons that pass by themselves, beside what a full server says. */
const PASSING: ReadonlySet<ServerErrorCode> = new Set<ServerErrorCode>([
  "writer-overloaded",
  "writer-stopped",
  "database-unavailable",
  "database-busy",
  "blobs-unavailable",
  "storage-failed",
]);

type Counts = Record<LineResult["status"], number>;

/** Takes in files of many pieces. Nothing is believed of the file itself: not its order, not its completeness. */
export function registerBulkRoute(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const { authenticator } = context;
  void instance.register(async (door) => {
    // The body stays a stream.
    door.addContentTypeParser(LINES_TYPES, (_request, payload, done) => done(null, payload));
    door.withTypeProvider<ZodTypeProvider>().post(
      "/api/assay/v1/orgs/:org/attestations/bulk",
      {
        schema: {
          summary: "Give many pieces of signed evidence: JSON Lines, one piece a line",
          description:
            "Lines may come in any order, and each is taken in or not by itself. The answer is JSON Lines too: one result for each line that holds something, in order, and at the end a summary; without it the file was not taken in whole, and can be sent again. Lines that are no evidence are ignored.",
          tags: ["evidence"],
          params: z.object({ org: z.string().min(1).max(64) }),
          querystring: z.object({ repository: repositoryField }),
        },
      },
      async (request, reply) => {
        const actor = await requireActor(authenticator, request);
        const { org } = request.params;
        const repository = await admit(context, actor, org, request.query.repository);
        if (!(request.body instanceof Readable)) {
          throw new Problem(415, "media-type-unknown", `send the file as ${LINES_TYPES.join(" or ")}`);
        }
        // Results wait here until the client takes them, which may be after it has sent everything: to hold back its lines until then would
        // be to wait for each other. BULK_LIMITS.lines bounds them.
        const results = new Readable({ read: () => undefined });
        const source: AsyncIterable<Uint8Array> = request.body;
        takeLines(context, { actor, org, repository }, source, results).catch((error: unknown) => {
          request.log.error({ err: error }, "evidence in bulk was not taken in whole");
          results.push(lineOf({ error: problemOf(error) }));
          results.push(null);
        });
        return reply
          .header("content-type", "application/x-ndjson")
          .header("x-content-type-options", "nosniff")
          .send(results);
      },
    );
  });
}

interface Giver {
  readonly actor: Actor;
  readonly org: string;
  readonly repository: string | undefined;
}

async function takeLines(
  context: AttestationsRoutesContext,
  giver: Giver,
  source: AsyncIterable<Uint8Array>,
  results: Readable,
): Promise<void> {
  const counts: Counts = { added: 0, present: 0, repeated: 0, ignored: 0, refused: 0 };
  const seen = new Set<string>();
  let lines = 0;
  const work = async (group: readonly NumberedLine[]): Promise<void> => {
    for (const result of await Promise.all(group.map((line) => takeLine(context, giver, line, seen)))) {
      counts[result.status]++;
      results.push(lineOf(result));
    }
  };
  for await (const group of lineGroups(streamedLines(bounded(source), LIMITS.bundleBytes), AT_ONCE)) {
    // Nobody takes the results any more: what was taken in stays, the rest is not read.
    if (results.destroyed) return;
    const allowed = group.slice(0, BULK_LIMITS.lines - lines);
    lines += allowed.length;
    await work(allowed);
    if (allowed.length < group.length) {
      throw new Problem(413, "too-many-lines", `a file has at most ${BULK_LIMITS.lines} lines`);
    }
  }
  results.push(lineOf({ summary: { lines, ...counts } }));
  results.push(null);
}

async function* bounded(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > BULK_LIMITS.fileBytes) {
      throw new Problem(413, "too-large", `a file has at most ${BULK_LIMITS.fileBytes} bytes`);
    }
    yield chunk;
  }
}

async function takeLine(
  context: AttestationsRoutesContext,
  giver: Giver,
  { line, bytes }: NumberedLine,
  seen: Set<string>,
): Promise<LineResult> {
  if (bytes === undefined) {
    return {
      line,
      status: "ignored",
      code: "too-large",
      message: `the line has more than ${LIMITS.bundleBytes} bytes`,
    };
  }
  let evidence: string | undefined;
  try {
    const piece = readLine(bytes);
    if (seen.has(piece.evidence)) return { line, status: "repeated", evidence: piece.evidence };
    ({ evidence } = piece);
    seen.add(evidence);
    // Each line may cost what one request may: all of them share the server with others, by turns.
    const { created, sequence, earlier } = await takeIn(withinOneRequest(context), giver, bytes, piece);
    const again = earlier === null ? {} : { earlier };
    return { line, status: created ? "added" : "present", evidence, sequence, ...again };
  } catch (error) {
    // The same line further on is as good as a new one.
    if (evidence !== undefined) seen.delete(evidence);
    if (error instanceof EvidenceError) return { line, status: "ignored", code: error.code, message: error.message };
    // Refused for what it is: the others may still be taken. Refused for who sends it, or broken: that is the file's end.
    if (error instanceof Problem && [400, 409].includes(error.status)) {
      return { line, status: "refused", code: error.code, message: error.message };
    }
    if (error instanceof ServerError && (LINE_FAULTS.has(error.code) || error.code === "artifacts-busy")) {
      return { line, status: "refused", code: error.code, message: error.message };
    }
    throw error;
  }
}

/** What ended the work on a file before its end. What is no problem of the giver's reveals nothing. */
function problemOf(error: unknown): { code: string; message: string } {
  if (error instanceof Problem) return { code: error.code, message: error.message };
  if (error instanceof ServerError && (PASSING.has(error.code) || retryAfter(error) !== undefined)) {
    return { code: error.code, message: `${error.message}: the rest of the file was not taken in, send it again` };
  }
  return { code: "internal", message: "the rest of the file was not taken in: send it again" };
}

function lineOf(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
