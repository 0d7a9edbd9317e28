/** What a registry asks for before it answers (RFC 9110 §11.6.1; Docker token authentication). */
export type Challenge =
  | { readonly scheme: "bearer"; readonly realm: string; readonly service: string | undefined }
  | { readonly scheme: "basic" };

/** Characters of a header that are looked at. */
const MAX_HEADER = 4096;

/**
 * Reads `WWW-Authenticate`. Where it offers both, a token is taken: the password then goes to its service only. The scope in it is not
 * looked at: what this server asks for, it knows itself.
 *
 * @returns undefined when there is nothing in it that this server can answer.
 */
export function readChallenge(header: string | undefined): Challenge | undefined {
  if (header === undefined || header.length > MAX_HEADER) return undefined;
  const bearer = /(?:^|,)\s*bearer\s+(.*)$/is.exec(header)?.[1];
  if (bearer !== undefined) {
    const realm = parameter(bearer, "realm");
    return realm === undefined ? undefined : { scheme: "bearer", realm, service: parameter(bearer, "service") };
  }
  return /(?:^|,)\s*basic(?:\s|,|$)/i.test(header) ? { scheme: "basic" } : undefined;
}

function parameter(text: string, name: string): string | undefined {
  const found = new RegExp(`(?:^|[\\s,])${name}\\s*=\\s*"([^"\\\\]*)"`, "i").exec(text);
  return found?.[1];
}
