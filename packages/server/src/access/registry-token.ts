import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Keyring } from "../keys/keyring.ts";
import type { Actor, TokenAccess } from "../record/command.ts";
import { registryService } from "./challenge.ts";
import { signToken, TOKEN_SKEW, type TokenKind, verifyToken } from "./signed-token.ts";

/** Registry tokens live this long at most, seconds. */
export const TOKEN_LIFETIME = 300;

/** The workload identity a token rests on, as an actor's credential names it. */
export const workloadClaim = z.strictObject({ name: z.string(), since: z.int().nonnegative() });

const claimsSchema = z.object({
  sub: z.string(),
  epoch: z.int().nonnegative(),
  access: z.array(z.strictObject({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
  workload: workloadClaim.optional(),
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
 * narrow and short. They are good at /v2/ only, for what their `access` says, under the revocation epoch they were issued in and, where they
 * were bought with a workload's token, under the workload identity that one was.
 */
export class RegistryTokens {
  readonly #keyring: Pick<Keyring, "key" | "sign">;
  readonly #kind: TokenKind;

  constructor(keyring: Pick<Keyring, "key" | "sign">, publicUrl: string) {
    this.#keyring = keyring;
    this.#kind = {
      purpose: "registry-token",
      type: "assay-registry+jwt",
      issuer: publicUrl,
      audience: registryService(publicUrl),
    };
  }

  /** The `service` of challenges, and every token's audience. */
  get service(): string {
    return this.#kind.audience;
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
    workload?: { readonly name: string; readonly since: number } | undefined;
    now: number;
    notAfter: number | null;
  }): IssuedToken {
    const issuedAt = Math.floor(grant.now / 1000);
    const left = grant.notAfter === null ? TOKEN_LIFETIME : Math.floor(grant.notAfter / 1000) - issuedAt;
    const expiresIn = Math.max(0, Math.min(TOKEN_LIFETIME, left));
    const token = signToken(this.#keyring, this.#kind, {
      sub: grant.subject,
      iat: issuedAt,
      nbf: issuedAt - TOKEN_SKEW,
      exp: issuedAt + expiresIn,
      jti: randomUUID(),
      access: grant.access,
      epoch: grant.epoch,
      ...(grant.workload === undefined ? {} : { workload: grant.workload }),
    });
    return { token, issuedAt, expiresIn };
  }

  /**
   * Whose token this is; undefined when it is none of ours, altered, early or late. Whether its epoch is still the principal's is for
   * the caller to ask (`credentialRefusal`).
   *
   * @param now ms.
   */
  async verify(token: string, now: number): Promise<Actor | undefined> {
    const claims = claimsSchema.safeParse(await verifyToken(this.#keyring, this.#kind, token, now));
    if (!claims.success) return undefined;
    const { sub, epoch, access, workload } = claims.data;
    return {
      id: sub,
      credential: { kind: "registry-token", access, epoch, ...(workload === undefined ? {} : { workload }) },
    };
  }
}
