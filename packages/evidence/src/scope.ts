/** What a trust entry may speak about: repositories and predicate types, by patterns that take linear time. */

/** What an entry's key may speak about. */
export type TrustScope = {
  /** Repository patterns: see {@link matchesRepository}. */
  readonly repositories: readonly string[];
  /** Predicate types, each exact, or "*" for any. */
  readonly predicateTypes: readonly string[];
};

/**
 * Whether one of the patterns matches a repository. "**" matches any number of whole components, also none; "*" any run of
 * characters within one component; all else is literal. "acme/**" matches "acme/a/b", "acme/*" does not.
 *
 * Without a repository only the pattern "**" itself matches: an entry bound to places says nothing about no place.
 */
export function matchesRepository(patterns: readonly string[], repository: string | undefined): boolean {
  if (repository === undefined) return patterns.includes("**");
  const components = repository.split("/");
  return patterns.some((pattern) => matchesPath(pattern.split("/"), components));
}

/** Whether an entry's scope covers this predicate type about an artifact in this repository. */
export function isInScope(scope: TrustScope, repository: string | undefined, predicateType: string): boolean {
  const ofType = scope.predicateTypes.some((type) => type === "*" || type === predicateType);
  return ofType && matchesRepository(scope.repositories, repository);
}

/** Patterns against components, remembering only the last "**": linear in their product, never exponential. */
function matchesPath(pattern: readonly string[], components: readonly string[]): boolean {
  return matchSequence(
    pattern,
    components,
    (part) => part === "**",
    (part, component) => {
      return matchSequence(
        [...part],
        [...component],
        (character) => character === "*",
        (a, b) => a === b,
      );
    },
  );
}

/** Greedy wildcard match with one point of return: the classic algorithm, over any kind of element. */
function matchSequence(
  pattern: readonly string[],
  text: readonly string[],
  isWild: (part: string) => boolean,
  fits: (part: string, element: string) => boolean,
): boolean {
  let p = 0;
  let t = 0;
  let lastWild = -1;
  let resume = 0;
  while (t < text.length) {
    const part = pattern[p];
    const element = text[t] ?? "";
    if (part !== undefined && isWild(part)) {
      lastWild = p++;
      resume = t;
    } else if (part !== undefined && fits(part, element)) {
      p++;
      t++;
    } else if (lastWild >= 0) {
      p = lastWild + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.slice(p).every(isWild);
}

/** Any run of characters, any run without "/", or the one character itself. */
type Token = "**" | "*" | { readonly character: string };

/**
 * Whether an identity's text matches a pattern: "*" any run of characters without "/", "**" any run at all, all else literal, and both ends
 * anchored. No regular expressions: an unanchored one, or a dot that stands for anything, is how look-alikes get in. Takes time
 * proportional to the product of the two lengths, whatever the pattern.
 */
export function matchesText(pattern: string, text: string): boolean {
  const tokens = tokensOf(pattern);
  let at = closure(tokens, new Set([0]));
  for (const character of text) {
    const next = new Set<number>();
    for (const index of at) {
      const token = tokens[index];
      if (token === undefined) continue;
      if (token === "**" || (token === "*" && character !== "/")) next.add(index);
      else if (typeof token === "object" && token.character === character) next.add(index + 1);
    }
    at = closure(tokens, next);
    if (at.size === 0) return false;
  }
  return at.has(tokens.length);
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  for (const part of pattern.split(/(\*+)/)) {
    if (part === "*") tokens.push("*");
    else if (part.startsWith("*")) tokens.push("**");
    else for (const character of part) tokens.push({ character });
  }
  return tokens;
}

/** The places in the pattern that can be reached without a further character: a wildcard may stand for none. */
function closure(tokens: readonly Token[], from: ReadonlySet<number>): Set<number> {
  const reached = new Set<number>();
  for (const start of from) {
    let index = start;
    reached.add(index);
    while (typeof tokens[index] === "string") reached.add(++index);
  }
  return reached;
}
