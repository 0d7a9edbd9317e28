/**
 * Whom a policy names: a trust entry by name or id, one key by its id (64 lower-case hexadecimal digits), or one OpenPGP certificate by the
 * fingerprint of its primary key (40 or 64 of them).
 */
export type Identity =
  | { readonly kind: "entry"; readonly name: string }
  | { readonly kind: "key"; readonly keyId: string }
  | { readonly kind: "openpgp"; readonly fingerprint: string };

/** How a signer proves who it is. */
export type SignerKind = "key" | "certificate" | "openpgp";

/** Who signed a piece of evidence, as decisions show it: the identity, and the trust entry under which it first counts. */
export type Signer = {
  readonly keyId: string;
  /** What counts as one signer, where it is not the key id: two entries may mean one certificate identity. */
  readonly principal?: string;
  readonly entry: string;
  readonly name: string;
};

/**
 * Who signed a piece of evidence, under every name that trust gives the key. A key may have several entries, and an artifact must not be
 * allowed or denied by which of them happened to be found first.
 */
export type KnownSigner = Signer & {
  readonly kind: SignerKind;
  /** What counts as one signer: by this distinct signers are told apart. Evidence of before there were other kinds has the key id. */
  readonly principal: string;
  /** Names and ids of the key's trust entries that cover the evidence, by scope and time: as these it signed. */
  readonly signedAs: ReadonlySet<string>;
  /** The names alone among these, sorted: for showing. */
  readonly names: readonly string[];
  /** Names and ids of all trust entries that hold the key, whether they cover the evidence or not. */
  readonly knownAs: ReadonlySet<string>;
};

const KEY_ID = /^(?:sha256:)?([0-9a-f]{64})$/;

const FINGERPRINT = /^openpgp:((?:[0-9a-f]{40}|[0-9a-f]{64}))$/;

/** The identity meant by a text of a policy. What looks like a key id or a fingerprint is one, and never an entry's name. */
export function parseIdentity(text: string): Identity {
  const keyId = KEY_ID.exec(text)?.[1];
  if (keyId !== undefined) return { kind: "key", keyId };
  const fingerprint = FINGERPRINT.exec(text)?.[1];
  return fingerprint === undefined ? { kind: "entry", name: text } : { kind: "openpgp", fingerprint };
}

/** An identity as a policy writes it. */
export function showIdentity(identity: Identity): string {
  switch (identity.kind) {
    case "key":
      return `sha256:${identity.keyId}`;
    case "openpgp":
      return `openpgp:${identity.fingerprint}`;
    case "entry":
      return identity.name;
  }
}

/** Whether `identity` is this very key or OpenPGP certificate. The kind is compared too: a version 6 fingerprint has the form of a key id. */
function isSameKey(signer: KnownSigner, identity: Exclude<Identity, { kind: "entry" }>): boolean {
  return (
    signer.kind === identity.kind && signer.keyId === (identity.kind === "key" ? identity.keyId : identity.fingerprint)
  );
}

/** Whether `signer` spoke as whom `identity` names: exactly, code unit by code unit, under any of its entries that cover the evidence. */
export function isIdentity(signer: KnownSigner, identity: Identity): boolean {
  return identity.kind === "entry" ? signer.signedAs.has(identity.name) : isSameKey(signer, identity);
}

/**
 * Whether the signer's key or certificate is that of whom `identity` names, under any of its trust entries: wider than {@link isIdentity}, because whom a rule
 * excepts does not become another by what a second entry lets the same key say.
 */
export function holdsKeyOf(signer: KnownSigner, identity: Identity): boolean {
  return identity.kind === "entry" ? signer.knownAs.has(identity.name) : isSameKey(signer, identity);
}

/**
 * How many *different* identities said something: the largest number of pairs of a named identity and a principal that signed as it, in which
 * no name and no principal appears twice (a maximum bipartite matching).
 *
 * One key under two names is one; one name with two keys, or with a key and a certificate, is one. More signatures can only raise the number, never lower it: that
 * is what keeps a decision monotonic.
 */
export function countDistinct(identities: readonly Identity[], signers: readonly KnownSigner[]): number {
  const principalsOf = identities.map(
    (identity) => new Set(signers.filter((signer) => isIdentity(signer, identity)).map((signer) => signer.principal)),
  );
  /** Which identity each principal is paired with. */
  const paired = new Map<string, number>();
  const pair = (index: number, tried: Set<string>): boolean => {
    for (const principal of principalsOf[index] ?? []) {
      if (tried.has(principal)) continue;
      tried.add(principal);
      const holder = paired.get(principal);
      if (holder === undefined || pair(holder, tried)) {
        paired.set(principal, index);
        return true;
      }
    }
    return false;
  };
  return identities.filter((_, index) => pair(index, new Set())).length;
}
