import { createHash } from "node:crypto";
import { isJsonObject, LIMITS, parseDigest, parseJson } from "@assay/evidence";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { decodeCursor, encodeCursor } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { newestSequence } from "../record/newest.ts";
import { bundlesAbout, countOtherForms } from "./about-queries.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { digestSchema } from "./piece.ts";
import { type EvidenceAbout, repositoriesOf } from "./queries.ts";
import { MAX_EVIDENCE_BYTES } from "./reading.ts";
import { repositoryIn } from "./repository-in.ts";
import { type EvidenceSight, evidenceSight, visiblePage } from "./sight.ts";

/** Bytes of bundles after which an answer is cut; what is left comes with the next page. */
const ANSWER_BYTES = 32 * 1024 * 1024;

/** GitHub's short names of predicate types (REST API, "List attestations"). */
const SHORT_TYPES: Readonly<Record<string, readonly string[]>> = {
  provenance: ["https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"],
  sbom: ["https://spdx.dev/Document", "https://spdx.dev/Document/v2.3", "https://cyclonedx.org/bom"],
  release: ["https://in-toto.io/attestation/release/v0.1", "https://in-toto.io/attestation/release/v0.2"],
};

const pageQuery = z.object({
  per_page: z.coerce.number().int().min(1).max(100).default(30),
  after: z.string().max(256).optional(),
  before: z.string().max(256).optional(),
  predicate_type: z.string().min(1).max(LIMITS.typeLength).optional(),
});

type PageQuery = z.output<typeof pageQuery>;

const answer = z.strictObject({
  attestations: z.array(
    z.strictObject({
      bundle: z.record(z.string(), z.unknown()),
      repository_id: z.int().describe("A number made of the repository's name; 0 when it was given to none."),
      bundle_url: z.literal("").describe("Readers take the bundle beside it where this is empty."),
      initiator: z.string(),
    }),
  ),
});

/** The own API's errors, as the form of every other door is made from them. */
const problemIn = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

const summary = "List the attestations of an artifact in GitHub's form";
const description =
  "Sigstore bundles only, newest first; how many other pieces there are is in the header Assay-Left-Out. Pages go on by the Link header. What a bundle is worth, its reader verifies.";

/**
 * The reads of GitHub's attestations API, for its readers: owner is the organisation. Errors come in GitHub's form too.
 *
 * Source: GitHub REST API, "Attestations" (orgs and repos), version 2022-11-28.
 */
