import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import {
  type CheckMemory,
  type DatedFinding,
  type Moment,
  type Pass,
  type Recalled,
  recallChecks,
  recallScrub,
  type ScrubMemory,
} from "./memory.ts";

/** What the route needs. */
export interface IntegrityRoutesContext {
  readonly dataDirectory: string;
  /** Lets administrators pass. @throws Problem for everybody else. */
  readonly administrator: (request: FastifyRequest) => Promise<unknown>;
}

const isoTime = z.string().describe("ISO 8601, UTC.");
const moment = z.strictObject({ time: isoTime, events: z.int().describe("Events in the record then.") });

const findingSchema = z.strictObject({
  kind: z.string().describe("The layer it was found in."),
  where: z.string().describe("Names the damaged thing."),
  problem: z.string(),
  action: z.string().describe("What to do."),
  since: z.strictObject({
    found: moment.describe("When it was found first."),
    whole: moment.nullable().describe("The last time it was looked at and found whole; null when none is known."),
  }),
});

const passSchema = z.strictObject({
  kind: z.enum(["full", "incremental", "scrub"]),
  startedAt: isoTime,
  finishedAt: isoTime,
  fromEvent: z.int(),
  events: z.int().describe("Events in the record then."),
  findings: z.int(),
});

const integritySchema = z.strictObject({
  state: z
    .enum(["damaged", "unknown", "whole"])
    .describe(
      "damaged: something is known to be. unknown: nothing has been looked at yet, or what was remembered of it is damaged itself. whole: what the last check or round covered was.",
    ),
  check: z.strictObject({
    last: passSchema.nullable().describe("The last `assay server check`; null when none is remembered."),
    lastFull: passSchema.nullable(),
    problem: z.string().nullable().describe("Why what it remembered is not believed."),
    findings: z.array(findingSchema),
  }),
  scrub: z.strictObject({
    lastRound: passSchema.nullable().describe("The last round that was carried through."),
    round: z
      .strictObject({ startedAt: isoTime, phase: z.enum(["record", "blobs"]), bytes: z.int() })
      .nullable()
      .describe("The round under way."),
    problem: z.string().nullable(),
    findings: z.array(findingSchema),
  }),
});

const iso = (time: number): string => new Date(time).toISOString();
const showMoment = ({ time, size }: Moment) => ({ time: iso(time), events: size });

function showPass(pass: Pass | undefined): z.output<typeof passSchema> | null {
  if (pass === undefined) return null;
  const { kind, started, finished, from, size, findings } = pass;
  return { kind, startedAt: iso(started), finishedAt: iso(finished), fromEvent: from, events: size, findings };
}

function showFinding({ kind, where, problem, action, since }: DatedFinding): z.output<typeof findingSchema> {
  const { found, whole } = since;
  return {
    kind,
    where,
    problem,
    action,
    since: { found: showMoment(found), whole: whole === null ? null : showMoment(whole) },
  };
}

/** That nothing is known to be damaged means little while nothing was looked at: then the answer is that it is not known. */
function integrityState(
  checks: Recalled<CheckMemory>,
  scrub: Recalled<ScrubMemory>,
): z.output<typeof integritySchema>["state"] {
  const memories = [checks, scrub].flatMap((recalled) => (recalled.kind === "there" ? [recalled.memory] : []));
  if (memories.some(({ findings }) => findings.length > 0)) return "damaged";
  if (checks.kind === "damaged" || scrub.kind === "damaged") return "unknown";
  return memories.some(({ passes }) => passes.length > 0) ? "whole" : "unknown";
}

/** What the last check and the background scrub found, in the own API. */
export function registerIntegrityRoutes(instance: FastifyInstance, context: IntegrityRoutesContext): void {
  instance.withTypeProvider<ZodTypeProvider>().get(
    "/api/assay/v1/integrity",
    {
      schema: {
        summary: "What the last check and the background scrub found",
        tags: ["record"],
        response: { 200: integritySchema },
      },
    },
    async (request) => {
      await context.administrator(request);
      const checks = await recallChecks(context.dataDirectory);
      const scrub = await recallScrub(context.dataDirectory);
      const check = checks.kind === "there" ? checks.memory : { passes: [], findings: [] };
      const rounds = scrub.kind === "there" ? scrub.memory : { round: null, passes: [], findings: [] };
      const { round } = rounds;
      return {
        state: integrityState(checks, scrub),
        check: {
          last: showPass(check.passes.at(-1)),
          lastFull: showPass(check.passes.findLast(({ kind }) => kind === "full")),
          problem: checks.kind === "damaged" ? checks.problem : null,
          findings: check.findings.map(showFinding),
        },
        scrub: {
          lastRound: showPass(rounds.passes.at(-1)),
          round: round && { startedAt: iso(round.started), phase: round.phase, bytes: round.bytes },
          problem: scrub.kind === "damaged" ? scrub.problem : null,
          findings: rounds.findings.map(showFinding),
        },
      };
    },
  );
}
