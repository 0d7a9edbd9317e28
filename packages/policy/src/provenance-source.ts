import { member, ownMembers } from "./json-member.ts";
import { LIMITS } from "./limits.ts";
import { quote } from "./quote.ts";
import type { Objection } from "./rejection.ts";
import { parseSourceUri } from "./repository-url.ts";
import type { RepositoryUrl } from "./repository-url.ts";

/** What provenance asserts the artifact was built from. A part that it leaves open is absent. */
export type AssertedSource = {
  readonly repository: RepositoryUrl;
  readonly ref?: string;
  readonly path?: string;
  /** The fields that say so, as JSON paths in the statement. */
  readonly at: string;
  readonly refAt: string;
  readonly pathAt: string;
};

/** Where a version of provenance says what was asked for, and what the builder resolved. */
export type SourceFields = {
  /** The fields that name the source itself. */
  readonly named: readonly { readonly value: unknown; readonly at: string }[];
  /** The list of everything the builder resolved, among it the source. */
  readonly resolved: { readonly value: unknown; readonly at: string };
};

/** One assertion about the source. `repository` is undefined for a git address that cannot be compared. */
type Assertion = {
  repository: RepositoryUrl | undefined;
  ref?: string;
  path?: string;
  commit?: string;
  at: string;
  refAt?: string;
  pathAt?: string;
  shown: string;
};

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/**
 * The source that provenance asserts, or why that is not known.
 *
 * The fields that name the source decide; without any, the one git repository among the resolved dependencies does. All assertions must
 * agree: two repositories, two refs, a named source that the builder did not resolve although it resolved others, or a revision that
 * contradicts its own commit digest leave the source unknown. Nothing is chosen among them, because whoever can add an entry
 * could then choose.
 */
export function readSource(fields: SourceFields): AssertedSource | Objection {
  const named: Assertion[] = [];
  for (const { value, at } of fields.named) {
    if (value === undefined) continue;
    const read = readNamed(value, at);
    if ("code" in read) return read;
    named.push(...read.assertions);
  }
  const resolved = readResolved(fields.resolved.value, fields.resolved.at);
  if ("code" in resolved) return resolved;
  return agree(named, resolved.assertions);
}

type Read = { readonly assertions: Assertion[] } | Objection;

/** `{repository, ref, path}`, `{uri, entryPoint, digest}` or a plain address: the forms in which builders name a source. */
function readNamed(value: unknown, at: string): Read {
  if (typeof value === "string") return readAddress(value, {}, at);
  const object = ownMembers(value);
  if (object === undefined) {
    return unknown(at, value, "The field that names the source is neither an address nor an object.");
  }
  const said: { ref?: string; refAt?: string; path?: string; pathAt?: string } = {};
  const ref = member(object, "ref");
  if (ref !== undefined) {
    if (typeof ref !== "string" || ref === "") return unknown(`${at}.ref`, ref, "The source's ref is not a text.");
    Object.assign(said, { ref, refAt: `${at}.ref` });
  }
  for (const key of ["path", "entryPoint"]) {
    const path = member(object, key);
    if (path === undefined || path === "") continue;
    if (typeof path !== "string") return unknown(`${at}.${key}`, path, "The source's path is not a text.");
    Object.assign(said, { path, pathAt: `${at}.${key}` });
  }
  const assertions: Assertion[] = [];
  for (const key of ["repository", "uri"]) {
    const address = member(object, key);
    if (address === undefined) continue;
    if (typeof address !== "string") return unknown(`${at}.${key}`, address, "The source's address is not a text.");
    const read = readAddress(address, said, `${at}.${key}`, commitOf(object));
    if ("code" in read) return read;
    assertions.push(...read.assertions);
  }
  return assertions.length > 0
    ? { assertions }
    : unknown(at, value, "The field that names the source gives no address.");
}

/**
 * The assertions of one address and what stands beside it: one for what the address itself says, one for what the fields say, so that a
 * disagreement between them is met in `agree` like any other.
 */
function readAddress(address: string, said: Partial<Assertion>, at: string, commit?: string): Read {
  const source = parseSourceUri(address);
  if (source === undefined) return unknown(at, address, "The source's address is not of a form that can be compared.");
  const base = { repository: source.repository, at, shown: source.repository };
  const { revision } = source;
  const assertions: Assertion[] = [{ ...base, ...said, ...(commit === undefined ? {} : { commit }) }];
  // A commit is no branch or tag: it says nothing about the ref.
  if (revision !== undefined)
    assertions.push(COMMIT.test(revision) ? { ...base, commit: revision } : { ...base, ref: revision, refAt: at });
  return { assertions };
}

