import { clean, type Format } from "./output.ts";
import type { ToldRequest } from "./transport.ts";

/** Parts of a query whose values are never secrets. All others (signatures of redirects, upload states) are left out. */
const SHOWN: readonly string[] = [
  "service",
  "scope",
  "account",
  "repository",
  "digest",
  "mount",
  "from",
  "artifactType",
  "predicateType",
  "version",
  "explain",
  "flow",
  "trail",
  "name",
  "state",
  "kind",
  "limit",
  "n",
  "last",
  "after",
];

/**
 * One request in one line: method, address, status and milliseconds until the answer began. Headers and bodies, which hold the
 * tokens, are not known here; of the query only what cannot be a secret is shown, the rest as "…".
 */
export function requestLine({ method, url, status, ms }: ToldRequest, format: Format): string {
  const shown = shownUrl(url);
  const rounded = Math.round(ms);
  if (format === "json")
    return JSON.stringify({ request: { method, url: shown, status: status ?? null, ms: rounded } });
  return clean(`${method} ${shown}  ${status ?? "no answer"}  ${rounded} ms`);
}

function shownUrl(url: URL): string {
  const query = [...url.searchParams].map(([name, value]) =>
    SHOWN.includes(name) ? `${encodeURIComponent(name)}=${encodeURIComponent(value)}` : `${encodeURIComponent(name)}=…`,
  );
  return `${url.origin}${url.pathname}${query.length === 0 ? "" : `?${query.join("&")}`}`;
}
