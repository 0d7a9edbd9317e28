/** Name constraints: for which names an authority may vouch (RFC 5280 §4.2.1.10). */
import { asciiText } from "./asn1.ts";
import { contextTag, DerReader } from "./der.ts";
import { equalBytes, toHex, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import {
  GENERAL_DIRECTORY,
  GENERAL_DNS,
  GENERAL_EMAIL,
  GENERAL_IP,
  GENERAL_URI,
  type GeneralName,
  visible,
} from "./x509-extensions.ts";
import { type Name, type NameAttribute, parseName } from "./x509-name.ts";

/** The part of a certificate that constraints look at. */
export type NamedSubject = {
  readonly subject: Uint8Array;
  readonly subjectName: Name;
  readonly generalNames: readonly GeneralName[];
};

export type NameConstraints = { readonly permitted: readonly GeneralName[]; readonly excluded: readonly GeneralName[] };

/** PKCS #9 emailAddress: an address in a subject is constrained like one among the alternative names. */
const OID_EMAIL_ADDRESS = "1.2.840.113549.1.9.1";

/** Reads the extension. Every subtree is read as its kind demands, so that a malformed one constrains nobody. Throws `der-invalid`. */
export function readNameConstraints(value: Uint8Array): NameConstraints {
  const outer = new DerReader(value);
  const body = outer.sequence();
  outer.end();
  const permitted = readSubtrees(body.optionalSequence(contextTag(0, true)));
  const excluded = readSubtrees(body.optionalSequence(contextTag(1, true)));
  body.end();
  if (permitted.length + excluded.length === 0)
    throw new EvidenceError("der-invalid", "DER: name constraints are empty.");
  return { permitted, excluded };
}

/**
 * Which name of the certificate an authority with these constraints may not vouch for; undefined if it may for all. A name of a kind that is
 * constrained and cannot be compared with certainty (wildcards, quoted mailboxes, URIs without a host) is such a name.
 */
export function constrainedName(constraints: NameConstraints, certificate: NamedSubject): string | undefined {
  for (const name of namesOf(certificate)) {
    const permitted = constraints.permitted.filter(({ tag }) => tag === name.tag);
    const excluded = constraints.excluded.filter(({ tag }) => tag === name.tag);
    if (permitted.length === 0 && excluded.length === 0) continue;
    const matches = matcher(name);
    if (matches === undefined) return `a name of kind ${name.tag & 0x1f} that cannot be compared`;
    if (excluded.some(matches)) return `an excluded name of kind ${name.tag & 0x1f}`;
    if (permitted.length > 0 && !permitted.some(matches))
      return `a name of kind ${name.tag & 0x1f} that is not permitted`;
  }
  return undefined;
}

function readSubtrees(list: DerReader | undefined): GeneralName[] {
  const subtrees: GeneralName[] = [];
  while (list !== undefined && !list.done) {
    const subtree = list.sequence();
    const { tag, contents } = subtree.next();
    // minimum and maximum would stand here: RFC 5280 demands 0 and absent, which DER does not write.
    subtree.end();
    checkBase({ tag, contents });
    subtrees.push({ tag, contents });
    if (subtrees.length > LIMITS.certificateNames)
      throw new EvidenceError("der-invalid", "DER: there are too many name constraints.");
  }
  return subtrees;
}

function checkBase({ tag, contents }: GeneralName): void {
  if ((tag & 0xc0) !== 0x80) throw new EvidenceError("der-invalid", "DER: a name constraint has no context tag.");
  if (tag === GENERAL_DIRECTORY) parseName(contents);
  if ((tag === GENERAL_DNS || tag === GENERAL_EMAIL || tag === GENERAL_URI) && contents.length > 0) visible(contents);
  if (tag === GENERAL_IP && contents.length !== 8 && contents.length !== 32)
    throw new EvidenceError("der-invalid", "DER: a network in the name constraints has a wrong length.");
}

/** All names that constraints apply to: the alternative names, the subject, and addresses in the subject. */
function namesOf(certificate: NamedSubject): GeneralName[] {
  const { subjectName, generalNames, subject } = certificate;
  const directory = subjectName.length === 0 ? [] : [{ tag: GENERAL_DIRECTORY, contents: subject }];
  const addresses = subjectName
    .flat()
    .filter(({ type }) => type === OID_EMAIL_ADDRESS)
    .map(({ text }) => ({ tag: GENERAL_EMAIL, contents: utf8Encode(text ?? "") }));
  return [...generalNames, ...directory, ...addresses];
}

/** What decides whether a subtree of the name's kind holds the name; undefined if the name cannot be compared. */
function matcher({ tag, contents }: GeneralName): ((base: GeneralName) => boolean) | undefined {
  switch (tag) {
    case GENERAL_DNS: {
      const host = hostOf(ascii(contents));
      return host === undefined ? undefined : (base) => isHostWithin(host, asciiText(base.contents), true);
    }
    case GENERAL_EMAIL:
      return emailMatcher(ascii(contents));
    case GENERAL_URI: {
      const authority = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:@]*)(?::[0-9]*)?(?:[/?#]|$)/.exec(
        ascii(contents),
      );
      const host = hostOf(authority?.[1] ?? "");
      // An address is no host name, and RFC 5280 knows constraints for host names only.
      if (host === undefined || /^[0-9.]+$/.test(host)) return undefined;
      return (base) => isHostWithin(host, asciiText(base.contents), false);
    }
    case GENERAL_DIRECTORY: {
      const name = parseName(contents);
      return (base) => isWithinName(name, parseName(base.contents));
    }
    case GENERAL_IP:
      return (base) => isInNetwork(contents, base.contents);
    default:
      return undefined;
  }
}

