import type { TrustVersion } from "@assay/evidence";
import type { DecisionRequest } from "./decision.ts";
import { showIdentity } from "./identity.ts";
import type { Identity } from "./identity.ts";
import { showText } from "./quote.ts";

/** A trust version as far as a decision knows it: its number, and all that identities could mean in it. */
export type KnownTrust = { readonly version: number; readonly names: ReadonlySet<string> };

/**
 * Everything by which a policy could name somebody in a trust version: the names and ids of its entries, the ids of keys (64 hexadecimal
 * digits) and `openpgp:` fingerprints, each once. For the `trust.names` of a {@link DecisionRequest}.
 */
export function trustNames(trust: Pick<TrustVersion, "entries">): string[] {
  return [
    ...new Set(
      trust.entries.flatMap(({ kind, id, name, keyId }) => {
        if (kind === "certificate") return [id, name];
        return [id, name, kind === "openpgp" ? `openpgp:${keyId}` : keyId];
      }),
    ),
  ];
}

/** What a request tells of its trust version; undefined if it does not say whom trust lists. */
export function knownTrust({ version, names }: DecisionRequest["trust"]): KnownTrust | undefined {
  return names === undefined ? undefined : { version, names: new Set(names) };
}

/**
 * Which of `identities` nobody in the trust version bears, in words: a misspelt name, or one that is not trusted (yet, or any more).
 * Undefined if all of them are somebody's.
 */
export function describeStrangers(identities: readonly Identity[], trust: KnownTrust): string | undefined {
  const strangers = identities.filter((one) => !trust.names.has(one.kind === "key" ? one.keyId : showIdentity(one)));
  const list = (kind: Identity["kind"], what: string): string[] => {
    const shown = strangers.filter((one) => one.kind === kind).map((one) => showText(showIdentity(one)));
    return shown.length === 0 ? [] : [`no entry ${what} ${shown.join(" or ")}`];
  };
  const parts = [...list("entry", "named"), ...list("key", "with the key"), ...list("openpgp", "with the certificate")];
  return parts.length === 0 ? undefined : `trust version ${trust.version} has ${parts.join(" and ")}`;
}
