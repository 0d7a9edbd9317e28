import { sha256 } from "@noble/hashes/sha2.js";
import type { Bundle } from "./bundle.ts";
import { toHex, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { canonicalJson } from "./jcs.ts";
import { byTime, type NoProof, noProof, passed, type Proof, type ProofRequest } from "./proof.ts";
import { signatureMiss } from "./prove-key.ts";
import { proveUnderRoot, type RootProof } from "./sigstore.ts";
import { findSigner, type SignerSearch } from "./signer.ts";
import { matchesSubject, type TrustEntry, type TrustVersion } from "./trust.ts";
import type { TrustRoot } from "./trust-root.ts";
import type { CertificateClaims, ProvenTime, RefusalCode, Step } from "./verdict.ts";
import { type Certificate, parseCertificate } from "./x509.ts";

/** Who made the signature of a bundle that carries a certificate: its holder, if a root that trust names vouches for the certificate. */
export async function proveCertificate(
  bundle: Bundle,
  certificates: readonly Uint8Array[],
  request: ProofRequest,
): Promise<Proof | NoProof> {
  const { crypto, artifact, artifactBytes, artifactHashes } = request;
  const [leafDer, ...chainDer] = certificates;
  let leaf: Certificate;
  let intermediates: Certificate[];
  try {
    if (leafDer === undefined) throw new EvidenceError("certificate-invalid", "There is no certificate.");
    leaf = parseCertificate(leafDer);
    intermediates = chainDer.map(parseCertificate);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return noProof("certificate-invalid", error.message, "certificate");
  }
  const made = passed("signature", `The certificate's key made the signature (${leaf.publicKey.algorithm}).`);
  const missed = (outcome: Exclude<SignerSearch["outcome"], "signed">): NoProof =>
    outcome === "none"
      ? noProof(
          "signature-invalid",
          "The certificate's key did not make this signature over this content.",
          "signature",
        )
      : signatureMiss(outcome, artifact, true);
  const underRoot = (root: TrustRoot): Promise<RootProof> =>
    proveUnderRoot(crypto, { bundle, leaf, intermediates, root, times: request.times });
  const search = await findSigner(crypto, bundle.content, [leaf.publicKey], artifactBytes);
  if (search.outcome === "signed") return await proveHolder(leaf, request, [made], underRoot);
  if (search.outcome !== "bytes-needed" || artifactHashes === undefined) return missed(search.outcome);
  // INVARIANT: an artifact is read only for a holder whom trust means. Anybody can make a certificate.
  return await proveHolder(leaf, request, [], underRoot, async () => {
    const found = await findSigner(crypto, bundle.content, [leaf.publicKey], undefined, artifactHashes);
    return found.outcome === "signed" ? { ok: true, step: made } : missed(found.outcome);
  });
}

/**
 * Puts a certificate before every root that an entry names. A certificate is for one subject: the one name it is issued for; of several, which
 * one signed would be the reader's choice.
 *
 * @param last what is asked only about a holder whom trust means.
 */
export async function proveHolder(
  leaf: Certificate,
  request: ProofRequest,
  before: readonly Step[],
  ask: (root: TrustRoot) => Promise<RootProof>,
  last?: () => Promise<{ readonly ok: true; readonly step: Step } | NoProof>,
): Promise<Proof | NoProof> {
  const roots = namedRoots(request.trust);
  if (roots.length === 0) {
    return noProof(
      "unknown-signer",
      "It is signed with a certificate, and no certificate is trusted.",
      "signer",
      before,
    );
  }
  const steps: Step[] = [...before];
  const good = new Map<
    string,
    { root: TrustRoot; claims: CertificateClaims; times: readonly ProvenTime[]; notEvaluated: Proof["notEvaluated"] }
  >();
  let closest: NoProof | undefined;
  for (const root of roots) {
    const claims = claimsOf(leaf, root);
    const answer = claims.ok ? await ask(root) : claims;
    steps.push({
      check: "root",
      outcome: answer.ok ? "passed" : "failed",
      detail: answer.ok
        ? `The root ${JSON.stringify(root.name)} vouches for the certificate.`
        : `The root ${JSON.stringify(root.name)} does not vouch for the certificate: ${answer.message}`,
      steps: answer.steps,
    });
    if (!answer.ok) closest = closer(closest, answer);
    else if (claims.ok)
      good.set(root.name, {
        root,
        claims: claims.claims,
        notEvaluated: answer.notEvaluated,
        times: byTime([...request.times, ...answer.times]),
      });
  }
  const [first] = good.values();
  if (first === undefined) {
    return closest === undefined
      ? noProof("chain-untrusted", "No root vouches for the certificate.", "root", steps)
      : { ok: false, code: closest.code, message: closest.message, steps };
  }
  const meant = (entry: TrustEntry): boolean => {
    if (entry.kind !== "certificate") return false;
    const under = good.get(entry.root);
    if (under === undefined || !matchesSubject(entry.subject, under.claims.subject)) return false;
    return entry.issuer === null ? under.root.profile === "x509" : entry.issuer === under.claims.issuer;
  };
  const { claims } = first;
  const who = `${claims.subject}${claims.issuer === null ? "" : `, as ${claims.issuer} says`}`;
  if (!request.trust.entries.some(meant)) {
    return noProof("unknown-signer", `The certificate is for ${who}, whom no trust entry means.`, "signer", steps);
  }
  const asked = await last?.();
  if (asked?.ok === false) return { ...asked, steps: [...steps, ...asked.steps] };
  if (asked !== undefined) steps.push(asked.step);
  return {
    ok: true,
    signer: {
      kind: "certificate",
      principal: principalOf(claims),
      algorithm: leaf.publicKey.algorithm,
      certificate: claims,
    },
    isMeant: meant,
    timesFor: (entry) => (entry.kind === "certificate" ? (good.get(entry.root)?.times ?? []) : []),
    // What one root did not look into, another may have.
    notEvaluated: first.notEvaluated.filter((kind) =>
      [...good.values()].every((one) => one.notEvaluated.includes(kind)),
    ),
    steps: [...steps, passed("signer", `The signature is by ${who}.`)],
  };
}

function namedRoots({ entries, roots }: TrustVersion): TrustRoot[] {
  const names = new Set(entries.flatMap((entry) => (entry.kind === "certificate" ? [entry.root] : [])));
  return roots.filter((root) => names.has(root.name));
}

/** One signer whatever key the certificate is for, and whatever root vouches for it. */
function principalOf({ issuer, subject }: CertificateClaims): string {
  return toHex(sha256(utf8Encode(canonicalJson({ issuer, subject }))));
}

/** How every distinguished name in RFC 4514 form begins: with the type of an attribute. */
const DISTINGUISHED = /^[A-Za-z0-9.-]+=/;

function claimsOf(leaf: Certificate, root: TrustRoot): { ok: true; claims: CertificateClaims } | NoProof {
  const [name, ...others] = leaf.names;
  const subject = name?.value ?? (root.profile === "x509" ? leaf.subjectText : "");
  if (others.length > 0) {
    return noProof("certificate-invalid", "The certificate is issued for more than one name.", "certificate");
  }
  // No alternative name may pass for the subject of a certificate that has none: issuers check the two by different rules.
  if (root.profile === "x509" && name !== undefined && DISTINGUISHED.test(name.value)) {
    return noProof("certificate-invalid", "The certificate's name reads as a distinguished name.", "certificate");
  }
  if (subject === "") return noProof("certificate-invalid", "The certificate is issued for no name.", "certificate");
  const { issuer, ...claims } = leaf.fulcio;
  return { ok: true, claims: { issuer: issuer ?? null, subject, fingerprint: leaf.fingerprint, claims } };
}

/** From the furthest from belief to the closest: of several roots, the closest failure is the one to report. */
const CLOSENESS: Partial<Record<RefusalCode, number>> = {
  "chain-untrusted": 0,
  "certificate-invalid": 1,
  "certificate-expired": 2,
  "time-unproven": 3,
};

function closer(a: NoProof | undefined, b: NoProof): NoProof {
  if (a === undefined) return b;
  return (CLOSENESS[b.code] ?? 4) > (CLOSENESS[a.code] ?? 4) ? b : a;
}
