/** SLSA's words for levels and properties: https://slsa.dev/spec/v1.2/verification_summary#slsaresult . */

/** A level of a track: 3 of BUILD for `SLSA_BUILD_LEVEL_3`; -1 where the track was not evaluated. */
export type TrackLevel = { readonly track: string; readonly level: number };

/** Build levels that provenance can reach; 0 is the absence of a claim. */
export const BUILD_LEVELS = { lowest: 1, highest: 3 } as const;

const LEVEL = /^SLSA_(BUILD|SOURCE)_LEVEL_([0-4]|UNEVALUATED)$/;
/** "Not looked at": below every level that can be asked for, 0 included. */
const UNEVALUATED = -1;
/** Properties that SLSA defines beside levels. */
const PROPERTIES: readonly string[] = ["SLSA_SOURCE_TWO_PARTY_REVIEWED", "SLSA_BUILD_REPRODUCED"];
/** Words of one's own; those that begin with SLSA_ belong to SLSA. */
const CUSTOM = /^(?!SLSA_)[A-Z][A-Z0-9_]*$/;

/** The level that a word names; `undefined` for a property and for what is no word of SLSA's. */
export function parseLevel(word: string): TrackLevel | undefined {
  const [, track, level] = LEVEL.exec(word) ?? [];
  if (track === undefined) return undefined;
  return { track, level: level === "UNEVALUATED" ? UNEVALUATED : Number(level) };
}

/** `SLSA_BUILD_LEVEL_3` for 3. */
export function buildLevel(level: number): string {
  return `SLSA_BUILD_LEVEL_${level}`;
}

/** Whether a policy may ask for the word: a level or property that SLSA defines, or a custom one, which never begins with SLSA_. */
export function isLevelWord(word: string): boolean {
  return word !== "FAILED" && (parseLevel(word) !== undefined || PROPERTIES.includes(word) || CUSTOM.test(word));
}

/** Whether `words` include `needed`, or a higher level of its track: each level implies those below it. */
export function includesLevel(words: readonly string[], needed: string): boolean {
  const asked = parseLevel(needed);
  if (asked === undefined) return words.includes(needed);
  return words.some((word) => {
    const found = parseLevel(word);
    return found !== undefined && found.track === asked.track && found.level >= asked.level;
  });
}

/** A track of which `words` name two levels, which SLSA forbids; `undefined` if there is none. */
export function repeatedTrack(words: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (const word of words) {
    const track = parseLevel(word)?.track;
    if (track === undefined) continue;
    if (seen.has(track)) return track;
    seen.add(track);
  }
  return undefined;
}

/** The words with one level per track, the highest, and everything else once; sorted. */
export function highestPerTrack(words: readonly string[]): readonly string[] {
  const kept = new Set(words);
  for (const word of kept) {
    const here = parseLevel(word);
    if (here === undefined) continue;
    const higher = words.some((other) => {
      const there = parseLevel(other);
      return there !== undefined && there.track === here.track && there.level > here.level;
    });
    if (higher) kept.delete(word);
  }
  return [...kept].sort();
}
