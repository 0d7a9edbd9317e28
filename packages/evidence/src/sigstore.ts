/**
 * What came with a signature in Sigstore's manner, and what it proves: RFC 3161 timestamps and log entries prove when it existed, a
 * certificate chain with its log's word (SCT) proves whose key made it. The order is that of Sigstore's client specification
 * (sigstore/architecture-docs: client-spec.md): times, log, chain, SCT. Whether the key made the signature, and whether its holder may
 * speak, is asked elsewhere (`prove-certificate.ts`).
 */
import { type Bundle, signatureOf } from "./bundle.ts";
import type { Crypto } from "./crypto.ts";
import { Explanation } from "./explanation.ts";
import type { PublicKey } from "./keys.ts";
import { type NoProof, noProof } from "./proof.ts";
import { verifySct } from "./sct.ts";
import { type TimestampResult, verifyTimestamp } from "./timestamp.ts";
import { type LogAnswer, verifyLogEntry } from "./tlog-entry.ts";
import type { TrustRoot } from "./trust-root.ts";
import type { ProvenTime, Step } from "./verdict.ts";
import type { Certificate } from "./x509.ts";
import { verifyChain } from "./x509-chain.ts";

/** When a signature existed, by the word of the authorities and logs of some roots. */
export type ProvenTimes = {
  /** Earliest first; of each timestamp authority and each log one, its earliest. */
  readonly times: readonly ProvenTime[];
  /** Ids of the logs that hold the signature, each once: what a threshold counts, never entries. */
  readonly logs: readonly string[];
  /** What was checked; material that nobody could evaluate is a step `not-evaluated`. */
  readonly steps: readonly Step[];
  /** Material on which nothing rests, because no root names an authority or log of its kind. */
  readonly notEvaluated: readonly ("tlogEntries" | "timestamps")[];
};

/**
 * When a bundle's signature existed, as far as its timestamps and log entries prove it under any of the roots. What fails is a failed step
 * and counts for nothing. `verifier` made the signature: a log entry that names anybody else is none of its.
 */
export async function provenTimesOf(
  crypto: Crypto,
  bundle: Bundle,
  roots: readonly TrustRoot[],
  verifier: PublicKey | Certificate,
): Promise<ProvenTimes> {
  const root = {
    tlogs: roots.flatMap(({ tlogs }) => tlogs),
    timestampAuthorities: roots.flatMap(({ timestampAuthorities }) => timestampAuthorities),
  };
  const stamped = await stampedTimes(crypto, bundle, root);
  const logged = await loggedTimes(crypto, bundle, root, verifier, stamped.times);
  return {
    times: earliestOfEach([...stamped.times, ...logged.times]),
    logs: logged.logs,
    steps: [...stamped.steps, ...logged.steps],
    notEvaluated: [...stamped.notEvaluated, ...logged.notEvaluated],
  };
}

/** What is asked of a root about a certificate. */
export type RootRequest = {
  readonly bundle: Bundle;
  /** The signer's certificate: the bundle's first. */
  readonly leaf: Certificate;
  /** The other certificates of the bundle: candidates for a path, trusted for nothing. */
  readonly intermediates: readonly Certificate[];
  readonly root: TrustRoot;
  /** What proves when the evidence existed, apart from itself: earliest first. */
  readonly times: readonly ProvenTime[];
};

/** A root vouches for a certificate at these moments, or does not. */
export type RootProof =
  | {
      readonly ok: true;
      readonly times: readonly ProvenTime[];
      readonly notEvaluated: ProvenTimes["notEvaluated"];
      readonly steps: readonly Step[];
    }
  | NoProof;

/**
 * Whether a root vouches for the certificate of a bundle at the moment its signature was made. Profile "sigstore": a log that the root
 * names must hold the signature, a moment must be proven by the root's timestamp authorities or logs, and the chain be valid at each such
 * moment; if the root names certificate logs, one must have seen the certificate. Profile "x509": the moment is a timestamp's, else the
 * earliest that is proven otherwise.
 */
