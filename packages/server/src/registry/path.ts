/** What a path below `/v2` names. References and digests are raw text: whether they are well-formed is judged after who asks. */
export type RegistryPath =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "tags"; readonly name: string }
  | { readonly kind: "referrers"; readonly name: string; readonly digest: string }
  | { readonly kind: "manifest"; readonly name: string; readonly reference: string }
  | { readonly kind: "blob"; readonly name: string; readonly digest: string }
  | { readonly kind: "uploads"; readonly name: string }
  | { readonly kind: "upload"; readonly name: string; readonly id: string }
  | { readonly kind: "unknown" };

/** Longest path looked at, in characters: 255 of a name, 7 of a digest's algorithm, and the fixed words fit many times. */
const MAX_PATH = 2048;

/** What stands in a path before its last `count` segments. */
function nameBefore(path: string, count: number): string {
  let end = path.length;
  for (let left = count; left > 0; left -= 1) end = path.lastIndexOf("/", end - 1);
  return path.slice("/v2/".length, end);
}

/**
 * Reads a path (no query) into what it names. Names have slashes, and their components may be the words of the API itself
 * (`a/manifests/tags/list` lists the tags of `a/manifests`): the words are read from the end.
 *
 * The name is cut out, not judged (access/names.ts does that). Percent-encoding is undone once, before anything is compared, so an
 * encoded slash is a slash for every later check too.
 */
export function parseRegistryPath(rawPath: string): RegistryPath {
  if (rawPath.length > MAX_PATH) return { kind: "unknown" };
  let path: string;
  try {
    path = rawPath.includes("%") ? decodeURIComponent(rawPath) : rawPath;
  } catch (error) {
    if (error instanceof URIError) return { kind: "unknown" };
    throw error;
  }
  if (path === "/v2" || path === "/v2/") return { kind: "base" };
  if (!path.startsWith("/v2/")) return { kind: "unknown" };
  const segments = path.slice("/v2/".length).split("/");
  if (segments.length === 1 && segments[0] === "_catalog") return { kind: "catalog" };

  const last = segments.at(-1) ?? "";
  const second = segments.at(-2);
  const third = segments.at(-3);
  if (third === "blobs" && second === "uploads") {
    // The standard's location for opening an upload ends in a slash.
    if (segments.length > 3)
      return last === ""
        ? { kind: "uploads", name: nameBefore(path, 3) }
        : { kind: "upload", name: nameBefore(path, 3), id: last };
  }
  if (segments.length < 3) return { kind: "unknown" };
  if (second === "blobs" && last === "uploads") return { kind: "uploads", name: nameBefore(path, 2) };
  switch (second) {
    case "tags":
      return last === "list" ? { kind: "tags", name: nameBefore(path, 2) } : { kind: "unknown" };
    case "manifests":
      return { kind: "manifest", name: nameBefore(path, 2), reference: last };
    case "blobs":
      return { kind: "blob", name: nameBefore(path, 2), digest: last };
    case "referrers":
      return { kind: "referrers", name: nameBefore(path, 2), digest: last };
    default:
      return { kind: "unknown" };
  }
}
