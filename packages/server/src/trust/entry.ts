import { EvidenceError, formatPublicKeyPem, LIMITS, type PublicKey, parsePublicKeyPem } from "@assay/evidence";
import { z } from "zod";

/** Current entries an organisation may have: every verification may have to try all of them. */
export const MAX_ENTRIES = 1_000;

/** Characters of an armoured OpenPGP certificate: it must fit an event. Those of distributions, minimised, take some ten thousand. */
export const MAX_CERTIFICATE = 512 * 1024;

/** Patterns or predicate types one entry may list. */
const MAX_SCOPE = 100;

/** Ids are made by the server from the sequence that added the entry; a name must not look like one. */
export const ENTRY_ID = /^entry-\d{1,16}(?:-\d{1,4})?$/;

/**
 * An entry's name, which policies use for "who". It must be unmistakable for an entry's id or a key id, because policies may
 * write either of these in its place, and hold nothing a reader cannot see.
 */
export const entryName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[\p{L}\p{M}\p{N}\p{P}\p{S}]+(?: [\p{L}\p{M}\p{N}\p{P}\p{S}]+)*$/u, {
    error: "is visible characters and single spaces",
  })
  .refine((name) => !ENTRY_ID.test(name), { error: "must not look like an entry's id" })
  .refine((name) => !/^(?:sha256:.*|[0-9a-f]{64})$/i.test(name), { error: "must not look like a key id" })
  .describe(
    "Who this is, as policies name them. Several entries may share a name: one identity, several keys or scopes.",
  );

const pattern = z
  .string()
  .min(1)
  .max(LIMITS.repositoryLength)
  .regex(/^[a-z0-9._*-]+(?:\/[a-z0-9._*-]+)*$/, {
    error: "is a repository name in which * stands for part of a component and ** for any number of components",
  });

const predicateType = z
  .string()
  .min(1)
  .max(LIMITS.typeLength)
  .regex(/^[^\s\p{Cc}]+$/u, { error: 'is a predicate type URI, or "*"' });

function unique(items: readonly string[]): boolean {
  return new Set(items).size === items.length;
}

/** What an entry's key may speak about. */
export const entryScope = z
  .strictObject({
    repositories: z
      .array(pattern)
      .min(1)
      .max(MAX_SCOPE)
      .refine(unique, { error: "lists a pattern twice" })
      .describe('Repository patterns such as "acme/app", "acme/*", or "**" for any, and for artifacts in none.'),
    predicateTypes: z
      .array(predicateType)
      .min(1)
      .max(MAX_SCOPE)
      .refine(unique, { error: "lists a type twice" })
      .describe('in-toto predicate types, each compared exactly, or "*" for any.'),
  })
  .describe("What the key may speak about.");

const moment = z.int().nonnegative().max(8.64e15).nullable();

const terms = {
  name: entryName,
  scope: entryScope,
  validFrom: moment.default(null).describe("First moment, inclusive, in ms since 1970; null for no bound."),
  validUntil: moment.default(null).describe("Last moment, inclusive, in ms since 1970; null for no bound."),
  primary: z
    .boolean()
    .default(false)
    .describe("Whether this identity sets an artifact's primary provenance in its scope."),
};

/** The name of a root: a word of a command line. */
export const rootName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, { error: "is lower-case letters, digits, dots and dashes" });

/** Whom a certificate must be for, as entries and rows keep it: the CertificateIdentity of `@assay/evidence`. */
export const certificateIdentity = z.strictObject({
  root: z.string(),
  issuer: z.string().nullable(),
  subject: z.strictObject({ kind: z.enum(["exact", "pattern"]), value: z.string() }),
});

const issuer = z
  .string()
  .min(1)
  .max(LIMITS.typeLength)
  .regex(/^https?:\/\/[^\s\p{Cc}]+$/u, { error: "is an issuer's URL, exactly as its certificates name it" })
  .nullable();

const subject = certificateIdentity.shape.subject
  .extend({
    value: z
      .string()
      .min(1)
      .max(LIMITS.typeLength)
      .regex(/^[^\p{Cc}]+$/u, { error: "holds no control characters" }),
  })
  // "*" and "**" alone mean anybody whom the issuer vouches for: on public issuers that is the whole world.
  .refine(({ kind, value }) => kind === "exact" || /[^*/.:@]/.test(value), { error: "matches anybody at all" });