export async function proveUnderRoot(crypto: Crypto, request: RootRequest): Promise<RootProof> {
  const { bundle, leaf, root } = request;
  const explanation = new Explanation();

  // 1. Times, and the log.
  const stamped = await stampedTimes(crypto, bundle, root);
  explanation.add(stamped.steps);
  const logged = await loggedTimes(crypto, bundle, root, leaf, stamped.times);
  explanation.add(logged.steps);
  if (root.profile === "sigstore" && root.tlogs.length > 0) {
    if (logged.problem !== undefined) return { ok: false, ...logged.problem, steps: explanation.steps };
    if (logged.logs.length === 0)
      return noProof("log-entry-missing", "No trusted log holds the signature.", "log-entry", explanation.steps);
  }
  // Another authority's timestamp may stand beside a time that holds. A false one was put there by somebody.
  if (stamped.falsehood !== undefined)
    return { ok: false, code: "timestamp-invalid", message: stamped.falsehood, steps: explanation.steps };
  const own = earliestOfEach([...stamped.times, ...logged.times]);
  const [given] = request.times;
  const times = root.profile === "x509" && own.length === 0 && given !== undefined ? [given] : own;
  if (times.length === 0) {
    return stamped.problem === undefined
      ? noProof(
          "time-unproven",
          "Nothing that the root trusts proves when the signature was made.",
          "time",
          explanation.steps,
        )
      : { ok: false, code: "timestamp-invalid", message: stamped.problem, steps: explanation.steps };
  }

  // 2. Chain, at every proven time.
  let issuer: Certificate | undefined;
  for (const { time, evidence } of times) {
    const chain = await verifyChain(crypto, {
      leaf,
      // Sigstore's roots list every certificate above the leaf: one that was taken out must not come back in with a bundle.
      intermediates: root.profile === "x509" ? [...request.intermediates] : [],
      authorities: [...root.certificateAuthorities],
      time,
      purpose: "code-signing",
    });
    const detail = `at ${new Date(time).toISOString()} (${evidence})`;
    if (!chain.ok) {
      explanation.failed("certificate-chain", `The chain does not hold ${detail}: ${chain.message}`, chain.steps);
      return { ok: false, code: chain.code, message: chain.message, steps: explanation.steps };
    }
    explanation.passed(
      "certificate-chain",
      `The certificate leads to a trusted authority and was valid ${detail}.`,
      chain.steps,
    );
    issuer = chain.chain[1] ?? leaf;
  }

  // 3. The certificate log's word.
  if (root.profile === "sigstore" && root.ctlogs.length > 0 && issuer !== undefined) {
    const sct = await verifySct(crypto, { leaf, issuer, ctlogs: [...root.ctlogs] });
    explanation.add(sct.steps);
    if (!sct.ok) return { ok: false, code: "sct-invalid", message: sct.message, steps: explanation.steps };
  }
  const notEvaluated = [...stamped.notEvaluated, ...logged.notEvaluated];
  return { ok: true, times: own, notEvaluated, steps: explanation.steps };
}

type Found = {
  readonly times: readonly Sourced[];
  readonly steps: readonly Step[];
  readonly notEvaluated: ProvenTimes["notEvaluated"];
};

/** A proven time and who proves it, by a name that is the same for all its words. */
type Sourced = { readonly by: string; readonly proven: ProvenTime };

type Stamped = Found & {
  /** The first failure. */
  readonly problem: string | undefined;
  /** The first of a timestamp that no authority can have made of this signature: unreadable, or about something else. */
  readonly falsehood: string | undefined;
};