/** The git commit in a descriptor's digests. SLSA v0.2 called it `sha1`. */
function commitOf(descriptor: unknown): string | undefined {
  const commit = member(descriptor, "digest", "gitCommit") ?? member(descriptor, "digest", "sha1");
  return typeof commit === "string" ? commit : undefined;
}

/** The git repositories among the resolved dependencies; everything else in the list is no source. */
function readResolved(list: unknown, at: string): Read {
  if (list === undefined) return { assertions: [] };
  if (!Array.isArray(list)) return unknown(at, list, "The list of what was resolved is not a list.");
  if (list.length > LIMITS.dependencies)
    return unknown(at, list, `More than ${LIMITS.dependencies} dependencies are listed: too many to look through.`);
  const assertions: Assertion[] = [];
  for (const [index, entry] of list.entries()) {
    const here = `${at}[${index}]`;
    const uri = member(entry, "uri");
    if (ownMembers(entry) === undefined) return unknown(here, entry, "A resolved dependency is not an object.");
    if (uri === undefined) continue;
    if (typeof uri !== "string") return unknown(`${here}.uri`, uri, "A resolved dependency's address is not a text.");
    if (!uri.startsWith("git+") && member(entry, "digest", "gitCommit") === undefined) continue;
    const read = readAddress(uri, {}, `${here}.uri`, commitOf(entry));
    // What cannot be compared is still a repository, and not the one that is asked for.
    assertions.push(...("code" in read ? [{ repository: undefined, at: `${here}.uri`, shown: uri }] : read.assertions));
  }
  return { assertions };
}

function agree(named: readonly Assertion[], resolved: readonly Assertion[]): AssertedSource | Objection {
  const first = named[0] ?? resolved[0];
  if (first === undefined)
    return { code: "source-unknown", reason: "The provenance names no source repository.", path: "$.predicate" };
  if (first.repository === undefined)
    return unknown(first.at, first.shown, "The source's address is not of a form that can be compared.");

  const deciding = named.length > 0 ? named : resolved;
  const other = deciding.find((assertion) => assertion.repository !== first.repository);
  if (other !== undefined)
    return ambiguous(`The provenance names two repositories: ${quote(first.shown)} and ${quote(other.shown)}.`, other);

  const same = resolved.filter((assertion) => assertion.repository === first.repository);
  const [stranger] = resolved;
  if (same.length === 0 && stranger !== undefined) {
    return ambiguous(
      `The provenance names ${quote(first.shown)}, but the builder resolved ${quote(stranger.shown)}.`,
      stranger,
    );
  }
  const about = [...named, ...same];
  const ref = single(about, "ref");
  const path = single(about, "path");
  const commit = single(about, "commit");
  if ("code" in ref) return ref;
  if ("code" in path) return path;
  if ("code" in commit) return commit;
  return {
    repository: first.repository,
    at: first.at,
    refAt: ref.by?.refAt ?? first.at,
    pathAt: path.by?.pathAt ?? first.at,
    ...(ref.by?.ref === undefined ? {} : { ref: ref.by.ref }),
    ...(path.by?.path === undefined ? {} : { path: path.by.path }),
  };
}

/** The first assertion that says `what`, if all that say it agree. */
function single(
  about: readonly Assertion[],
  what: "ref" | "path" | "commit",
): { readonly by: Assertion | undefined } | Objection {
  const by = about.find((assertion) => assertion[what] !== undefined);
  const other = about.find((assertion) => assertion[what] !== undefined && assertion[what] !== by?.[what]);
  if (other === undefined) return { by };
  const reason = `The provenance names two ${what}s: ${quote(by?.[what])} and ${quote(other[what])}.`;
  return { code: "source-ambiguous", reason, path: other.at, observed: quote(other[what]) };
}

function ambiguous(reason: string, at: Assertion): Objection {
  return { code: "source-ambiguous", reason, path: at.at, observed: quote(at.shown) };
}

function unknown(path: string, observed: unknown, reason: string): Objection {
  return { code: "source-unknown", reason, path, observed: quote(observed) };
}
