import { createHash } from "node:crypto";
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { Problem } from "../http/problem.ts";
import { OUTSIDE_ALGORITHMS, type OutsideAlgorithm, type OutsideIssuers } from "./outside-issuers.ts";
import { MAX_CLAIM_VALUE, MAX_CLAIMS, MAX_SUBJECT } from "./workload-commands.ts";
import type { OutsideClaims } from "./workload-identity.ts";

/** The longest outside token, characters. */
const MAX_TOKEN = 16 * 1024;

/** How far an issuer's clock may be from ours, seconds. */
const SKEW = 30;

/** Headers that would let a token say by which key it is to be believed (RFC 7515 §4.1.2–4.1.6). */
const KEY_HEADERS = ["jwk", "jku", "x5u", "x5c"] as const;

/** An outside token that proved good, and what names it among all others. */
export interface OutsideToken extends OutsideClaims {
  /** Lower-case hex SHA-256 of issuer and `jti`, or of the token where it has none. */
  readonly token: string;
  /** Whether it has a `jti`. */
  readonly identified: boolean;
}

/** Why a token is not believed. Only what its bearer can see in it themselves: nothing here depends on any tenant. */
function invalid(message: string): Problem {
  return new Problem(400, "subject-token-invalid", `the subject token is not accepted: ${message}`);
}

/**
 * Verifies a token that somebody else issued (OpenID Connect Core 1.0 §3.1.3.7; RFC 7519; RFC 8725): its issuer is one this server was told to
 * believe, its signature is by a key that issuer publishes, in an algorithm of ours, and it holds now. Whether its audience and its claims
 * suffice for anything is the workload identity's to say.
 *
 * @param now ms.
 * @throws Problem 400 `subject-token-invalid`; ServerError `issuer-unavailable`.
 */
export async function verifyOutsideToken(issuers: OutsideIssuers, token: string, now: number): Promise<OutsideToken> {
  if (token.length > MAX_TOKEN) throw invalid(`it has more than ${MAX_TOKEN} characters`);
  const header = readHeader(token);
  for (const name of KEY_HEADERS) {
    if (header[name] !== undefined) throw invalid(`its header names its own key (${name})`);
  }
  const algorithm = OUTSIDE_ALGORITHMS.find((known) => known === header.alg);
  if (algorithm === undefined) throw invalid(`its algorithm is none of ${OUTSIDE_ALGORITHMS.join(", ")}`);
  if (typeof header.kid !== "string" || header.kid === "" || header.kid.length > 500) {
    throw invalid("its header names no key (kid)");
  }
  const issuer = claimedIssuer(token);
  if (!issuers.believes(issuer)) throw invalid("its issuer (iss) is none this server believes");
  const key = await issuers.key(issuer, header.kid, algorithm);
  if (key === undefined) throw invalid("its issuer has no such key (kid) for its algorithm");
  const payload = await verified(token, key, { issuer, algorithm, now });
  return { ...claimsOf(payload, issuer), ...nameOf(token, payload, issuer) };
}

function readHeader(token: string) {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw invalid("it is no JWT");
  }
}

/** Who the token says issued it: which keys to ask for. Nothing is believed yet. */
function claimedIssuer(token: string): string {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    const issuer = payload !== null && typeof payload === "object" && "iss" in payload ? payload.iss : undefined;
    if (typeof issuer === "string") return issuer;
  } catch {
    throw invalid("it is no JWT");
  }
  throw invalid("it names no issuer (iss)");
}

async function verified(
  token: string,
  key: CryptoKey,
  options: { readonly issuer: string; readonly algorithm: OutsideAlgorithm; readonly now: number },
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [options.algorithm],
      issuer: options.issuer,
      requiredClaims: ["sub", "aud", "exp", "iat"],
      clockTolerance: SKEW,
      currentDate: new Date(options.now),
    });
    // RFC 7519 §4.1.6 leaves it open; a token from the future is a clock or a lie, and neither is believed.
    if ((payload.iat ?? 0) > options.now / 1000 + SKEW) throw invalid("it was issued in the future (iat)");
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw invalid("it has expired (exp)");
    if (error instanceof errors.JWTClaimValidationFailed) throw invalid(`its claim ${error.claim} does not hold`);
    if (error instanceof errors.JWSSignatureVerificationFailed)
      throw invalid("its signature is not by its issuer's key");
    if (error instanceof errors.JOSEError) throw invalid("it cannot be verified");
    throw error;
  }
}

function claimsOf(payload: JWTPayload, issuer: string): OutsideClaims {
  const { sub, aud } = payload;
  if (typeof sub !== "string" || sub === "" || sub.length > MAX_SUBJECT || !isRecordable(sub))
    throw invalid("its subject (sub) cannot be used");
  const audiences = typeof aud === "string" ? [aud] : aud;
  if (!Array.isArray(audiences) || audiences.length > 20) throw invalid("its audience (aud) cannot be used");
  if (audiences.some((audience) => typeof audience !== "string" || audience.length > 500 || !isRecordable(audience))) {
    throw invalid("its audience (aud) cannot be used");
  }
  const told: [string, string][] = [];
  for (const [name, value] of Object.entries(payload)) {
    const scalar = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    // Lists and objects match no condition; neither does what is too long to be recorded.
    if (!scalar || name === "__proto__" || name.length > 100 || String(value).length > MAX_CLAIM_VALUE) continue;
    if (!isRecordable(name) || !isRecordable(String(value))) continue;
    told.push([name, String(value)]);
  }
  if (told.length > MAX_CLAIMS) throw invalid(`it has more than ${MAX_CLAIMS} claims`);
  return { issuer, subject: sub, audiences, claims: Object.fromEntries(told) };
}

/** Whether an event and both databases can hold a text: half of a surrogate pair has no UTF-8, and PostgreSQL has no NUL. */
function isRecordable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\u0000");
}

function nameOf(token: string, payload: JWTPayload, issuer: string): { token: string; identified: boolean } {
  const { jti } = payload;
  const identified = typeof jti === "string" && jti !== "";
  // Without a jti the signed part names it: the signature's encoding could be varied by who holds the token.
  const text = identified ? JSON.stringify([issuer, jti]) : token.slice(0, token.lastIndexOf("."));
  return { token: createHash("sha256").update(text, "utf8").digest("hex"), identified };
}
