import { digestHex, LIMITS as EVIDENCE_LIMITS, isDigest } from "@assay/evidence";
import type { Digest, ProvenTime, Verdict } from "@assay/evidence";
import type { KnownSigner, SignerKind } from "./identity.ts";
import { member, ownMembers } from "./json-member.ts";
import { quote } from "./quote.ts";

/** What is put before a decision: a verification's verdict, or a report that nobody signed. */
export type Candidate =
  | (Verdict & {
      /** When the server received it, in milliseconds. For display; a proven time is in the verdict itself. */
      readonly receivedAt?: number;
      /** The record's sequence at which it was received. */
      readonly sequence?: number;
    })
  | {
      readonly status: "reported";
      readonly evidence: Digest;
      readonly predicateType: string;
      readonly receivedAt?: number;
      readonly sequence?: number;
    };

/** A candidate as the rules see it: only fields that were found to be of their type. */
export type Considered =
  | {
      readonly form: "verified";
      readonly evidence: Digest;
      readonly predicateType: string;
      readonly predicate: unknown;
      readonly signer: KnownSigner;
      /** What the certificate authority says of the signer, by name; empty for a bare key. */
      readonly claims: ReadonlyMap<string, string>;
      readonly time: ProvenTime | null;
      readonly sequence: number | undefined;
      /**
       * The subjects that name the artifact by its sha256; empty if the statement is not about it. The verification has checked that, and
       * this checks it again.
       */
      readonly subjects: readonly unknown[];
    }
  | {
      readonly form: "refused";
      readonly evidence: Digest;
      readonly predicateType: string | undefined;
      readonly code: string;
      readonly message: string;
    }
  | { readonly form: "reported"; readonly evidence: Digest; readonly predicateType: string }
  | { readonly form: "malformed"; readonly evidence: Digest | null; readonly why: string };

const TIME_SOURCES: readonly unknown[] = [
  "received-here",
  "receipt",
  "rfc3161",
  "log",
] satisfies ProvenTime["source"][];

/** Reads a candidate as data that could be anything; what is not as declared is `malformed`, never an exception. */
export function consider(candidate: unknown, artifact: Digest): Considered {
  try {
    return read(candidate, artifact);
  } catch (error) {
    // A getter or proxy that throws: callers pass plain data, so this is a defect of the caller, and counts for nothing.
    return {
      form: "malformed",
      evidence: null,
      why: `reading it failed: ${quote(error instanceof Error ? error.message : error)}`,
    };
  }
}

function read(candidate: unknown, artifact: Digest): Considered {
  const evidence = member(candidate, "evidence");
  if (!isDigest(evidence)) return { form: "malformed", evidence: null, why: `its digest is ${quote(evidence)}` };
  const malformed = (why: string): Considered => ({ form: "malformed", evidence, why });

  const status = member(candidate, "status");
  const predicateType = member(candidate, "predicateType");
  if (status === "reported") {
    return typeof predicateType === "string"
      ? { form: "reported", evidence, predicateType }
      : malformed("a report without predicate type");
  }
  if (status === "refused") {
    const code = member(candidate, "code");
    const message = member(candidate, "message");
    if (typeof code !== "string" || typeof message !== "string") return malformed("a refusal without code or message");
    return {
      form: "refused",
      evidence,
      predicateType: typeof predicateType === "string" ? predicateType : undefined,
      code,
      message,
    };
  }
  if (status !== "verified") return malformed(`its status is ${quote(status)}`);

  const type = member(candidate, "statement", "predicateType");
  const signer = readSigner(member(candidate, "signer"));
  const time = readTime(member(candidate, "time"));
  const sequence = member(candidate, "sequence");
  if (typeof type !== "string") return malformed("a verdict without predicate type");
  if (signer === undefined) return malformed("a verdict without signer, or without the trust entries of its key");
  if (time === undefined) return malformed("a verdict whose time is not one");
  if (sequence !== undefined && typeof sequence !== "number") return malformed("its sequence is not a number");
  return {
    form: "verified",
    evidence,
    predicateType: type,
    predicate: member(candidate, "statement", "predicate"),
    signer,
    claims: readClaims(member(candidate, "signer", "certificate", "claims")),
    time,
    sequence,
    subjects: naming(member(candidate, "statement", "subjects"), artifact),
  };
}

/** Claims of one certificate that are read. */
const CLAIMS = 64;

function readClaims(value: unknown): ReadonlyMap<string, string> {
  const claims = new Map<string, string>();
  for (const [name, claim] of Object.entries(ownMembers(value) ?? {}).slice(0, CLAIMS))
    if (typeof claim === "string") claims.set(name, claim);
  return claims;
}

const SIGNER_KINDS: readonly unknown[] = ["key", "certificate", "openpgp"] satisfies SignerKind[];
const KEY_ID = { key: /^[0-9a-f]{64}$/, certificate: /^[0-9a-f]{64}$/, openpgp: /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/ };

/** Without all entries of the key nobody could be excepted, and one that signed must be among them: else there is no signer. */
function readSigner(value: unknown): KnownSigner | undefined {
  const [keyId, entry, name] = [member(value, "keyId"), member(value, "entry"), member(value, "name")];
  const kind = member(value, "kind");
  if (!isSignerKind(kind) || typeof keyId !== "string" || !KEY_ID[kind].test(keyId)) return undefined;
  // Material of before there were other signers has none, and its signers are keys.
  const principal = member(value, "principal") ?? (kind === "certificate" ? undefined : keyId);
  if (typeof principal !== "string" || !/^[0-9a-f]{40,64}$/.test(principal)) return undefined;
  if (typeof entry !== "string" || typeof name !== "string") return undefined;
  const entries = member(value, "entries");
  if (!Array.isArray(entries) || entries.length > EVIDENCE_LIMITS.trustEntries) return undefined;
  const [signedAs, knownAs, names] = [new Set<string>(), new Set<string>(), new Set<string>()];
  let found = false;
  for (const held of entries) {
    const [id, called, counts] = [member(held, "entry"), member(held, "name"), member(held, "counts")];
    if (typeof id !== "string" || typeof called !== "string" || typeof counts !== "boolean") return undefined;
    knownAs.add(id).add(called);
    if (counts) {
      signedAs.add(id).add(called);
      names.add(called);
    }
    found ||= counts && id === entry && called === name;
  }
  return found ? { kind, keyId, principal, entry, name, names: [...names].sort(), signedAs, knownAs } : undefined;
}

function isSignerKind(kind: unknown): kind is SignerKind {
  return SIGNER_KINDS.includes(kind);
}

function readTime(value: unknown): ProvenTime | null | undefined {
  if (value === null) return null;
  const [source, time, evidence] = [member(value, "source"), member(value, "time"), member(value, "evidence")];
  if (
    !TIME_SOURCES.includes(source) ||
    typeof time !== "number" ||
    !Number.isSafeInteger(time) ||
    typeof evidence !== "string"
  )
    return undefined;
  return { source: source as ProvenTime["source"], time, evidence };
}

/** The subjects that have the artifact's sha256, in exactly its form. Names and other algorithms prove nothing. */
function naming(subjects: unknown, artifact: Digest): readonly unknown[] {
  const hex = digestHex(artifact);
  return Array.isArray(subjects) ? subjects.filter((subject) => member(subject, "digest", "sha256") === hex) : [];
}
