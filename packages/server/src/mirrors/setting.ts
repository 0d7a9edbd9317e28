import { parseJson } from "@assay/evidence";
import { z } from "zod";
import { canonicalRepository } from "../access/names.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { STALE_RULES } from "./schema.ts";

/** A repository on another registry. */
export interface RemotePlace {
  /** Scheme, host and port. */
  readonly origin: string;
  /** `host` or `host:port`, as URLs spell it. */
  readonly host: string;
  /** The repository's name there. */
  readonly repository: string;
}

/** Reads `https://host/name` of a repository on another registry; undefined when it is none. */
export function readRemoteUrl(text: string): RemotePlace | undefined {
  if (text.length > MIRROR_LIMITS.urlLength || /[#?\s\\%]/.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
  if (url.username !== "" || url.password !== "") return undefined;
  const repository = url.pathname.slice(1);
  // What a URL parser makes of dots and doubled slashes is no name that anybody wrote.
  if (`${url.origin}/${repository}` !== text.replace(/^([a-z]+:\/\/[^/]+)/i, url.origin)) return undefined;
  return canonicalRepository(repository, "-") === undefined
    ? undefined
    : { origin: url.origin, host: url.host, repository };
}

export const remoteUrlSchema = z
  .string()
  .max(MIRROR_LIMITS.urlLength)
  .refine((text) => readRemoteUrl(text) !== undefined, {
    error: "is https://, a registry's host and the name of a repository there, without user, query or fragment",
  });

/** `host` or `host:port` as URLs spell them: lower case, without the scheme's own port. */
export const hostSchema = z
  .string()
  .max(255)
  .refine((host) => URL.canParse(`https://${host}/`) && new URL(`https://${host}/`).host === host, {
    error: "is a host, or host:port, in lower case and without a scheme",
  });

export const credentialSchema = z.strictObject({
  username: z
    .string()
    .min(1)
    .max(MIRROR_LIMITS.username)
    // RFC 7617 §2: a colon would end it.
    .regex(/^[^:\p{Cc}]+$/u, "has no colon and no control characters"),
  password: z
    .string()
    .min(1)
    .max(MIRROR_LIMITS.password)
    .regex(/^[^\p{Cc}]+$/u, "has no control characters")
    .describe("A password or a token. Kept encrypted, and never shown."),
});

export type Credential = z.output<typeof credentialSchema>;

const distinct = (list: readonly string[]): boolean => new Set(list).size === list.length;

export const tokenHostsSchema = z
  .array(hostSchema)
  .max(MIRROR_LIMITS.tokenHosts)
  .refine(distinct, "names a host twice")
  .default([])
  .describe(
    "Hosts besides the registry's own that it may send this server to for tokens, and that are shown the credential: auth.docker.io for registry-1.docker.io.",
  );

/** What an organisation's admins say of a mirror. No secret is in it. */
export const mirrorSchema = z.strictObject({
  url: remoteUrlSchema.describe("What is mirrored: https://registry-1.docker.io/library/alpine."),
  tokenHosts: tokenHostsSchema,
  maxAgeMs: z
    .int()
    .min(0)
    .max(MIRROR_LIMITS.longestMaxAgeMs)
    .default(MIRROR_LIMITS.maxAgeMs)
    .describe("How long what a tag names is believed before the upstream is asked again."),
  stale: z
    .enum(STALE_RULES)
    .default("serve")
    .describe("What a pull by a tag that is too old gets while the upstream gives no answer."),
  evidence: z.boolean().default(true).describe("Whether referrers and cosign's tags come along."),
});

export type MirrorSetting = z.output<typeof mirrorSchema>;

/** A credential's name in the record: random, and of no use without the key it is encrypted under. */
export const credentialId = z.string().regex(/^[0-9a-f]{32}$/);

const hostsColumn = z.array(z.string());

/** The hosts a row holds as JSON: written by our own projection. */
export function hostsOfRow(row: { readonly token_hosts: string }): string[] {
  return hostsColumn.parse(parseJson(Buffer.from(row.token_hosts, "utf8"), { maxBytes: 64 * 1024, maxDepth: 4 }));
}
