/** Whom a policy names: a trust entry by name or id, or one key by its id (64 lower-case hexadecimal digits). */
export type Identity =
  | { readonly kind: "entry"; readonly name: string }
  | { readonly kind: "key"; readonly keyId: string };

/** Who signed a piece of evidence, as decisions show it: the key, and the trust entry under which it first counts. */
export type Signer = { readonly keyId: string; readonly entry: string; readonly name: string };

/**
 * Who signed a piece of evidence, under every name that trust gives the key. A key may have several entries, and an artifact must not be
 * allowed or denied by which of them happened to be found first.
 */
export type KnownSigner = Signer & {
  /** Names and ids of the key's trust entries that cover the evidence, by scope and time: as these it signed. */
  readonly signedAs: ReadonlySet<string>;
  /** The names alone among these, sorted: for showing. */
  readonly names: readonly string[];
  /** Names and ids of all trust entries that hold the key, whether they cover the evidence or not. */
  readonly knownAs: ReadonlySet<string>;
};

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

/** Whether `signer` spoke as whom `identity` names: exactly, code unit by code unit, under any of its entries that cover the evidence. */
export function isIdentity(signer: KnownSigner, identity: Identity): boolean {
  return identity.kind === "key" ? signer.keyId === identity.keyId : signer.signedAs.has(identity.name);
}

/**
 * Whether the key is that of whom `identity` names, under any of its trust entries: wider than {@link isIdentity}, because whom a rule
 * excepts does not become another by what a second entry lets the same key say.
 */
export function holdsKeyOf(signer: KnownSigner, identity: Identity): boolean {
  return identity.kind === "key" ? signer.keyId === identity.keyId : signer.knownAs.has(identity.name);
}

/**
 * How many *different* identities said something: the largest number of pairs of a named identity and a key that signed as it, in which no
 * name and no key appears twice (a maximum bipartite matching).
 *
 * One key under two names is one; one name with two keys is one. More signatures can only raise the number, never lower it: that
 * is what keeps a decision monotonic.
 */
export function countDistinct(identities: readonly Identity[], signers: readonly KnownSigner[]): number {
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