function emailMatcher(address: string): ((base: GeneralName) => boolean) | undefined {
  const [, local, domain] = /^([^"@\s]+)@([^@]+)$/.exec(address) ?? [];
  const host = hostOf(domain ?? "");
  if (local === undefined || host === undefined) return undefined;
  return (base) => {
    const text = asciiText(base.contents);
    const at = text.lastIndexOf("@");
    // One mailbox, all mailboxes of a host, or with a leading dot those of the hosts below a domain.
    if (at >= 0) return text.slice(0, at) === local && text.slice(at + 1).toLowerCase() === host;
    return isHostWithin(host, text, false);
  };
}

/** A host name in lower case; undefined for what is none: wildcards, trailing dots, empty labels. */
function hostOf(text: string): string | undefined {
  return /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(text) ? text.toLowerCase() : undefined;
}

/** Whether a host lies in a domain. ".domain" means the hosts below it; "domain" itself, and if `below` those below it too; "" all. */
function isHostWithin(host: string, domain: string, below: boolean): boolean {
  const wanted = domain.toLowerCase();
  if (wanted === "") return true;
  if (wanted.startsWith(".")) return host.endsWith(wanted);
  return host === wanted || (below && host.endsWith(`.${wanted}`));
}

/** Whether a name begins with all of `base`: compared without regard to case, blanks and string types, so that no exclusion is evaded. */
function isWithinName(name: Name, base: Name): boolean {
  return base.length <= name.length && base.every((relative, i) => folded(relative) === folded(name[i] ?? []));
}

function folded(relative: readonly NameAttribute[]): string {
  const values = relative.map(({ type, text, encoded }) => {
    return `${type}=${text === undefined ? `#${toHex(encoded)}` : `"${text.normalize("NFKC").trim().replaceAll(/\s+/g, " ").toLowerCase()}`}`;
  });
  return values.sort().join("\n");
}

/** `network` is an address and a mask of equal length. */
function isInNetwork(address: Uint8Array, network: Uint8Array): boolean {
  if (network.length !== 2 * address.length) return false;
  const mask = network.subarray(address.length);
  const masked = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => byte & (mask[i] ?? 0));
  return equalBytes(masked(address), masked(network.subarray(0, address.length)));
}

/** ASCII text; empty, which is no name of any kind, for anything else. */
function ascii(contents: Uint8Array): string {
  return contents.some((byte) => byte >= 0x80) ? "" : asciiText(contents);
}
