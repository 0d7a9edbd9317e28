import { z } from "zod";
import { accept, type CommandDefinition, defineCommand, type Refusal, refuse } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { authorize, credentialRefusal, principalUnknown } from "./authorize.ts";
import { nameSchema, serviceAccountId } from "./names.ts";
import { findPrincipal } from "./queries.ts";
import { isPatternOf } from "./repository-pattern.ts";
import { type OutsideClaims, satisfies, workloadIdentitySchema } from "./workload-identity.ts";
import {
  countWorkloads,
  currentWorkload,
  findExchange,
  identityOfRow,
  repositoriesOfRow,
  type WorkloadRow,
} from "./workload-queries.ts";

/** Workload identities an organisation may have. */
const MAX_WORKLOADS = 500;

/** Limits of what an outside token says, as it is recorded. */
export const MAX_SUBJECT = 1_000;
export const MAX_CLAIM_VALUE = 2_000;
export const MAX_CLAIMS = 100;

/** The one answer for an identity that is not there, that expired, that was not meant, and that is not yours. */
export function exchangeRefused(): Refusal {
  return {
    code: "exchange-refused",
    status: 400,
    message: "the token is good, but no workload identity of this name takes it",
    hint: "the identity may not be there, be over, or ask for another issuer, audience or claims: its organisation's admins can see which",
  };
}

/** The identity an outside token may act under at `time` (ms); undefined for all reasons alike. */
export async function admittingWorkload(
  reader: Reader,
  org: string,
  name: string,
  outside: OutsideClaims,
  time: number,
): Promise<WorkloadRow | undefined> {
  const row = await currentWorkload(reader, org, name);
  if (row === undefined || (row.expires_time !== null && row.expires_time <= time)) return undefined;
  return satisfies(identityOfRow(row), outside) ? row : undefined;
}

function workloadUnknown(name: string): Refusal {
  return {
    code: "workload-identity-unknown",
    status: 404,
    message: `there is no workload identity ${JSON.stringify(name)} that you may administer`,
  };
}

/** The life of workload identities, and the exchange of tokens under them. */
export const workloadCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "access.set-workload-identity",
    body: workloadIdentitySchema.extend({ name: nameSchema }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const account = serviceAccountId(org, body.serviceAccount);
      const principal = await findPrincipal(reader, account);
      if (principal === undefined || principal.ended_sequence !== null) {
        return { accepted: false, refusal: principalUnknown(account) };
      }
      const elsewhere = body.repositories?.find((pattern) => !isPatternOf(org, pattern));
      if (elsewhere !== undefined) {
        return refuse("repository-elsewhere", `${elsewhere} names no repositories of ${org}`, {
          status: 400,
          hint: `write it as ${org}/<name>`,
        });
      }
      if (body.expires !== null && body.expires <= context.time) {
        return refuse("workload-identity-past", "the identity would be over already", { status: 400 });
      }
      const known = await currentWorkload(reader, org, body.name);
      if (known === undefined && (await countWorkloads(reader, org)) >= MAX_WORKLOADS) {
        return refuse("workload-identities-full", `an organisation has at most ${MAX_WORKLOADS} workload identities`);
      }
      return accept([{ type: "access.workload-identity-set", body }], { set: context.time });
    },
  }),
  defineCommand({
    type: "access.remove-workload-identity",
    body: z.strictObject({ name: z.string().max(64) }),
    decide: async (reader, body, context) => {
      const { org } = context;
      const refusal = await authorize(reader, context.actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if ((await currentWorkload(reader, org, body.name)) === undefined) {
        return { accepted: false, refusal: workloadUnknown(body.name) };
      }
      return accept([{ type: "access.workload-identity-removed", body }]);
    },
  }),
  defineCommand({
    // Asked by the exchange's route for the service account, once the outside token proved good (outside-token.ts).
    type: "access.exchange-token",
    body: z.strictObject({
      identity: nameSchema,
      issuer: z.string().max(500),
      subject: z.string().max(MAX_SUBJECT),
      audiences: z.array(z.string().max(500)).max(20),
      claims: z
        .array(z.strictObject({ claim: z.string().max(100), value: z.string().max(MAX_CLAIM_VALUE) }))
        .max(MAX_CLAIMS),
      token: z.string().regex(/^[0-9a-f]{64}$/),
      /** Whether the token has an identifier of its own (`jti`): a single use needs one. */
      identified: z.boolean(),
    }),
    decide: async (reader, body, context) => {
      const refused = { accepted: false as const, refusal: exchangeRefused() };
      // The actor is who the identity stood for when the route looked; it must be so still.
      if (context.actor.credential.kind !== "workload-token") return refused;
      if ((await credentialRefusal(reader, context.actor)) !== undefined) return refused;
      const { identity: name, issuer, subject, audiences, token } = body;
      const claims: Record<string, string> = Object.fromEntries(body.claims.map(({ claim, value }) => [claim, value]));
      const outside: OutsideClaims = { issuer, subject, audiences, claims };
      const row = await admittingWorkload(reader, context.org, name, outside, context.time);
      if (row === undefined || row.service_account !== context.actor.id) return refused;
      const used = await findExchange(reader, { org: context.org, identity: name, token });
      if (row.single_use === 1 && (used !== undefined || !body.identified)) {
        return refuse("token-used", "this token was exchanged before, and the workload identity takes each one once", {
          status: 400,
          hint: "ask the CI for a new token (one with a jti)",
        });
      }
      const result = { since: row.from_seq, expires: row.expires_time };
      if (used !== undefined) return accept([], result);
      const asked = new Set(identityOfRow(row).conditions.map(({ claim }) => claim));
      const told = body.claims.filter(({ claim }) => asked.has(claim));
      const exchanged = {
        identity: name,
        issuer,
        subject,
        token,
        claims: told,
        repositories: repositoriesOfRow(row) ?? null,
      };
      return accept([{ type: "access.token-exchanged", body: exchanged }], result);
    },
  }),
];
