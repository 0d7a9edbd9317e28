import { z } from "zod";
import type { Keyring } from "../keys/keyring.ts";
import type { Actor } from "../record/command.ts";
import { workloadClaim } from "./registry-token.ts";
import { type IssuedToken, issueToken, type TokenGrant, type TokenKind, verifyToken } from "./signed-token.ts";

/** Workload tokens live this long at most, seconds. */
export const WORKLOAD_TOKEN_LIFETIME = 900;

const claimsSchema = z.object({
  sub: z.string(),
  exp: z.int().nonnegative(),
  epoch: z.int().nonnegative(),
  workload: workloadClaim,
});

/** What a workload token is issued for. */
interface WorkloadGrant extends TokenGrant {
  readonly epoch: number;
  readonly workload: { readonly name: string; readonly since: number };
}

/**
 * What an outside token is exchanged for (RFC 8693): JWTs signed with a key of their own (purpose `workload-token`). They stand for a service
 * account, under one workload identity as it was set then, and do what an API key of the account would do in the identity's repositories,
 * save administer.
 */
export class WorkloadTokens {
  readonly #keyring: Pick<Keyring, "key" | "sign" | "has">;
  readonly #kind: TokenKind;

  constructor(keyring: Pick<Keyring, "key" | "sign" | "has">, publicUrl: string) {
    this.#keyring = keyring;
    this.#kind = {
      purpose: "workload-token",
      type: "assay-workload+jwt",
      issuer: publicUrl,
      audience: `${publicUrl}/workload`,
    };
  }

  /** Issues a token, which ends no later than the identity (`notAfter`). */
  issue(grant: WorkloadGrant): IssuedToken {
    return issueToken(this.#keyring, this.#kind, WORKLOAD_TOKEN_LIFETIME, grant, {
      epoch: grant.epoch,
      workload: { name: grant.workload.name, since: grant.workload.since },
    });
  }

  /**
   * Whose token this is; undefined when it is none of ours, altered, early or late. Whether its epoch and its identity still stand is for the
   * caller to ask (`credentialRefusal`).
   *
   * @param now ms.
   */
  async verify(token: string, now: number): Promise<Actor | undefined> {
    // A host that was not given the key yet, in the middle of an upgrade, knows no such tokens.
    if (!this.#keyring.has(this.#kind.purpose)) return undefined;
    const claims = claimsSchema.safeParse(await verifyToken(this.#keyring, this.#kind, token, now));
    if (!claims.success) return undefined;
    const { sub, exp, epoch, workload } = claims.data;
    return { id: sub, credential: { kind: "workload-token", epoch, workload, expires: exp * 1000 } };
  }
}
