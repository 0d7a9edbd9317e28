import { diffTrust, LIMITS, type TrustVersion } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { foreseeing } from "../attestations/artifact-bytes.ts";
import { decodeCursor, encodeCursor } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { newestSequence } from "../record/newest.ts";
import { trustVersion } from "../trust/queries.ts";
import { diffAnswer, diffSchema, readSentTrust } from "../trust/version-routes.ts";
import type { GateRoutesContext } from "./context.ts";
import { type TrustChange, walkDecisions, walkEvidence } from "./trust-preview.ts";

/** Pieces of evidence, and decisions, looked at in one request: a walk over everything is many requests, each of bounded work. */
const STEP = { evidence: 200, decisions: 20 };

/** Where a walk begins: the first events of a record are its own birth. */
const START = 0;

const worth = z.strictObject({
  status: z.enum(["verified", "refused", "reported"]),
  code: z.string().nullable().describe("Why it is refused."),
  by: z.string().nullable().describe("Who said it."),
});

const result = z.enum(["allowed", "denied"]);

const answer = z.strictObject({
  base: z.int().describe("The current version, which the change is compared with: name it when you apply the change."),
  diff: diffSchema,
  stage: z.enum(["evidence", "decisions"]),
  examined: z.int().describe("How many pieces, or decisions, were looked at in this step."),
  evidence: z.array(
    z.strictObject({
      subject: z.string(),
      repository: z.string().nullable(),
      evidence: z.string(),
      predicateType: z.string().nullable(),
      before: worth,
      after: worth,
    }),
  ),
  decisions: z.array(
    z.strictObject({
      subject: z.string(),
      repository: z.string().nullable(),
      policy: z.string(),
      before: result,
      after: result,
      reasons: z.array(z.string()),
    }),
  ),
  unjudged: z
    .array(
      z.strictObject({
        subject: z.string(),
        repository: z.string().nullable(),
        evidence: z.string().nullable().describe("The piece; null where it is an answer."),
        policy: z.string().nullable().describe("Whose answer; null where it is a piece."),
      }),
    )
    .describe("What takes more reading of artifacts to judge than one step may: whether it would change is not known."),
  next: z.string().nullable().describe("Send it as `cursor` for the next step; null when everything was looked at."),
});

const body = z.strictObject({
  file: z.record(z.string(), z.unknown()).optional().describe("A trust file, as `PUT …/trust` would take it."),
  version: z.int().nonnegative().optional().describe("An earlier version, as a rollback would bring it back."),
  cursor: z.string().max(256).optional(),
});

/** What a change of trust would change, over everything that is stored, before it is made. Nothing is recorded. */
export function registerTrustPreviewRoute(instance: FastifyInstance, context: GateRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, authenticator } = context;

  /** Who has a step under way. */
  const walking = new Set<string>();

  /** A step costs seconds, and every reader may ask for one: nobody has several under way. @throws Problem 429. */
  async function oneAtATime<T>(actor: string, walk: () => Promise<T>): Promise<T> {
    if (walking.has(actor)) {
      throw new Problem(429, "preview-running", "a step of a preview of yours is under way", {
        hint: "wait for its answer, then ask for the next",
        headers: { "retry-after": "1" },
      });
    }
    walking.add(actor);
    try {
      return await walk();
    } finally {
      walking.delete(actor);
    }
  }

  async function proposed(org: string, asked: z.output<typeof body>): Promise<TrustVersion> {
    if ((asked.file === undefined) === (asked.version === undefined)) {
      throw new Problem(400, "request-invalid", "name exactly one of `file` and `version`");
    }
    if (asked.file !== undefined) return readSentTrust(asked.file);
    const trust = await trustVersion(reader, org, { version: asked.version }, context.logs);
    if (trust !== undefined) return trust;
    throw new Problem(404, "trust-version-unknown", `${org} has no trust version ${asked.version}`);
  }

  app.post(
    "/api/assay/v1/orgs/:org/trust/preview",
    {
      bodyLimit: LIMITS.trustBytes,
      schema: {
        summary: "What would this change of trust change?",
        description:
          "Every stored piece of evidence, then every current answer of a stored policy, judged under trust as it is and as it would be; those that differ are listed. Ask again with `next` until it is null.",
        tags: ["trust"],
        params: z.object({ org: z.string().min(1).max(64) }),
        body,
        response: { 200: answer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      for (const action of ["trust.read", "evidence.read", "policy.read"] as const) {
        const refusal = await authorize(reader, actor, action, { org });
        if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      }
      return await oneAtATime(actor.id, () => step(org, request.body));
    },
  );

  async function step(org: string, asked: z.output<typeof body>): Promise<z.output<typeof answer>> {
    const place = readPlace(asked.cursor);
    const judging = foreseeing(context);
    const asOf = place?.asOf ?? (await newestSequence(reader));
    const before = await trustVersion(reader, org, { asOf }, context.logs);
    if (before === undefined) throw new Problem(404, "trust-version-unknown", `${org} has no trust then`);
    // Only whom and what is believed changes: the logs whose receipts count as time are the server's to name.
    const after: TrustVersion = { ...(await proposed(org, asked)), org, logs: before.logs };
    const diff = diffTrust(before, after);
    const change: TrustChange = { org, before, after, diff, asOf, now: (context.now ?? Date.now)() };
    const common = { base: before.version, diff: diffAnswer(diff), evidence: [], decisions: [] };
    if (place === undefined || place.stage === "evidence") {
      const walked = await walkEvidence(judging, change, { after: place?.position ?? START, limit: STEP.evidence });
      const next =
        walked.last === undefined
          ? writePlace({ stage: "decisions", asOf, position: START })
          : writePlace({ stage: "evidence", asOf, position: walked.last });
      return {
        ...common,
        stage: "evidence" as const,
        examined: walked.examined,
        evidence: [...walked.changes],
        unjudged: [...walked.unjudged],
        next,
      };
    }
    const walked = await walkDecisions(judging, change, { after: place.position, limit: STEP.decisions });
    const next = walked.last === undefined ? null : writePlace({ stage: "decisions", asOf, position: walked.last });
    const decisions = walked.changes.map((one) => ({ ...one, reasons: [...one.reasons] }));
    const unjudged = [...walked.unjudged];
    return { ...common, stage: "decisions" as const, examined: walked.examined, decisions, unjudged, next };
  }
}

interface Place {
  readonly stage: "evidence" | "decisions";
  readonly asOf: number;
  readonly position: number;
}

function writePlace({ stage, asOf, position }: Place): string {
  return `${stage}.${encodeCursor({ asOf, position })}`;
}

/** @throws Problem 400 `cursor-invalid`. */
function readPlace(cursor: string | undefined): Place | undefined {
  if (cursor === undefined) return undefined;
  const [stage = "", rest = ""] = cursor.split(".", 2);
  const { asOf, position } = decodeCursor(rest);
  if (stage !== "evidence" && stage !== "decisions")
    throw new Problem(400, "cursor-invalid", "the cursor is not one of this list");
  return { stage, asOf, position };
}
