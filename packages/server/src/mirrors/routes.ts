import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { API, append, orgParams, pageParams, pageSchema, readPage, receiptField, timeSchema } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import type { Keyring } from "../keys/keyring.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { mirrorUnknown } from "./commands.ts";
import { newCredentialId, sealCredential } from "./credential.ts";
import { currentMirror, listMirrors, type MirrorRow, refusedTags } from "./queries.ts";
import { STALE_RULES } from "./schema.ts";
import { credentialSchema, hostsOfRow, mirrorSchema } from "./setting.ts";

/** What the routes of mirrors need. */
export interface MirrorRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
  readonly keyring: Keyring;
  /** Tells the pulls of this process that a setting changed. */
  readonly changed: () => void;
}

const tags = ["mirrors"];
const repositoryField = z.string().min(1).max(255).describe("The whole name, org/name.");

/** Tags shown that did not follow their upstream. */
const REFUSED_SHOWN = 20;

const shownSchema = z.strictObject({
  repository: z.string(),
  url: z.string(),
  credential: z.boolean().describe("Whether the upstream is asked with one. It is never shown."),
  tokenHosts: z.array(z.string()),
  maxAgeMs: z.int(),
  stale: z.enum(STALE_RULES),
  evidence: z.boolean(),
  set: timeSchema,
  setBy: z.string(),
});

const oneSchema = shownSchema.extend({
  refusedTags: z
    .array(z.strictObject({ tag: z.string(), refused: z.string(), sequence: z.int() }))
    .describe("Release tags that the upstream moved, and that stayed here: the newest."),
});

function show(row: MirrorRow): z.output<typeof shownSchema> {
  return {
    repository: row.repository,
    url: row.url,
    credential: row.credential !== null,
    tokenHosts: hostsOfRow(row),
    maxAgeMs: row.max_age_ms,
    stale: row.stale,
    evidence: row.evidence === 1,
    set: row.set_time,
    setBy: row.set_by,
  };
}

/** Which repositories mirror what. */
export function registerMirrorRoutes(instance: FastifyInstance, context: MirrorRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record, keyring } = context;

  /** Who asks, if they may administer the organisation's mirrors. @throws Problem. */
  const administrator = async (request: FastifyRequest, org: string): Promise<Actor> => {
    const actor = await requireActor(context.authenticator, request);
    const refusal = await authorize(reader, actor, "org.administer", { org });
    if (refusal !== undefined) throw Problem.fromRefusal(refusal);
    return actor;
  };

  const requireMirror = async (org: string, repository: string): Promise<MirrorRow> => {
    const row = await currentMirror(reader, repository);
    if (row?.org !== org) throw Problem.fromRefusal(mirrorUnknown(repository));
    return row;
  };

  const showOne = async (row: MirrorRow): Promise<z.output<typeof oneSchema>> => ({
    ...show(row),
    refusedTags: await refusedTags(reader, row.repository, REFUSED_SHOWN),
  });

  app.get(
    `${API}/orgs/:org/mirrors`,
    {
      schema: {
        summary: "List the repositories that mirror others",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: pageParams,
        response: { 200: pageSchema(shownSchema) },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      return await readPage(
        reader,
        request.query,
        (place) => listMirrors(reader, org, place),
        (row) => row.from_seq,
        show,
      );
    },
  );

  app.get(
    `${API}/orgs/:org/mirror`,
    {
      schema: {
        summary: "What one repository mirrors",
        description: "For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: z.object({ repository: repositoryField }),
        response: { 200: oneSchema },
      },
    },
    async (request) => {
      const { org } = request.params;
      await administrator(request, org);
      return await showOne(await requireMirror(org, request.query.repository));
    },
  );

  app.put(
    `${API}/orgs/:org/mirror`,
    {
      schema: {
        summary: "Let a repository mirror one on another registry",
        description:
          "What it does not have is brought from there when somebody pulls it. Nobody else sets its tags from then on. For admins of the organisation.",
        tags,
        params: orgParams,
        body: mirrorSchema.extend({
          repository: repositoryField,
          credential: credentialSchema
            .nullable()
            .optional()
            .describe("null: the upstream is asked with none; absent: with the one that is set."),
        }),
        response: { 200: oneSchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org } = request.params;
      const actor = await administrator(request, org);
      const { credential, ...setting } = request.body;
      let id: string | null | undefined = credential === null ? null : undefined;
      if (credential !== undefined && credential !== null) {
        id = newCredentialId();
        // Kept before the event that names it: a setting whose credential is not there is none.
        const sealed = sealCredential(keyring, org, id, credential);
        await record.operate("mirrors.keep-credential", { org, id, sealed });
      }
      const body = { ...setting, ...(id === undefined ? {} : { credential: id }) };
      const appended = await append(record, { type: "mirrors.set", org, actor, body });
      context.changed();
      const row = await requireMirror(org, setting.repository);
      return { ...(await showOne(row)), receipt: appended.receipts[0] ?? null };
    },
  );

  app.delete(
    `${API}/orgs/:org/mirror`,
    {
      schema: {
        summary: "Let a repository mirror nothing any more",
        description:
          "What it has, it keeps; from then on it is pushed to like any other. For admins of the organisation.",
        tags,
        params: orgParams,
        querystring: z.object({ repository: repositoryField }),
        response: { 200: z.strictObject({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { org } = request.params;
      const actor = await administrator(request, org);
      const { repository } = request.query;
      const appended = await append(record, { type: "mirrors.remove", org, actor, body: { repository } });
      context.changed();
      return { receipt: appended.receipts[0] ?? null };
    },
  );
}
