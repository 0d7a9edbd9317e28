import { randomUUID } from "node:crypto";
import { errors, type JWTPayload, jwtVerify } from "jose";
import type { Keyring, SigningPurpose } from "../keys/keyring.ts";

/** How far apart the clocks of two servers may be, seconds. */
const TOKEN_SKEW = 30;

/** Node refuses larger headers anyway; what we issue is far below. */
const MAX_TOKEN_LENGTH = 12 * 1024;

/** What tells one kind of our tokens from every other: its key, its `typ` (RFC 8725 §3.11), its issuer and its audience. */
export interface TokenKind {
  readonly purpose: SigningPurpose;
  readonly type: string;
  readonly issuer: string;
  readonly audience: string;
}

/** A token as its answer describes it. */
export interface IssuedToken {
  readonly token: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  /** Seconds. */
  readonly expiresIn: number;
}

/** For whom and for how long a token is issued. */
export interface TokenGrant {
  readonly subject: string;
  /** ms. */
  readonly now: number;
  /** ms: when what it rests on ends; null when that has no end. */
  readonly notAfter: number | null;
}

/**
 * Issues a token of this kind: it says whose it is, when it is good, and what else its kind says.
 *
 * @param lifetime how long it lives at most, seconds. It ends no later than what it rests on.
 */
export function issueToken(
  keyring: Pick<Keyring, "key" | "sign">,
  kind: TokenKind,
  lifetime: number,
  grant: TokenGrant,
  claims: Readonly<Record<string, unknown>>,
): IssuedToken {
  const issuedAt = Math.floor(grant.now / 1000);
  const left = grant.notAfter === null ? lifetime : Math.floor(grant.notAfter / 1000) - issuedAt;
  const expiresIn = Math.max(0, Math.min(lifetime, left));
  const token = signToken(keyring, kind, {
    sub: grant.subject,
    iat: issuedAt,
    nbf: issuedAt - TOKEN_SKEW,
    exp: issuedAt + expiresIn,
    jti: randomUUID(),
    ...claims,
  });
  return { token, issuedAt, expiresIn };
}

/** Signs claims as JWS Compact Serialization (RFC 7515 §3.1, §5.1) with EdDSA (RFC 8037 §3.1). The private key stays behind the keyring. */
function signToken(
  keyring: Pick<Keyring, "key" | "sign">,
  kind: TokenKind,
  claims: Readonly<Record<string, unknown>>,
): string {
  const header = { alg: "EdDSA", typ: kind.type, kid: keyring.key(kind.purpose).id };
  const input = `${base64urlJson(header)}.${base64urlJson({ iss: kind.issuer, aud: kind.audience, ...claims })}`;
  return `${input}.${Buffer.from(keyring.sign(kind.purpose, Buffer.from(input))).toString("base64url")}`;
}

/**
 * The claims of a token of this kind; undefined when it is none of ours, altered, early or late.
 *
 * @param now ms.
 */
export async function verifyToken(
  keyring: Pick<Keyring, "key" | "sign">,
  kind: TokenKind,
  token: string,
  now: number,
): Promise<JWTPayload | undefined> {
  if (token.length > MAX_TOKEN_LENGTH) return undefined;
  try {
    const { payload } = await jwtVerify(token, keyring.key(kind.purpose).publicKey, {
      algorithms: ["EdDSA"],
      typ: kind.type,
      issuer: kind.issuer,
      audience: kind.audience,
      requiredClaims: ["sub", "iat", "nbf", "exp", "jti"],
      currentDate: new Date(now),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined;
    throw error;
  }
}

function base64urlJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
