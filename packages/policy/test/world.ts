import { createHash } from "node:crypto";
import type { Digest, JsonObject, JsonValue, ProvenTime, RefusalCode } from "@assay/evidence";
import type { Candidate, Decision, DecisionRequest } from "../src/index.ts";
import { evaluate, parsePolicy } from "../src/index.ts";

/** A small world for tests of rules: one artifact, keys named by words, evidence made from what a test wants to vary. */

export const DAY = 86_400_000;
/** The time of every decision unless a test says otherwise. */
export const NOW = Date.UTC(2026, 10, 22, 12);

export function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

export function digest(text: string): Digest {
  return `sha256:${hash(text)}` as Digest;
}

export const ARTIFACT = digest("artifact");
export const COSIGN = "https://sigstore.dev/cosign/sign/v1";

export type Verified = Extract<Candidate, { status: "verified" }>;

type Said = {
  readonly by?: string;
  /** The word whose hash is the key's id; by default the signer's name. */
  readonly key?: string;
  readonly entry?: string;
  /** How the signer proves who it is; a key unless said otherwise. */
  readonly kind?: "key" | "certificate" | "openpgp";
  /** The word whose hash counts as the one signer; left out for a key, whose id does. */
  readonly principal?: string;
  /** What the certificate says of its holder. */
  readonly claims?: { readonly [name: string]: string };
  /** Annotations of the statement's subject. */
  readonly annotations?: JsonObject;
  /** Further trust entries of the key, by name: true for those that cover the evidence. */
  readonly also?: { readonly [name: string]: boolean };
  readonly type?: string;
  /** Any JSON, also what verification would have refused: rules do not rely on that. */
  readonly predicate?: JsonValue;
  readonly about?: Digest;
  /** Proven time in milliseconds; null for none. By default an hour before NOW. */
  readonly at?: number | null;
  readonly source?: ProvenTime["source"];
  /** Makes evidence of the same words different evidence. */
  readonly nonce?: string;
  readonly sequence?: number;
};

/** Evidence that verified. */
export function said(what: Said = {}): Verified {
  const {
    by = "release-key",
    type = COSIGN,
    predicate = {},
    about = ARTIFACT,
    at = NOW - 3_600_000,
    source = "received-here",
  } = what;
  const { kind = "key" } = what;
  // Version 4 fingerprints of OpenPGP have 40 digits.
  const keyId = kind === "openpgp" ? hash(what.key ?? by).slice(0, 40) : hash(what.key ?? by);
  const principal = kind === "key" && what.principal === undefined ? undefined : hash(what.principal ?? what.key ?? by);
  const entry = what.entry ?? `entry-${by}`;
  const others = Object.entries(what.also ?? {}).map(([name, counts]) => ({ entry: `entry-${name}`, name, counts }));
  const entries = [{ entry, name: by, counts: true }, ...others];
  return {
    status: "verified",
    evidence: digest(JSON.stringify([keyId, type, predicate, about, at, what.nonce, what.also, what.annotations])),
    statement: {
      predicateType: type,
      subjects: [
        {
          name: "x",
          digest: { sha256: about.slice(7) },
          ...(what.annotations === undefined ? {} : { annotations: what.annotations }),
        },
      ],
      predicate: predicate as JsonObject,
    },
    // Without a principal it is evidence as it was judged before there were other signers than keys.
    signer: {
      kind,
      keyId,
      algorithm: "ed25519",
      entry,
      name: by,
      entries,
      ...(principal === undefined ? {} : { principal: kind === "openpgp" ? keyId : principal }),
      ...(what.claims === undefined
        ? {}
        : { certificate: { issuer: null, subject: by, fingerprint: hash(`certificate ${by}`), claims: what.claims } }),
    } as Verified["signer"],
    primary: false,
    time: at === null ? null : { source, time: at, evidence: "record 17" },
    ...(what.sequence === undefined ? {} : { sequence: what.sequence }),
    payloadDigest: digest(JSON.stringify([type, predicate, about])),
    notEvaluated: [],
    steps: [],
  };
}

export function refused(code: RefusalCode, predicateType?: string): Candidate {
  const evidence = digest(`refused ${code} ${predicateType}`);
  return {
    status: "refused",
    evidence,
    code,
    message: "It is not so.",
    steps: [],
    ...(predicateType === undefined ? {} : { predicateType }),
  };
}

export function reported(predicateType: string): Candidate {
  return { status: "reported", evidence: digest(`reported ${predicateType}`), predicateType };
}

/** The request for a decision by a policy given as YAML rules. */
export function request(
  rules: string,
  candidates: readonly Candidate[],
  change: Partial<DecisionRequest> = {},
): DecisionRequest {
  const parsed = parsePolicy(`version: 1\nname: test\nrules:\n${rules}`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.errors, null, 2));
  return {
    policy: parsed.policy,
    policyDigest: parsed.digest,
    artifact: { digest: ARTIFACT, repository: "default/app" },
    candidates,
    trust: { org: "default", version: 3 },
    asOf: 40,
    time: NOW,
    ...change,
  };
}

export function decide(
  rules: string,
  candidates: readonly Candidate[],
  change: Partial<DecisionRequest> = {},
): Decision {
  return evaluate(request(rules, candidates, change));
}

/** The one rule's outcome and the codes of its rejections, for short assertions. */
export function outcome(decision: Decision): [string, ...string[]] {
  const [rule] = decision.rules;
  if (rule === undefined) throw new Error("no rule");
  if ((decision.result === "allowed") !== (rule.outcome === "satisfied"))
    throw new Error("result and outcome disagree");
  return [rule.outcome, ...rule.rejected.map((one) => one.code)];
}
