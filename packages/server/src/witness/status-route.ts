import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { LogProver } from "../log/prover.ts";
import type { Reader } from "../storage/database.ts";
import type { WitnessPolicy } from "./policy-file.ts";
import { newestWitnessed, witnessAnswers } from "./queries.ts";
import { vkeyOf, type WitnessRounds } from "./rounds.ts";

export interface WitnessStatusContext {
  readonly reader: Reader;
  readonly prover: LogProver;
  /** Undefined when no policy is configured. */
  readonly own: { readonly policy: WitnessPolicy; readonly rounds: WitnessRounds } | undefined;
  /** Lets administrators pass. @throws Problem for everybody else. */
  readonly administrator: (request: FastifyRequest) => Promise<unknown>;
}

const isoTime = z.string().describe("ISO 8601, UTC.");

const statusSchema = z.strictObject({
  quorum: z.string().nullable().describe("The policy's name of who must have cosigned; null when nobody must."),
  published: z.int().nullable().describe("Entries under the newest published checkpoint."),
  witnessed: z.int().nullable().describe("Entries under the newest checkpoint that a quorum cosigned."),
  lateSince: isoTime.nullable().describe("A checkpoint has waited for a quorum since then, for longer than it should."),
  contradicted: z
    .array(z.string())
    .readonly()
    .describe("Witnesses that have seen another history of this log, or more of it."),
  witnesses: z.array(
    z.strictObject({
      name: z.string(),
      vkey: z.string(),
      url: z.string().nullable(),
      outcome: z
        .enum(["cosigned", "behind", "inconsistent", "refused", "unreachable", "not-asked"])
        .describe("What came of asking it last."),
      message: z.string(),
      askedAt: isoTime.nullable(),
      size: z.int().nullable().describe("The newest size it cosigned."),
      cosignedAt: isoTime.nullable().describe("When, by its own clock."),
    }),
  ),
});

/** How the witnessing of our own log stands. */
export function registerWitnessStatusRoute(instance: FastifyInstance, context: WitnessStatusContext): void {
  const { reader, prover, own } = context;
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/assay/v1/witnesses",
    {
      schema: {
        summary: "The witnesses of this server's log, and what each answered last",
        tags: ["record"],
        response: { 200: statusSchema },
      },
    },
    async (request) => {
      await context.administrator(request);
      const published = (await prover.size()) ?? null;
      if (own === undefined) {
        return { quorum: null, published, witnessed: null, lateSince: null, contradicted: [], witnesses: [] };
      }
      const { policy, rounds } = own;
      const { lateSince, contradicted } = await rounds.alarm();
      const answers = await witnessAnswers(reader);
      const reasons = new Map(policy.unasked.map(({ witness, reason }) => [witness, reason]));
      return {
        quorum: policy.policy.quorum ?? null,
        published,
        witnessed: (await newestWitnessed(reader, prover.origin))?.size ?? null,
        lateSince: lateSince === undefined ? null : new Date(lateSince).toISOString(),
        contradicted: [...contradicted],
        witnesses: policy.policy.witnesses.map((witness) => {
          const vkey = vkeyOf(witness);
          const answer = answers.get(vkey);
          return {
            name: witness.name,
            vkey,
            url: witness.url ?? null,
            outcome: outcomeSchema.parse(answer?.outcome ?? "not-asked"),
            message: answer?.message ?? reasons.get(witness) ?? "",
            askedAt: answer === undefined ? null : new Date(answer.asked).toISOString(),
            size: answer?.size ?? null,
            cosignedAt: seconds(answer?.cosigned),
          };
        }),
      };
    },
  );
}

const outcomeSchema = statusSchema.shape.witnesses.element.shape.outcome;

function seconds(time: number | null | undefined): string | null {
  return time === null || time === undefined ? null : new Date(time * 1000).toISOString();
}
