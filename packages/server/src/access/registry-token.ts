import { z } from "zod";
import type { Keyring } from "../keys/keyring.ts";
import type { Actor, TokenAccess } from "../record/command.ts";
import { registryService } from "./challenge.ts";
import { RememberedTokens } from "./remembered-tokens.ts";
import { type IssuedToken, issueToken, type TokenGrant, type TokenKind, verifyToken } from "./signed-token.ts";

/** Registry tokens live this long at most, seconds. */
export const TOKEN_LIFETIME = 300;

/** What a token of the registry is issued for. */
interface RegistryGrant extends TokenGrant {
  readonly epoch: number;
  readonly access: readonly TokenAccess[];
  readonly workload?: { readonly name: string; readonly since: number } | undefined;
  /** The API key it is bought with, by its id. */
  readonly key?: string | undefined;
}

/** The workload identity a token rests on, as an actor's credential names it. */
export const workloadClaim = z.strictObject({ name: z.string(), since: z.int().nonnegative() });

const claimsSchema = z.object({
  sub: z.string(),
  nbf: z.number(),
  exp: z.number(),
  epoch: z.int().nonnegative(),
  access: z.array(z.strictObject({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
  workload: workloadClaim.optional(),
  key: z.string().optional(),
});

/**
 * The tokens of the registry (Docker registry token authentication): JWTs signed with a key of their own (purpose `registry-token`),
 * narrow and short. They are good at /v2/ only, for what their `access` says, under the revocation epoch they were issued in and, where they
 * were bought with a workload's token, under the workload identity that one was. They say which API key they were bought with.
 */
export class RegistryTokens {
  readonly #keyring: Pick<Keyring, "key" | "sign">;
  readonly #kind: TokenKind;
  readonly #verified = new RememberedTokens<Actor>();

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

  /** Issues a token, which ends no later than the credential it rests on (`notAfter`). */
  issue(grant: RegistryGrant): IssuedToken {
    return issueToken(this.#keyring, this.#kind, TOKEN_LIFETIME, grant, {
      access: grant.access,
      epoch: grant.epoch,
      ...(grant.workload === undefined ? {} : { workload: grant.workload }),
      ...(grant.key === undefined ? {} : { key: grant.key }),
    });
  }

  /**
   * Whose token this is; undefined when it is none of ours, altered, early or late. Whether its epoch is still the principal's is for
   * the caller to ask (`credentialRefusal`).
   *
   * @param now ms.
   */
  async verify(token: string, now: number): Promise<Actor | undefined> {
    const key = this.#keyring.key(this.#kind.purpose).id;
    const known = this.#verified.recall(token, key, now);
    if (known !== undefined) return known;
    const claims = claimsSchema.safeParse(await verifyToken(this.#keyring, this.#kind, token, now));
    if (!claims.success) return undefined;
    const { sub, nbf, exp, epoch, access, workload, key: id } = claims.data;
    const actor: Actor = {
      id: sub,
      credential: {
        kind: "registry-token",
        access,
        epoch,
        ...(workload === undefined ? {} : { workload }),
        ...(id === undefined ? {} : { id }),
      },
    };
    this.#verified.keep(token, { of: actor, key, from: nbf, until: exp });
    return actor;
  }
}
