import { type CliError, usageError } from "./errors.ts";

/** "https://Assay.example/" → "https://assay.example". Errors: `server-invalid` for anything but an http(s) origin. */
export function normalizeServer(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw serverInvalid(text, error);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw serverInvalid(text);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") throw serverInvalid(text);
  // The registry's API lies at the root of a host by its specification: a server below a path would have none.
  if (/[^/]/.test(url.pathname)) throw serverInvalid(text);
  return url.origin;
}

/** Whether a host name (as in URL.hostname) is this machine. */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    /^127(\.\d+){3}$/.test(hostname)
  );
}

function serverInvalid(text: string, cause?: unknown): CliError {
  // The text is not repeated when it could hold a password.
  const shown = text.includes("@") ? "the server URL" : `"${text}"`;
  const error = usageError(
    "server-invalid",
    `${shown} is not a server address`,
    "Give scheme, host and port only, without a path or anything after it, such as https://assay.example:8400.",
  );
  if (cause !== undefined) error.cause = cause;
  return error;
}