/** The same as a new entry may have it. */
const certificateParts = {
  root: rootName.describe("The name of a trust root that is there."),
  issuer: issuer.describe("The OIDC issuer that the certificate names, exact; null only under a root of profile x509."),
  subject: subject.describe(
    'Whom the certificate is for: exact, or a pattern in which "*" stops at "/" and "**" does not.',
  ),
};

/** What a new entry is made of. Who says nothing of its kind means a key. */
export const entryInput = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("key").default("key"),
    ...terms,
    publicKeyPem: z
      .string()
      .min(1)
      .max(LIMITS.pemLength)
      .describe('The public key as PEM "PUBLIC KEY" (SubjectPublicKeyInfo), such as cosign.pub.'),
  }),
  z.strictObject({ kind: z.literal("certificate"), ...terms, ...certificateParts }),
  z.strictObject({
    kind: z.literal("openpgp"),
    ...terms,
    certificate: z
      .string()
      .min(1)
      .max(MAX_CERTIFICATE)
      .describe("An armoured OpenPGP public key block, as `gpg --armor --export FINGERPRINT` writes it."),
  }),
]);

export type EntryInput = z.output<typeof entryInput>;

/** What can be changed of an entry. Its key cannot: another key is another entry. */
export const entryChange = z
  .strictObject({
    name: entryName.optional(),
    scope: entryScope.optional(),
    validFrom: moment.optional(),
    validUntil: moment.optional(),
    primary: z.boolean().optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), { error: "changes nothing" });

const whole = {
  id: z.string(),
  name: z.string(),
  keyId: z.string().regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/),
  scope: z.strictObject({ repositories: z.array(z.string()), predicateTypes: z.array(z.string()) }),
  validFrom: z.int().nullable(),
  validUntil: z.int().nullable(),
  primary: z.boolean(),
};

/** An entry as events and answers carry it: the TrustEntry of `@assay/evidence`. */
export const entrySchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("key"), ...whole, publicKeyPem: z.string() }),
  z.strictObject({ kind: z.literal("certificate"), ...whole, ...certificateIdentity.shape }),
  z.strictObject({ kind: z.literal("openpgp"), ...whole, certificate: z.string() }),
]);

export type Entry = z.output<typeof entrySchema>;

/** Whether an entry's window could hold any moment at all. */
export function windowIsEmpty(window: { validFrom: number | null; validUntil: number | null }): boolean {
  return window.validFrom !== null && window.validUntil !== null && window.validFrom > window.validUntil;
}

/**
 * Why an entry that came whole, in a trust file, could not have been made here; undefined when it could. The file's reader asks less: it
 * reads what other servers and other versions wrote, and what it takes is not what our tables, policies and people are promised.
 */
export function entryFault({ id, keyId: _ofItsIdentity, ...made }: Entry): string | undefined {
  const named = `entry ${JSON.stringify(id.slice(0, 100))}`;
  const read = entryInput.safeParse(made);
  if (!read.success) return `${named}: ${z.prettifyError(read.error)}`;
  return windowIsEmpty(made) ? `${named}: validFrom lies after validUntil` : undefined;
}

/** A public key read from PEM, in the one form it is stored in; or why it cannot be one. */
export type KeyReading =
  | { readonly ok: true; readonly key: PublicKey; readonly pem: string }
  | {
      readonly ok: false;
      readonly code: "private-key-refused" | "public-key-invalid";
      readonly message: string;
      readonly hint: string;
    };

/**
 * Reads a public key strictly. A private key is refused by name, before anything else looks at it: whoever sent it must know that it
 * has left its place.
 */
export function readPublicKey(pem: string): KeyReading {
  if (/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/i.test(pem)) {
    return {
      ok: false,
      code: "private-key-refused",
      message: "this is a private key: trust takes public keys only, and nothing of it was stored",
      hint: "send the public half (cosign.pub). The private key has left its place: consider whether to replace it",
    };
  }
  if (/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/i.test(pem)) {
    return {
      ok: false,
      code: "public-key-invalid",
      message: "this is a certificate: trust entries hold public keys",
      hint: "take the key out of it: openssl x509 -pubkey -noout -in FILE",
    };
  }
  try {
    const key = parsePublicKeyPem(pem);
    return { ok: true, key, pem: formatPublicKeyPem(key) };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return { ok: false, code: "public-key-invalid", message: error.message, hint: error.hint };
  }
}
