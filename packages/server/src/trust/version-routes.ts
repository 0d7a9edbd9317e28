import {
  diffTrust,
  EvidenceError,
  LIMITS,
  parseTrustFile,
  rootJson,
  type TrustDiff,
  type TrustVersion,
  utf8Encode,
} from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { Actor, JsonObject } from "../record/command.ts";
import { entryFault, entrySchema, MAX_ENTRIES } from "./entry.ts";
import { checkFingerprints } from "./fingerprint.ts";
import { trustVersion } from "./queries.ts";
import { rootSchema } from "./root.ts";
import type { TrustRoutesContext } from "./context.ts";

const orgParams = z.object({ org: z.string().min(1).max(64) });
const versionNumber = z.coerce.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

const changesOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    added: z.array(item),
    removed: z.array(item),
    changed: z.array(z.strictObject({ before: item, after: item, members: z.array(z.string()) })),
  });

/** A difference as answers carry it: roots as trust files hold them. */
export const diffSchema = z.strictObject({ entries: changesOf(entrySchema), roots: changesOf(rootSchema) });

export function diffAnswer({ entries, roots }: TrustDiff): z.output<typeof diffSchema> {
  return diffSchema.parse({
    entries,
    roots: {
      added: roots.added.map(rootJson),
      removed: roots.removed.map(rootJson),
      changed: roots.changed.map(({ before, after, members }) => ({
        before: rootJson(before),
        after: rootJson(after),
        members,
      })),
    },
  });
}

/** A trust file that was sent, read as the offline verifier reads it, of entries that could have been made here. @throws Problem 400 with what is wrong with it. */
export function readSentTrust(file: Record<string, unknown>): TrustVersion {
  let trust: TrustVersion;
  try {
    trust = parseTrustFile(utf8Encode(JSON.stringify(file)));
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new Problem(400, error.code, error.message, { hint: error.hint, cause: error });
  }
  if (trust.entries.length > MAX_ENTRIES) {
    throw new Problem(400, "trust-full", `an organisation has at most ${MAX_ENTRIES} trust entries`);
  }
  for (const entry of trust.entries) {
    const fault = entryFault(entrySchema.parse(entry));
    if (fault !== undefined) throw new Problem(400, "trust-invalid", fault);
  }
  checkFingerprints(trust.entries);
  return trust;
}

/** Trust as data: the difference between versions, a whole file in, and an earlier version back. */
export function registerVersionRoutes(instance: FastifyInstance, context: TrustRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, authenticator } = context;
  const tags = ["trust"];
  const replacedAnswer = z.strictObject({
    version: z.int().nonnegative(),
    receipt: receiptSchema.nullable().describe("null when nothing had to change"),
  });

  async function versionOf(org: string, version: number | undefined): Promise<TrustVersion> {
    const trust = await trustVersion(reader, org, version === undefined ? {} : { version }, []);
    if (trust === undefined) throw new Problem(404, "trust-version-unknown", `${org} has no trust version ${version}`);
    return trust;
  }

  async function replace(
    actor: Actor,
    org: string,
    made: { base: number; cause: "imported" | "rolled-back"; of: number | null; trust: TrustVersion },
  ): Promise<z.output<typeof replacedAnswer>> {
    const { base, cause, of, trust } = made;
    const body: JsonObject = {
      base,
      cause,
      of,
      entries: trust.entries.map((entry) => entrySchema.parse(entry)),
      roots: trust.roots.map((root) => ({ name: root.name, root: rootSchema.parse(rootJson(root)) })),
    };
    const appended = await record.append({ type: "trust.replace", org, actor, body });
    if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
    const { version } = z.object({ version: z.int() }).parse(appended.results[0]);
    return { version, receipt: appended.receipts[0] ?? null };
  }

  app.get(
    "/api/assay/v1/orgs/:org/trust/diff",
    {
      schema: {
        summary: "What differs between two versions of trust",
        tags,
        params: orgParams,
        querystring: z.object({ from: versionNumber, to: versionNumber.optional().describe("default: the newest") }),
        response: { 200: z.strictObject({ from: z.int(), to: z.int(), diff: diffSchema }) },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "trust.read", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const [from, to] = [await versionOf(org, request.query.from), await versionOf(org, request.query.to)];
      return { from: from.version, to: to.version, diff: diffAnswer(diffTrust(from, to)) };
    },
  );

  app.put(
    "/api/assay/v1/orgs/:org/trust",
    {
      bodyLimit: LIMITS.trustBytes,
      schema: {
        summary: "Replace trust by a trust file",
        description:
          "One new version, or none if the file says what is so. Entries keep their ids if they are about the same identity here; others get new ones. The file's organisation, version and log keys are not taken over.",
        tags,
        params: orgParams,
        querystring: z.object({ base: versionNumber.describe("The version it replaces: another one is there ⇒ 412.") }),
        body: z.record(z.string(), z.unknown()),
        response: { 200: replacedAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const trust = readSentTrust(request.body);
      return await replace(actor, org, { base: request.query.base, cause: "imported", of: null, trust });
    },
  );

  app.post(
    "/api/assay/v1/orgs/:org/trust/rollback",
    {
      schema: {
        summary: "Make trust what it was at an earlier version",
        description: "A new version that says what the earlier one said. The versions between stay in the record.",
        tags,
        params: orgParams,
        body: z.strictObject({
          to: z.int().nonnegative().describe("The version to go back to."),
          base: z.int().nonnegative().describe("The version that is there now."),
        }),
        response: { 200: replacedAnswer },
      },
    },
    async (request) => {
      const actor = await requireActor(authenticator, request);
      const { org } = request.params;
      const refusal = await authorize(reader, actor, "trust.write", { org });
      if (refusal !== undefined) throw Problem.fromRefusal(refusal);
      const { to, base } = request.body;
      return await replace(actor, org, { base, cause: "rolled-back", of: to, trust: await versionOf(org, to) });
    },
  );
}