export function registerGithubRoutes(instance: FastifyInstance, context: AttestationsRoutesContext): void {
  const { reader, blobs, publicUrl } = context;
  const owner = z.string().min(1).max(64);

  void instance.register(async (door) => {
    door.addHook("preSerialization", async (_request, reply, payload) => {
      const refused = reply.statusCode < 400 ? undefined : problemIn.safeParse(payload).data;
      if (refused === undefined) return payload;
      const { code, message } = refused.error;
      return { message, documentation_url: `${publicUrl}/openapi.json`, status: String(reply.statusCode), code };
    });
    // GitHub's own clients call the scheme "token".
    door.addHook("onRequest", async ({ headers }) => {
      if (headers.authorization !== undefined)
        headers.authorization = headers.authorization.replace(/^token +/i, "Bearer ");
    });
    const app = door.withTypeProvider<ZodTypeProvider>();
    app.get(
      "/orgs/:org/attestations/:digest",
      {
        schema: {
          summary,
          description,
          tags: ["evidence"],
          params: z.object({ org: owner, digest: digestSchema }),
          querystring: pageQuery,
          response: { 200: answer },
        },
      },
      async (request, reply) => {
        const { org, digest } = request.params;
        return list(request, reply, { org, digest, name: undefined, query: request.query });
      },
    );
    app.get(
      "/repos/:owner/:repo/attestations/:digest",
      {
        schema: {
          summary: `${summary}, of one repository`,
          description,
          tags: ["evidence"],
          params: z.object({ owner, repo: z.string().min(1).max(LIMITS.repositoryLength), digest: digestSchema }),
          querystring: pageQuery,
          response: { 200: answer },
        },
      },
      async (request, reply) => {
        const { owner: org, repo, digest } = request.params;
        return list(request, reply, { org, digest, name: `${org}/${repo}`, query: request.query });
      },
    );
  });

  async function list(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: { org: string; digest: string; name: string | undefined; query: PageQuery },
  ): Promise<z.output<typeof answer>> {
    const { org, name, query } = asked;
    const sight = await evidenceSight(context, request, org);
    const repository = repositoryIn(org, name);
    const subject = parseDigest(asked.digest);
    const { per_page: limit, predicate_type: type } = query;
    if (query.after !== undefined && query.before !== undefined) {
      throw new Problem(400, "request-invalid", "a page is after something or before something, not both");
    }
    const after = query.after === undefined ? undefined : decodeCursor(query.after);
    const before = query.before === undefined ? undefined : decodeCursor(query.before);
    const asOf = (after ?? before)?.asOf ?? (await newestSequence(reader));
    // A page that goes back begins at its oldest piece, and so does what it is read from.
    const nearestFirst = (rows: readonly EvidenceAbout[]): readonly EvidenceAbout[] =>
      before === undefined ? rows : rows.toReversed();
    const { rows, scannedTo } = await visiblePage(
      sight,
      { after: (before ?? after)?.position, wanted: limit + 1 },
      async (place, most) => {
        const bundles = await bundlesAbout(reader, org, subject, {
          asOf,
          ...(before === undefined ? { after: place } : { before: place }),
          limit: most,
          predicateTypes: type === undefined ? undefined : typesOf(type),
          repository,
        });
        return { rows: nearestFirst(bundles), scannedTo: undefined };
      },
      (row) => row.about,
    );
    const found = nearestFirst(rows);
    // Of a page that goes back, the piece too many is the newest, at its head.
    const isMore = found.length > limit;
    const page = before === undefined ? found.slice(0, limit) : found.slice(-limit);
    const fitting = withinBytes(page);
    const isCut = fitting.length < page.length;
    const links: string[] = [];
    const link = (rel: "next" | "prev", position: number): void => {
      // The target may be a whole URL, of a host that the client chose (RFC 9112 §3.2.2): of it only the path is ours to repeat.
      const url = new URL(`${publicUrl}${new URL(request.url, publicUrl).pathname}`);
      url.searchParams.set("per_page", String(limit));
      if (type !== undefined) url.searchParams.set("predicate_type", type);
      url.searchParams.set(rel === "next" ? "after" : "before", encodeCursor({ asOf, position }));
      links.push(`<${url.href}>; rel="${rel}"`);
    };
    const [first] = fitting;
    const last = fitting.at(-1);
    if (last !== undefined && (isCut || before !== undefined || isMore)) link("next", last.about);
    else if (before === undefined && scannedTo !== undefined) link("next", scannedTo);
    if (first !== undefined && (before === undefined ? after !== undefined : isMore)) link("prev", first.about);
    else if (before !== undefined && scannedTo !== undefined) link("prev", scannedTo);
    if (links.length > 0) reply.header("link", links.join(", "));
    if (sight.whole) reply.header("assay-left-out", String(await countOtherForms(reader, org, subject, asOf)));
    return { attestations: await shown(org, fitting, asOf, sight) };
  }

  async function shown(org: string, rows: readonly EvidenceAbout[], asOf: number, sight: EvidenceSight) {
    const given = await repositoriesOf(reader, org, [...new Set(rows.map((row) => row.digest))], asOf);
    // The first place that the reader may see: a later one of the same piece does not take its place.
    const places = new Map(
      given
        .filter(({ repository }) => sight.sees(repository))
        .toReversed()
        .map((place) => [place.digest, place.repository]),
    );
    const attestations: z.output<typeof answer>["attestations"] = [];
    for (const row of rows) {
      const bundle = parseJson(await blobs.readSmall(parseDigest(row.digest), MAX_EVIDENCE_BYTES));
      if (!isJsonObject(bundle)) throw new Problem(500, "internal", `the evidence ${row.digest} is no bundle`);
      const place = places.get(row.digest);
      attestations.push({
        bundle: { ...bundle },
        repository_id: place === undefined ? 0 : numberOf(place),
        bundle_url: "",
        initiator: row.actor,
      });
    }
    return attestations;
  }
}

/** The first pieces of a page whose bytes an answer takes; one at least, because an answer that brings nothing leads nowhere. */
function withinBytes(page: readonly EvidenceAbout[]): readonly EvidenceAbout[] {
  let bytes = 0;
  const end = page.findIndex((row, index) => {
    bytes += row.size;
    return bytes > ANSWER_BYTES && index > 0;
  });
  return end === -1 ? page : page.slice(0, end);
}

function typesOf(type: string): readonly string[] {
  return Object.hasOwn(SHORT_TYPES, type) ? (SHORT_TYPES[type] ?? [type]) : [type];
}

/** A repository has a name and no number here: a number below 2^48 that is always the same for the same name. */
function numberOf(repository: string): number {
  return createHash("sha256").update(repository).digest().readUIntBE(0, 6);
}
