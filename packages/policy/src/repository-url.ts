import { LIMITS } from "./limits.ts";

/** The one form of a repository's address that is compared: scheme, host in lower case, path without `.git`. */
export type RepositoryUrl = string;

/** A source as evidence names it: a repository, and what of it, as far as it says. */
export type SourceUri = { readonly repository: RepositoryUrl; readonly revision?: string };

const PATH_SEGMENT = /^[A-Za-z0-9._~+-]+$/;
const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const REVISION = /^[\x21-\x7e]+$/;

/**
 * The repository and revision of an address such as `git+https://github.com/example/app.git@refs/heads/main`; `undefined` if it is not
 * one that can be compared without guessing.
 *
 * Exactly this is normalised, and nothing else: a leading `git+`; upper case in the host; the port `:443` of https; one trailing `.git`.
 * The path keeps its case. Addresses with a user (except `git@` of ssh), query, fragment, percent-encoding, empty or dot segments, a trailing
 * slash, characters outside ASCII, or a scheme other than `https` and `ssh` are not comparable.
 */
export function parseSourceUri(uri: string): SourceUri | undefined {
  if (uri.length > LIMITS.uriLength) return undefined;
  const plain = uri.startsWith("git+") ? uri.slice("git+".length) : uri;
  const scheme = plain.startsWith("https://") ? "https://" : plain.startsWith("ssh://git@") ? "ssh://git@" : undefined;
  if (scheme === undefined) return undefined;
  const rest = plain.slice(scheme.length);
  const slash = rest.indexOf("/");
  if (slash < 1) return undefined;

  const host = parseHost(rest.slice(0, slash).toLowerCase(), scheme);
  const pathAndRevision = rest.slice(slash + 1);
  // A path segment cannot hold "@", so the first one begins the revision.
  const mark = pathAndRevision.indexOf("@");
  const path = parsePath(mark < 0 ? pathAndRevision : pathAndRevision.slice(0, mark));
  if (host === undefined || path === undefined) return undefined;

  const repository = `${scheme}${host}/${path}`;
  if (mark < 0) return { repository };
  const revision = pathAndRevision.slice(mark + 1);
  return REVISION.test(revision) && !revision.includes("@") ? { repository, revision } : undefined;
}

/** The repository of an address that names no revision; `undefined` if it names one or is not comparable. */
export function parseRepositoryUrl(uri: string): RepositoryUrl | undefined {
  const source = parseSourceUri(uri);
  return source === undefined || source.revision !== undefined ? undefined : source.repository;
}

function parseHost(authority: string, scheme: string): string | undefined {
  const colon = authority.indexOf(":");
  const name = colon < 0 ? authority : authority.slice(0, colon);
  if (name.length > 253 || !name.split(".").every((label) => HOST_LABEL.test(label))) return undefined;
  if (colon < 0) return name;
  const port = authority.slice(colon + 1);
  if (!/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65_535) return undefined;
  return scheme === "https://" && port === "443" ? name : `${name}:${port}`;
}

function parsePath(path: string): string | undefined {
  const segments = path.split("/");
  if (!segments.every((segment) => PATH_SEGMENT.test(segment) && segment !== "." && segment !== "..")) return undefined;
  const last = segments.at(-1) ?? "";
  // ".git" alone is a directory's name, not an ending.
  const name = last.endsWith(".git") && last.length > ".git".length ? last.slice(0, -".git".length) : last;
  return [...segments.slice(0, -1), name].join("/");
}