/** The timestamps over the signature, or over the file of an envelope. */
async function stampedTimes(
  crypto: Crypto,
  bundle: Bundle,
  { timestampAuthorities }: Pick<TrustRoot, "timestampAuthorities">,
): Promise<Stamped> {
  const explanation = new Explanation();
  const times: Sourced[] = [];
  const none = { times, notEvaluated: [], problem: undefined, falsehood: undefined } as const;
  if (bundle.timestamps.length === 0) return { ...none, steps: [] };
  if (timestampAuthorities.length === 0) {
    explanation.notEvaluated("timestamp", "Nobody named to trust makes timestamps.");
    return { ...none, steps: explanation.steps, notEvaluated: ["timestamps"] };
  }
  const signature = signatureOf(bundle.content);
  let problem: string | undefined;
  let falsehood: string | undefined;
  for (const token of bundle.timestamps) {
    const over = (message: Uint8Array): Promise<TimestampResult> =>
      verifyTimestamp(crypto, token, { message, authorities: [...timestampAuthorities] });
    // cosign 2 stamps the file of an envelope, cosign 3 the signature in it, also where it writes the old form. Either existed only once signed.
    const whole = bundle.layer === undefined ? undefined : await over(bundle.layer);
    const answer = whole?.ok === true ? whole : await over(signature);
    if (!answer.ok) {
      problem ??= answer.message;
      if (!answer.isForeign) falsehood ??= answer.message;
      explanation.failed("timestamp", answer.message, answer.steps);
      continue;
    }
    const { time, authority } = answer;
    explanation.passed(
      "timestamp",
      `${authority} stamped the signature at ${new Date(time).toISOString()}.`,
      answer.steps,
    );
    times.push({ by: `tsa ${authority}`, proven: { source: "rfc3161", time, evidence: `timestamp of ${authority}` } });
  }
  return { times, steps: explanation.steps, notEvaluated: [], problem, falsehood };
}

type Logged = Found & {
  readonly logs: readonly string[];
  /** The first entry of a trusted log that is false, if there is one. */
  readonly problem: Pick<Extract<LogAnswer, { ok: false }>, "code" | "message"> | undefined;
};

/** The log entries about the signature. The times that its timestamps prove tell whether a log's key was in use where the log tells no time. */
async function loggedTimes(
  crypto: Crypto,
  bundle: Bundle,
  { tlogs }: Pick<TrustRoot, "tlogs">,
  verifier: PublicKey | Certificate,
  stamped: readonly Sourced[],
): Promise<Logged> {
  const { tlogEntries, content, layer, version } = bundle;
  const explanation = new Explanation();
  const times: Sourced[] = [];
  const logs = new Set<string>();
  const seen = new Set<string>();
  let problem: Logged["problem"];
  if (tlogEntries.length === 0) return { times, logs: [], steps: [], notEvaluated: [], problem };
  if (tlogs.length === 0) {
    explanation.notEvaluated("log-entry", "No transparency log is named to trust.");
    return { times, logs: [], steps: explanation.steps, notEvaluated: ["tlogEntries"], problem };
  }
  const request = {
    tlogs,
    logged: { content, layer, verifier },
    version,
    times: stamped.map(({ proven }) => proven.time),
  };
  for (const json of tlogEntries) {
    const answer = await verifyLogEntry(crypto, json, request);
    if (!answer.ok) {
      if (answer.known) problem ??= { code: answer.code, message: answer.message };
      explanation[answer.known ? "failed" : "notEvaluated"]("log-entry", answer.message, answer.steps);
      continue;
    }
    const { log, index, time } = answer;
    // The same entry again proves nothing more; Sigstore's clients refuse a bundle that repeats one.
    if (seen.has(`${log} ${index}`)) {
      const message = `The entry ${index} of the log ${log} stands there twice.`;
      problem ??= { code: "log-entry-invalid", message };
      explanation.failed("log-entry", message);
      continue;
    }
    seen.add(`${log} ${index}`);
    logs.add(log);
    explanation.passed("log-entry", `The log ${log} holds the signature as entry ${index}.`, answer.steps);
    if (time !== null)
      times.push({ by: `log ${log}`, proven: { source: "log", time, evidence: `entry ${index} of the log ${log}` } });
  }
  return { times, logs: [...logs], steps: explanation.steps, notEvaluated: [], problem };
}

/** Earliest first, one for each who proves it: saying a time twice is saying it once. */
function earliestOfEach(sourced: readonly Sourced[]): ProvenTime[] {
  const earliest = new Map<string, ProvenTime>();
  for (const { by, proven } of sourced.toSorted((a, b) => a.proven.time - b.proven.time)) {
    if (!earliest.has(by)) earliest.set(by, proven);
  }
  return [...earliest.values()];
}
