import type { About } from "../signals/about.ts";
import { isNamedDigest } from "./digest.ts";
import type { RegistryPath } from "./path.ts";
import { isTag } from "./tag-rules.ts";

/** What a method on a kind of path is called in metrics, the access log and spans. A fixed set: labels are made of it. */
const NAMES: Readonly<Record<RegistryPath["kind"], Readonly<Record<string, string>>>> = {
  base: { GET: "ping", HEAD: "ping" },
  catalog: { GET: "list-repositories" },
  unknown: {},
  blob: { GET: "pull-blob", HEAD: "look-for-blob", DELETE: "delete-blob" },
  uploads: { POST: "begin-upload" },
  upload: { GET: "look-at-upload", PATCH: "push-chunk", PUT: "finish-upload", DELETE: "cancel-upload" },
  manifest: { GET: "pull-manifest", HEAD: "look-for-manifest", PUT: "push-manifest", DELETE: "delete-manifest" },
  tags: { GET: "list-tags" },
  referrers: { GET: "list-referrers" },
};

/** The operation a request to the door is. */
export function operationName(path: RegistryPath, method: string, query: URLSearchParams): string {
  const names = NAMES[path.kind];
  const name = Object.hasOwn(names, method) ? names[method] : undefined;
  if (path.kind === "uploads" && method === "POST") {
    if (query.has("mount")) return "registry.mount-blob";
    if (query.has("digest")) return "registry.push-blob";
  }
  return `registry.${name ?? "unknown"}`;
}

/** What of a repository a path and query name, as far as it is in the grammar of what it would be. */
export function namedIn(path: RegistryPath, query: URLSearchParams): About {
  switch (path.kind) {
    case "blob":
    case "referrers":
      return digestNamed(path.digest);
    case "manifest":
      if (isTag(path.reference)) return { tag: path.reference };
      return { ...digestNamed(path.reference), manifest: true };
    case "uploads":
      return digestNamed(query.get("mount") ?? query.get("digest"));
    case "upload":
      return digestNamed(query.get("digest"));
    default:
      return {};
  }
}

function digestNamed(text: string | null): About {
  return isNamedDigest(text) ? { digest: text } : {};
}
