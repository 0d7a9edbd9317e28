import { parseJson } from "@assay/evidence";
import { z } from "zod";
import { nameSchema } from "../access/names.ts";
import { repositoryPatternSchema } from "../access/repository-pattern.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";

/** What an endpoint can be told of. */
export const WEBHOOK_KINDS = ["push", "delete", "tag", "evidence", "decision", "quota"] as const;

export type WebhookKind = (typeof WEBHOOK_KINDS)[number];

/** How the messages are written: CloudEvents of our own types, or CDEvents carried in CloudEvents. */
export const WEBHOOK_FORMATS = ["cloudevents", "cdevents"] as const;

export type WebhookFormat = (typeof WEBHOOK_FORMATS)[number];

/**
 * An endpoint's URL. It stands in the record and is shown to the organisation's admins: it is no place for a secret. Whether its host may be
 * asked is decided at each delivery, by the addresses it then has (egress/).
 */
const urlSchema = z
  .string()
  .max(WEBHOOK_LIMITS.urlLength)
  .refine((text) => {
    if (!URL.canParse(text)) return false;
    const url = new URL(text);
    const scheme = url.protocol === "https:" || url.protocol === "http:";
    return scheme && url.username === "" && url.password === "" && !/[#\s]/.test(text);
  }, "is a URL that begins with https://, without a user or a fragment");

const distinct = (list: readonly string[]): boolean => new Set(list).size === list.length;

/** What an organisation's admins say of an endpoint. */
export const endpointSchema = z.strictObject({
  url: urlSchema.describe("Where messages are POSTed to. It is recorded: keep secrets out of it."),
  kinds: z
    .array(z.enum(WEBHOOK_KINDS))
    .min(1)
    .max(WEBHOOK_KINDS.length)
    .refine(distinct, "names a kind twice")
    .describe("What it is told of."),
  repositories: z
    .array(repositoryPatternSchema)
    .min(1)
    .max(WEBHOOK_LIMITS.repositories)
    .nullable()
    .default(null)
    .describe("Only of these repositories; null: of all, and of what lies in none."),
  format: z.enum(WEBHOOK_FORMATS).default("cloudevents"),
});

export type Endpoint = z.output<typeof endpointSchema>;

export const webhookName = nameSchema;

/** A secret's name in the record: random, and of no use without the key it is derived with. */
export const secretId = z.string().regex(/^[0-9a-f]{32}$/);

const kindsColumn = z.array(z.enum(WEBHOOK_KINDS));
const repositoriesColumn = z.array(z.string());

/** The lists a row holds as JSON: written by our own projection. */
export function filterOfRow(row: { readonly kinds: string; readonly repositories: string | null }): {
  kinds: WebhookKind[];
  repositories: string[] | null;
} {
  const read = (text: string) => parseJson(Buffer.from(text, "utf8"), { maxBytes: 64 * 1024, maxDepth: 4 });
  return {
    kinds: kindsColumn.parse(read(row.kinds)),
    repositories: row.repositories === null ? null : repositoriesColumn.parse(read(row.repositories)),
  };
}
