import { type CertificateIdentity, parseJson, type TrustEntry } from "@assay/evidence";
import { certificateIdentity } from "./entry.ts";

/** What tells entries of a kind apart from what every entry has. */
type Identity =
  | { readonly kind: "key"; readonly publicKeyPem: string }
  | ({ readonly kind: "certificate" } & CertificateIdentity)
  | { readonly kind: "openpgp"; readonly certificate: string };

/** Who an entry is about, as the one text that its row keeps. {@link identityIn} reads it back. */
export function identityText(entry: Identity): string {
  switch (entry.kind) {
    case "key":
      return entry.publicKeyPem;
    case "certificate": {
      const { root, issuer, subject } = entry;
      return JSON.stringify({ root, issuer, subject: { kind: subject.kind, value: subject.value } });
    }
    case "openpgp":
      return entry.certificate;
  }
}

export function identityIn(kind: TrustEntry["kind"], text: string): Identity {
  switch (kind) {
    case "key":
      return { kind, publicKeyPem: text };
    case "certificate":
      return { kind, ...certificateIdentity.parse(parseJson(text)) };
    case "openpgp":
      return { kind, certificate: text };
  }
}
