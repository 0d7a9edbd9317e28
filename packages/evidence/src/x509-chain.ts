/**
 * From a certificate to an authority that is trusted: RFC 5280 §6, without revocation lists, at a time that the caller has proof of.
 *
 * Invariants: the anchor is the last certificate of an authority of the trust root and nothing that came with the evidence; every
 * certificate of a path, the anchor too, is judged at that one time; work is bounded by `LIMITS.chain*` whatever is presented.
 */
import type { Crypto } from "./crypto.ts";
import { equalBytes } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { type Authority, isWithin } from "./trust-root.ts";
import type { Step } from "./verdict.ts";
import { type Certificate, parseCertificate } from "./x509.ts";
import { type ChainPurpose, type ChainRefusal, judgePath } from "./x509-path.ts";

export type ChainRequest = {
  readonly leaf: Certificate;
  /** Certificates that came with the evidence, in any order: a path may lead through them, it ends at an authority. */
  readonly intermediates: readonly Certificate[];
  readonly authorities: readonly Authority[];
  /** When the leaf was used, in ms since 1970, by proof: never the clock's now, never the signer's claim. */
  readonly time: number;
  readonly purpose: ChainPurpose;
};

export type ChainResult =
  /** `chain` is the leaf, then each issuer, the anchor last; at least two. */
  | { readonly ok: true; readonly chain: readonly Certificate[]; readonly steps: readonly Step[] }
  | (ChainRefusal & { readonly ok: false; readonly steps: readonly Step[] });

/** The last moment that a Date can hold, in ms. */
const LAST_MOMENT = 8.64e15;

/** Failed paths that an explanation tells of; one more only repeats them. */
const FAILURES_TOLD = 8;

/**
 * Finds a path from the leaf to one of the authorities and judges it. When no path is good, the refusal is that of the first path that
 * reached an anchor; when none did, `chain-untrusted`, or `weak-algorithm` if a broken signature algorithm stood in the way. Throws
 * `time-invalid`.
 */
export async function verifyChain(crypto: Crypto, request: ChainRequest): Promise<ChainResult> {
  if (!Number.isSafeInteger(request.time) || Math.abs(request.time) > LAST_MOMENT)
    throw new EvidenceError("time-invalid", "A chain is verified at a time in whole milliseconds.");
  const search = new PathSearch(crypto, request);
  for (const authority of request.authorities) {
    const found = await search.under(authority);
    if (found !== undefined) return { ok: true, chain: found.chain, steps: found.steps };
  }
  const refusal = search.refusal();
  const told = search.steps.some(({ check }) => check === "certificate-chain");
  const last: Step = { check: "certificate-chain", outcome: "failed", detail: refusal.message };
  return { ok: false, ...refusal, steps: told ? search.steps : [...search.steps, last] };
}

type Found = { readonly chain: readonly Certificate[]; readonly steps: readonly Step[] };

class PathSearch {
  readonly #crypto: Crypto;
  readonly #request: ChainRequest;
  readonly steps: Step[] = [];
  #complete: ChainRefusal | undefined;
  #weak: ChainRefusal | undefined;
  #unsupported: ChainRefusal | undefined;
  #extensions = 0;
  /** Answers by fingerprints of subject and issuer: paths share their ends. */
  readonly #signatures = new Map<string, boolean>();

  constructor(crypto: Crypto, request: ChainRequest) {
    this.#crypto = crypto;
    this.#request = request;
  }

