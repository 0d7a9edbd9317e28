import { matchesText } from "@assay/evidence";
import { z } from "zod";
import { nameSchema } from "./names.ts";
import { repositoryPatternSchema } from "./repository-pattern.ts";

/** Conditions one identity may have, and patterns of repositories. */
const MAX_CONDITIONS = 20;
const MAX_REPOSITORIES = 50;

/** A claim's name, and a value or a pattern of it, characters. */
const MAX_CLAIM = 100;
const MAX_VALUE = 1_000;

/**
 * An issuer's URL (OpenID Connect Core 1.0 §2 `iss`): https, no query, no fragment, no user. It is compared character by character: a slash at
 * the end makes it another one.
 */
export const issuerSchema = z
  .string()
  .max(500)
  .refine((text) => {
    if (!URL.canParse(text)) return false;
    const url = new URL(text);
    // "http:" is for loopback addresses the operator allowed; the guard decides that when it asks (egress/guarded-get.ts).
    const scheme = url.protocol === "https:" || url.protocol === "http:";
    return scheme && url.username === "" && url.password === "" && !/[?#\s]/.test(text) && text.startsWith(url.origin);
  }, "is an issuer's URL, exactly as its tokens spell it: https://…, without a query");

/**
 * One thing a token must say. `value` is the claim's whole text; in it `*` stands for any run of characters without "/", `**` for any run. A
 * pattern is anchored at its beginning: `*acme/app` would let `evilacme/app` in.
 */
export const conditionSchema = z.strictObject({
  claim: z
    .string()
    .max(MAX_CLAIM)
    .regex(/^[A-Za-z0-9_./:-]+$/, "is a claim's name")
    .refine((name) => name !== "__proto__", "is a claim's name"),
  value: z
    .string()
    .min(1)
    .max(MAX_VALUE)
    .regex(/^[^\p{C}]+$/u, "printable characters only")
    .refine(
      (value) => !value.startsWith("*"),
      "begins with a wildcard, and so matches look-alikes: begin with literal text",
    ),
});

export type Condition = z.output<typeof conditionSchema>;

/** Claims that say nothing about who runs: conditions on these alone would let every run of the issuer in. */
const UNTELLING: ReadonlySet<string> = new Set(["iss", "aud", "exp", "nbf", "iat", "jti"]);

/** A workload identity as it is set: whose tokens are exchanged for ours, and for what. */
export const workloadIdentitySchema = z.strictObject({
  issuer: issuerSchema.describe("As the tokens' `iss` has it; one of the server's ASSAY_OIDC_ISSUERS."),
  audience: z
    .string()
    .min(1)
    .max(500)
    .regex(/^[^\p{C}]+$/u)
    .describe(
      "What the tokens' `aud` must be, or hold: ask the CI for tokens of this audience, for example this server's URL.",
    ),
  conditions: z
    .array(conditionSchema)
    .min(1)
    .max(MAX_CONDITIONS)
    .refine(
      (conditions) => conditions.some(({ claim }) => !UNTELLING.has(claim)),
      "say nothing about who runs: name a claim such as sub, repository_id or project_id",
    )
    .describe("All must hold."),
  serviceAccount: nameSchema.describe("The service account of this organisation that its tokens act as."),
  repositories: z
    .array(repositoryPatternSchema)
    .min(1)
    .max(MAX_REPOSITORIES)
    .nullable()
    .default(null)
    .describe("Its tokens are good in these repositories only; null: wherever the service account may."),
  singleUse: z.boolean().default(false).describe("Each outside token buys one of ours, and a second time none."),
  expires: z.int().nonnegative().nullable().default(null).describe("ms since the epoch; null: until removed"),
});

export type WorkloadIdentity = z.output<typeof workloadIdentitySchema>;

/** What an outside token whose signature, issuer and times are good says. */
export interface OutsideClaims {
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
  /** The claims that are texts, numbers or booleans, as text. */
  readonly claims: Readonly<Record<string, string>>;
}

/** Whether a token satisfies an identity: issuer and audience exactly, and every condition. */
export function satisfies(
  identity: Pick<WorkloadIdentity, "issuer" | "audience" | "conditions">,
  outside: OutsideClaims,
): boolean {
  return (
    outside.issuer === identity.issuer &&
    outside.audiences.includes(identity.audience) &&
    identity.conditions.every(({ claim, value }) => {
      const said = Object.hasOwn(outside.claims, claim) ? outside.claims[claim] : undefined;
      return said !== undefined && matchesText(value, said);
    })
  );
}
