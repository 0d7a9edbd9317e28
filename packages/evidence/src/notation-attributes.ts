/**
 * The signed attributes of a Notary Project signature (notaryproject/specifications: signature-specification.md, "Signed Attributes",
 * and signing-scheme.md): what both envelope formats carry, each in its own spelling, and the rules that are the same for both.
 */
import { EvidenceError } from "./errors.ts";
import type { SignatureScheme } from "./scheme.ts";

/**
 * Algorithms by their JOSE names, with the scheme and the one size of key that each is for: "Algorithm Selection" makes the algorithm
 * a function of the signing key, so that nobody can pick a weaker one.
 */
export const NOTATION_ALGORITHMS = {
  PS256: { scheme: "rsa-pss-sha256", key: { kind: "rsa", bits: 2048 } },
  PS384: { scheme: "rsa-pss-sha384", key: { kind: "rsa", bits: 3072 } },
  PS512: { scheme: "rsa-pss-sha512", key: { kind: "rsa", bits: 4096 } },
  ES256: { scheme: "ecdsa-sha256", key: { kind: "ec", bits: 256 } },
  ES384: { scheme: "ecdsa-sha384", key: { kind: "ec", bits: 384 } },
  ES512: { scheme: "ecdsa-sha512", key: { kind: "ec", bits: 521 } },
} as const satisfies Record<string, { scheme: SignatureScheme; key: { kind: "rsa" | "ec"; bits: number } }>;

export type NotationAlgorithm = keyof typeof NOTATION_ALGORITHMS;

/** Names of the attributes, the same in both formats. */
export const ATTRIBUTE = {
  scheme: "io.cncf.notary.signingScheme",
  signingTime: "io.cncf.notary.signingTime",
  authenticSigningTime: "io.cncf.notary.authenticSigningTime",
  expiry: "io.cncf.notary.expiry",
} as const;

/** Unsigned attributes, the same in both formats. */
export const UNSIGNED_ATTRIBUTE = {
  timestamp: "io.cncf.notary.timestampSignature",
  agent: "io.cncf.notary.signingAgent",
} as const;

/** Attributes that hand part of the verification to a program of the verifier's, which we are not: its logic cannot be left out. */
const PLUGIN_ATTRIBUTES = ["io.cncf.notary.verificationPlugin", "io.cncf.notary.verificationPluginMinVersion"];

export type NotationScheme = "notary.x509" | "notary.x509.signingAuthority";

/** The attributes as a format's reader found them. Times in ms since 1970. */
export type FoundAttributes = {
  readonly scheme: string;
  readonly signingTime: number | undefined;
  readonly authenticSigningTime: number | undefined;
  readonly expiry: number | undefined;
  /** What the signer listed as critical, as written. */
  readonly critical: readonly string[];
  /** The names of all signed attributes that the format itself does not define. */
  readonly names: readonly string[];
};

/** The attributes, checked. What the signer says of the time proves nothing. */
export type SignedAttributes = {
  readonly scheme: NotationScheme;
  /** The signing time that the scheme has: claimed by the signer, or by the signing authority. */
  readonly signingTime: number;
  /** From when on the signer does not want the artifact used any more; null = never said. */
  readonly expiry: number | null;
};

/**
 * Checks the attributes against their scheme: the one signing time it has, expiry after it, everything critical known and everything
 * that must be critical listed. Throws `notation-invalid`, and `notation-unsupported` for critical attributes of others.
 */
export function checkAttributes(found: FoundAttributes): SignedAttributes {
  const { scheme, expiry, critical, names } = found;
  if (scheme !== "notary.x509" && scheme !== "notary.x509.signingAuthority") {
    throw new EvidenceError(
      "notation-unsupported",
      `The signing scheme ${JSON.stringify(scheme.slice(0, 100))} is not supported.`,
    );
  }
  const byAuthority = scheme === "notary.x509.signingAuthority";
  const [timeName, otherName] = byAuthority
    ? [ATTRIBUTE.authenticSigningTime, ATTRIBUTE.signingTime]
    : [ATTRIBUTE.signingTime, ATTRIBUTE.authenticSigningTime];
  const signingTime = byAuthority ? found.authenticSigningTime : found.signingTime;
  if (signingTime === undefined) throw invalid(`the signature has no ${timeName}, which ${scheme} demands`);
  if (names.includes(otherName)) throw invalid(`${otherName} does not belong to ${scheme}`);
  if (expiry !== undefined && expiry <= signingTime) throw invalid("the signature expires before it was made");

  const plugin = PLUGIN_ATTRIBUTES.find((name) => names.includes(name));
  if (plugin !== undefined) {
    throw new EvidenceError("notation-unsupported", `The signature demands a verification plugin (${plugin}).`);
  }
  const demanded: string[] = [ATTRIBUTE.scheme];
  if (byAuthority) demanded.push(ATTRIBUTE.authenticSigningTime);
  if (expiry !== undefined) demanded.push(ATTRIBUTE.expiry);
  if (new Set(critical).size !== critical.length) throw invalid("the list of critical attributes repeats one");
  for (const name of critical) {
    if (!names.includes(name)) throw invalid(`${JSON.stringify(name.slice(0, 100))} is critical and not there`);
    if (!demanded.includes(name)) {
      throw new EvidenceError(
        "notation-unsupported",
        `The critical attribute ${JSON.stringify(name.slice(0, 100))} is not known here.`,
      );
    }
  }
  const missing = demanded.find((name) => !critical.includes(name));
  if (missing !== undefined) throw invalid(`${missing} is not marked critical`);
  return { scheme, signingTime, expiry: expiry ?? null };
}

function invalid(what: string): EvidenceError {
  return new EvidenceError("notation-invalid", `Notary signature: ${what}.`);
}
