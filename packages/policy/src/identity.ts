/** Whom a policy names: a trust entry by name or id, or one key by its id (64 lower-case hexadecimal digits). */
export type Identity =
  | { readonly kind: "entry"; readonly name: string }
  | { readonly kind: "key"; readonly keyId: string };

/** Who signed a piece of evidence, as the verification found. */
export type Signer = { readonly keyId: string; readonly entry: string; readonly name: string };

const KEY_ID = /^(?:sha256:)?([0-9a-f]{64})$/;

/** The identity meant by a text of a policy. What looks like a key id is one, and never an entry's name. */
export function parseIdentity(text: string): Identity {
  const keyId = KEY_ID.exec(text)?.[1];
  return keyId === undefined ? { kind: "entry", name: text } : { kind: "key", keyId };
}

/** An identity as a policy writes it. */
export function showIdentity(identity: Identity): string {
  return identity.kind === "key" ? `sha256:${identity.keyId}` : identity.name;
}

/** Whether `signer` is whom `identity` names: exactly, code unit by code unit. */
export function isIdentity(signer: Signer, identity: Identity): boolean {
  if (identity.kind === "key") return signer.keyId === identity.keyId;
  return signer.name === identity.name || signer.entry === identity.name;
}

/**
 * How many *different* identities said something: the largest number of pairs of a named identity and a key that signed as it, in which no
 * name and no key appears twice (a maximum bipartite matching).
 *
 * One key under two names is one; one name with two keys is one. More signatures can only raise the number, never lower it: that
 * is what keeps a decision monotonic.
 */
export function countDistinct(identities: readonly Identity[], signers: readonly Signer[]): number {
  const keysOf = identities.map(
    (identity) => new Set(signers.filter((signer) => isIdentity(signer, identity)).map((signer) => signer.keyId)),
  );
  /** Which identity each key is paired with. */
  const paired = new Map<string, number>();
  const pair = (index: number, tried: Set<string>): boolean => {
    for (const key of keysOf[index] ?? []) {
      if (tried.has(key)) continue;
      tried.add(key);
      const holder = paired.get(key);
      if (holder === undefined || pair(holder, tried)) {
        paired.set(key, index);
        return true;
      }
    }
    return false;
  };
  return identities.filter((_, index) => pair(index, new Set())).length;
}
