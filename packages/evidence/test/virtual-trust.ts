/** Trust in whom the virtual Sigstore certifies: one identity, under one root, good for everything and for ever unless said otherwise. */
import { type CertificateEntry, certificateKeyId, type TrustRoot, type TrustVersion } from "../src/index.ts";
import { ISSUER, SUBJECT, trustRoot } from "./virtual-sigstore.ts";

export function certificateEntry(changes: Partial<CertificateEntry> = {}): CertificateEntry {
  const identity = { root: "virtual", issuer: ISSUER, subject: { kind: "exact", value: SUBJECT }, ...changes } as const;
  return {
    kind: "certificate",
    id: "build",
    name: "build",
    keyId: certificateKeyId(identity),
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
    ...identity,
  };
}

export function trustInCertified(root: TrustRoot = trustRoot(), entry = certificateEntry()): TrustVersion {
  return { org: "acme", version: 1, entries: [entry], logs: [], roots: [root] };
}
