/** What differs between two versions of trust, for people who must say yes to it. */
import { canonicalJson } from "./jcs.ts";
import type { JsonValue } from "./json.ts";
import type { TrustEntry, TrustVersion } from "./trust.ts";
import { rootJson, type TrustRoot } from "./trust-root.ts";

export type TrustDiff = {
  readonly entries: {
    readonly added: readonly TrustEntry[];
    readonly removed: readonly TrustEntry[];
    /** Entries of the same id that say something else now, and in which members. */
    readonly changed: readonly {
      readonly before: TrustEntry;
      readonly after: TrustEntry;
      readonly members: readonly string[];
    }[];
  };
  readonly roots: {
    readonly added: readonly TrustRoot[];
    readonly removed: readonly TrustRoot[];
    readonly changed: readonly {
      readonly before: TrustRoot;
      readonly after: TrustRoot;
      readonly members: readonly string[];
    }[];
  };
};

type Trust = Pick<TrustVersion, "entries" | "roots">;

/** What of `from` is otherwise in `to`. Entries are the same by id, roots by name; the order of neither counts. */
export function diffTrust(from: Trust, to: Trust): TrustDiff {
  return {
    entries: diff(from.entries, to.entries, ({ id }) => id, plain),
    roots: diff(from.roots, to.roots, ({ name }) => name, rootJson),
  };
}

/** Whether the two say the same. */
export function isSameTrust(from: Trust, to: Trust): boolean {
  const { entries, roots } = diffTrust(from, to);
  return [entries, roots].every(({ added, removed, changed }) => added.length + removed.length + changed.length === 0);
}

function diff<T>(
  from: readonly T[],
  to: readonly T[],
  nameOf: (item: T) => string,
  jsonOf: (item: T) => { readonly [name: string]: JsonValue },
): { added: T[]; removed: T[]; changed: { before: T; after: T; members: string[] }[] } {
  const before = new Map(from.map((item) => [nameOf(item), item]));
  const after = new Map(to.map((item) => [nameOf(item), item]));
  const changed: { before: T; after: T; members: string[] }[] = [];
  for (const [name, now] of after) {
    const was = before.get(name);
    if (was === undefined) continue;
    const [a, b] = [jsonOf(was), jsonOf(now)];
    const members = [...new Set([...Object.keys(a), ...Object.keys(b)])]
      .filter((member) => canonicalJson(a[member] ?? null) !== canonicalJson(b[member] ?? null))
      .sort();
    if (members.length > 0) changed.push({ before: was, after: now, members });
  }
  return {
    added: [...after].filter(([name]) => !before.has(name)).map(([, item]) => item),
    removed: [...before].filter(([name]) => !after.has(name)).map(([, item]) => item),
    changed,
  };
}

/** Entries are plain JSON already. */
function plain(entry: TrustEntry): { readonly [name: string]: JsonValue } {
  return entry as unknown as { readonly [name: string]: JsonValue };
}
