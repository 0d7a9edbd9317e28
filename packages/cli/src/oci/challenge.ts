/** One challenge of a WWW-Authenticate header (RFC 9110 §11.6.1). Scheme and parameter names are in lower case. */
export type Challenge = { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> };

const MAX_HEADER = 8192;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BLANK = /[ \t]*/y;
const SEPARATOR = /[ \t,]*/y;

/** The challenges in a header; what cannot be parsed ends the list (an unknown challenge is never answered). */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  if (header.length > MAX_HEADER) return challenges;
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(header);
    if (found !== null) at += found[0].length;
    return found;
  };
  let parameters: Map<string, string> | undefined;
  while (at < header.length) {
    take(SEPARATOR);
    const word = take(TOKEN);
    if (word === null) break;
    take(BLANK);
    // A word with "=" is a parameter of the last challenge, one without begins the next.
    if (header[at] !== "=") {
      parameters = new Map();
      challenges.push({ scheme: word[0].toLowerCase(), parameters });
      continue;
    }
    at += 1;
    take(BLANK);
    const quoted = take(QUOTED);
    const value = quoted === null ? take(TOKEN)?.[0] : (quoted[1] ?? "").replace(/\\(.)/g, "$1");
    if (value === undefined || parameters === undefined) break;
    parameters.set(word[0].toLowerCase(), value);
  }
  return challenges;
}