  async under(authority: Authority): Promise<Found | undefined> {
    const { leaf, intermediates, time } = this.#request;
    const own = certificatesOf(authority);
    const anchor = own.at(-1);
    if (anchor === undefined) return undefined;
    if (!isWithin(authority, time)) {
      this.#tell({
        check: "authority-window",
        outcome: "failed",
        detail: `The authority ${nameOf(anchor)} is not trusted at ${at(time)}.`,
      });
      return undefined;
    }
    const pool = new Map<string, Certificate>();
    for (const certificate of [...own, ...intermediates.slice(0, LIMITS.chainPool)]) {
      if (certificate.isCa) pool.set(certificate.fingerprint, certificate);
    }
    pool.delete(leaf.fingerprint);
    pool.set(anchor.fingerprint, anchor);
    return this.#extend([leaf], anchor, await this.#issuedBelow(anchor, [...pool.values()]));
  }

  /**
   * The certificates of the pool that the anchor issued, at whatever distance: no others are on any good path. Found from the anchor down, so
   * that certificates which nobody trusted has signed cost one check each, by a trusted key, and not one by every key that was presented.
   */
  async #issuedBelow(anchor: Certificate, pool: readonly Certificate[]): Promise<Certificate[]> {
    const issued = [anchor];
    for (const issuer of issued) {
      for (const one of pool) {
        if (issued.includes(one) || !equalBytes(one.issuer, issuer.subject)) continue;
        if (await this.#signed(one, issuer)) issued.push(one);
      }
    }
    return pool.filter((one) => issued.includes(one));
  }

  /** What is to be said when no path was good. */
  refusal(): ChainRefusal {
    return (
      this.#complete ??
      this.#weak ??
      this.#unsupported ?? {
        code: "chain-untrusted",
        message: `No chain leads from the certificate of ${nameOf(this.#request.leaf)} to a trusted authority.`,
      }
    );
  }

  async #extend(
    path: readonly Certificate[],
    anchor: Certificate,
    pool: readonly Certificate[],
  ): Promise<Found | undefined> {
    const last = path.at(-1);
    if (last === undefined || path.length >= LIMITS.chainLength) return undefined;
    // Whoever presents a maze of certificates gets no path out of it.
    if (++this.#extensions > LIMITS.chainExtensions) return undefined;
    for (const issuer of issuersOf(last, path, pool)) {
      if (!(await this.#signed(last, issuer))) continue;
      const longer = [...path, issuer];
      const found =
        issuer.fingerprint === anchor.fingerprint ? this.#judge(longer) : await this.#extend(longer, anchor, pool);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #signed(subject: Certificate, issuer: Certificate): Promise<boolean> {
    const algorithm = subject.signatureAlgorithm;
    if (algorithm.kind !== "scheme") {
      const code = algorithm.kind === "weak" ? "weak-algorithm" : "certificate-invalid";
      const what = algorithm.kind === "weak" ? "a broken algorithm" : "an algorithm that is not supported";
      const message = `The certificate of ${nameOf(subject)} is signed with ${what} (${algorithm.oid}).`;
      if (algorithm.kind === "weak") this.#weak ??= { code, message };
      else this.#unsupported ??= { code, message };
      this.#tell({ check: "certificate-signature", outcome: "failed", detail: message });
      return false;
    }
    const pair = `${subject.fingerprint} ${issuer.fingerprint}`;
    const known = this.#signatures.get(pair);
    if (known !== undefined) return known;
    // Each authority that is trusted adds its own to what may be tried, so that many old ones do not use up the newest one's share.
    const most = LIMITS.chainSignatures + 4 * this.#request.authorities.length;
    if (this.#signatures.size >= most) return false;
    const { publicKey } = issuer;
    const good = await this.#crypto.verifyAs(publicKey, algorithm.scheme, subject.signature, subject.tbs);
    this.#signatures.set(pair, good);
    if (!good) {
      this.#tell({
        check: "certificate-signature",
        outcome: "failed",
        detail: `${nameOf(issuer)} did not sign the certificate of ${nameOf(subject)}.`,
      });
    }
    return good;
  }

  #judge(path: readonly Certificate[]): Found | undefined {
    const { time, purpose } = this.#request;
    const { refusal, steps } = judgePath(path, time, purpose);
    const step: Step = {
      check: "certificate-chain",
      outcome: refusal === undefined ? "passed" : "failed",
      detail:
        refusal === undefined
          ? `The signatures lead from ${path.map(nameOf).join(" to ")}, a trusted authority, and hold at ${at(time)}.`
          : refusal.message,
      steps,
    };
    if (refusal === undefined) return { chain: path, steps: [step] };
    this.#complete ??= refusal;
    this.#tell(step);
    return undefined;
  }

  #tell(step: Step): void {
    if (this.steps.length < FAILURES_TOLD) this.steps.push(step);
  }
}

/**
 * Certificates that may have issued the last of a path: those of its issuer's name, byte for byte, that are not on the path yet under the
 * same name and key. The key identifiers only order them: they are claims.
 */
function issuersOf(
  last: Certificate,
  path: readonly Certificate[],
  pool: readonly Certificate[],
): readonly Certificate[] {
  const candidates = pool.filter((candidate) => {
    return equalBytes(candidate.subject, last.issuer) && !path.some((one) => isSameHolder(one, candidate));
  });
  const { authorityKeyId } = last;
  if (authorityKeyId === undefined) return candidates;
  const isHinted = ({ subjectKeyId }: Certificate): boolean =>
    subjectKeyId !== undefined && equalBytes(subjectKeyId, authorityKeyId);
  return [...candidates.filter(isHinted), ...candidates.filter((candidate) => !isHinted(candidate))];
}

function isSameHolder(a: Certificate, b: Certificate): boolean {
  return a.publicKey.keyId === b.publicKey.keyId && equalBytes(a.subject, b.subject);
}

/** Parsed once for each authority: they are immutable, and outlive thousands of verifications. */
const parsedAuthorities = new WeakMap<Authority, readonly Certificate[]>();

/** The authority's certificates, parsed, in its order. Throws `certificate-invalid`; readers of trust roots have checked them. */
export function certificatesOf(authority: Authority): readonly Certificate[] {
  let parsed = parsedAuthorities.get(authority);
  if (parsed === undefined) {
    parsed = authority.certificates.map((der) => parseCertificate(der));
    parsedAuthorities.set(authority, parsed);
  }
  return parsed;
}

function nameOf({ subjectText, names, serial }: Certificate): string {
  return JSON.stringify(subjectText !== "" ? subjectText : (names[0]?.value ?? `serial ${serial}`));
}

function at(time: number): string {
  return new Date(time).toISOString();
}
