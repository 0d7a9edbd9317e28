import { randomUUID } from "node:crypto";
import { errors, jwtVerify } from "jose";
import { z } from "zod";
import type { Keyring } from "../keys/keyring.ts";
import type { Actor, TokenAccess } from "../record/command.ts";
import { registryService } from "./challenge.ts";

/** Registry tokens live this long at most, seconds. */
export const TOKEN_LIFETIME = 300;

/** Another `typ` than any other token of the service (RFC 8725 §3.11), so that none passes for another. */
const TOKEN_TYPE = "assay-registry+jwt";

/** How far apart the clocks of two servers may be, seconds. */
const SKEW = 30;

/** Node refuses larger headers anyway; what we issue is far below. */
const MAX_TOKEN_LENGTH = 12 * 1024;

const claimsSchema = z.object({
  sub: z.string(),
  epoch: z.int().nonnegative(),
  access: z.array(z.strictObject({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
});

/** A token as its answer describes it. */
export interface IssuedToken {
  readonly token: string;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  /** Seconds. */
  readonly expiresIn: number;
}

/**
 * The tokens of the registry (Docker registry token authentication): JWTs signed with a key of their own (purpose `registry-token`),
 * narrow and short. They are good at /v2/ only, for what their `access` says, under the revocation epoch they were issued in.
 */
export class RegistryTokens {
  readonly #keyring: Pick<Keyring, "key" | "sign">;
  readonly #issuer: string;
  readonly #audience: string;

  constructor(keyring: Pick<Keyring, "key" | "sign">, publicUrl: string) {
    this.#keyring = keyring;
    this.#issuer = publicUrl;
    this.#audience = registryService(publicUrl);
  }

  /** The `service` of challenges, and every token's audience. */
  get service(): string {
    return this.#audience;
  }

  /**
   * Issues a token.
   *
   * @param now ms.
   * @param notAfter ms: when the credential it rests on ends; null when that has no end.
   */
  issue(grant: {
    subject: string;
    epoch: number;
    access: readonly TokenAccess[];
    now: number;
    notAfter: number | null;
  }): IssuedToken {
    const issuedAt = Math.floor(grant.now / 1000);
    const left = grant.notAfter === null ? TOKEN_LIFETIME : Math.floor(grant.notAfter / 1000) - issuedAt;
    const expiresIn = Math.max(0, Math.min(TOKEN_LIFETIME, left));
    const header = { alg: "EdDSA", typ: TOKEN_TYPE, kid: this.#keyring.key("registry-token").id };
    const claims = {
      iss: this.#issuer,
      sub: grant.subject,
      aud: this.#audience,
      iat: issuedAt,
      nbf: issuedAt - SKEW,
      exp: issuedAt + expiresIn,
      jti: randomUUID(),
      access: grant.access,
      epoch: grant.epoch,
    };
    // JWS Compact Serialization (RFC 7515 §3.1, §5.1); EdDSA (RFC 8037 §3.1). The private key stays behind the keyring.
    const input = `${base64urlJson(header)}.${base64urlJson(claims)}`;
    const signature = Buffer.from(this.#keyring.sign("registry-token", Buffer.from(input))).toString("base64url");
    return { token: `${input}.${signature}`, issuedAt, expiresIn };
  }

  /**
   * Whose token this is; undefined when it is none of ours, altered, early or late. Whether its epoch is still the principal's is for
   * the caller to ask (`credentialRefusal`).
   *
   * @param now ms.
   */
  async verify(token: string, now: number): Promise<Actor | undefined> {
    if (token.length > MAX_TOKEN_LENGTH) return undefined;
    try {
      const { payload } = await jwtVerify(token, this.#keyring.key("registry-token").publicKey, {
        algorithms: ["EdDSA"],
        typ: TOKEN_TYPE,
        issuer: this.#issuer,
        audience: this.#audience,
        requiredClaims: ["sub", "iat", "nbf", "exp", "jti"],
        currentDate: new Date(now),
      });
      const claims = claimsSchema.safeParse(payload);
      if (!claims.success) return undefined;
      const { sub, epoch, access } = claims.data;
      return { id: sub, credential: { kind: "registry-token", access, epoch } };
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

function base64urlJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
