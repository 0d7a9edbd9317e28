/** Names of X.501: who a certificate is for and who issued it. Compared as bytes; written out for people by RFC 4514. */
import { oidText, stringValue } from "./asn1.ts";
import { DerReader, TAG_OID, TAG_SEQUENCE, TAG_SET } from "./der.ts";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** One attribute of a relative distinguished name. */
export type NameAttribute = {
  /** Dotted object identifier of its type. */
  readonly type: string;
  /** Its text; undefined when its characters are not certain. */
  readonly text: string | undefined;
  /** The value's DER with tag and length. */
  readonly encoded: Uint8Array;
};

/** Relative distinguished names in the order of the encoding: the most general first. Each has at least one attribute. */
export type Name = readonly (readonly NameAttribute[])[];

/** RFC 4514 §3. All other types are written as dotted identifiers. */
const SHORT_NAMES: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.6": "C",
  "2.5.4.9": "STREET",
  "0.9.2342.19200300.100.1.25": "DC",
  "0.9.2342.19200300.100.1.1": "UID",
};

/** Reads a Name (RFC 5280 §4.1.2.4), given with its SEQUENCE tag. Throws `der-invalid`. */
export function parseName(encoded: Uint8Array): Name {
  const outer = new DerReader(encoded);
  const sequence = outer.sequence(TAG_SEQUENCE);
  outer.end();
  const name: NameAttribute[][] = [];
  let attributes = 0;
  while (!sequence.done) {
    const set = sequence.sequence(TAG_SET);
    const relative: NameAttribute[] = [];
    do {
      if (++attributes > LIMITS.certificateNames) throw new EvidenceError("der-invalid", "DER: a name is too long.");
      relative.push(readAttribute(set.sequence()));
    } while (!set.done);
    name.push(relative);
  }
  return name;
}

/**
 * A Name in the form of RFC 4514: "CN=build,O=Acme,C=DE", the most special first. Empty for the empty name. Two different encodings may
 * give the same text (string types differ), so names are compared as bytes wherever a chain depends on them.
 */
export function nameText(name: Name): string {
  return [...name]
    .reverse()
    .map((relative) => relative.map(attributeText).join("+"))
    .join(",");
}

function readAttribute(attribute: DerReader): NameAttribute {
  const type = oidText(attribute.read(TAG_OID));
  const { tag, contents, encoded } = attribute.next();
  attribute.end();
  return { type, text: isString(tag) ? stringValue(tag, contents) : undefined, encoded };
}

/** Whether the tag is of a string type; attributes may hold other things. */
function isString(tag: number): boolean {
  return tag === 0x0c || (tag >= 0x12 && tag <= 0x1e && tag !== 0x17 && tag !== 0x18 && tag !== 0x15 && tag !== 0x19);
}

function attributeText({ type, text, encoded }: NameAttribute): string {
  const short = Object.hasOwn(SHORT_NAMES, type) ? SHORT_NAMES[type] : undefined;
  // RFC 4514 §2.4: a type without a short name, or a value that is no text, is written as "#" and the hexadecimal of its encoding.
  if (short === undefined || text === undefined) return `${short ?? type}=#${toHex(encoded)}`;
  return `${short}=${escape(text)}`;
}

function escape(text: string): string {
  return text
    .replaceAll(/[\\"+,;<>]/g, "\\$&")
    .replace(/^[ #]/, "\\$&")
    .replace(/ $/, "\\ ");
}
