/** References to artifacts in registries: "[host/]repository[:tag][@digest]" (OCI distribution-spec, "Pulling manifests"). */
import { type Digest, isDigest } from "./digest.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";

/** A reference taken apart. Only `digest` names bytes; a tag is somebody's word for the moment. */
export type Reference = {
  /** Host with optional port; undefined when the reference does not begin with one. */
  readonly host: string | undefined;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
};

const HOST = /^(?:localhost|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Whether `text` is a repository name of the distribution specification's grammar, at most 255 characters. */
export function isRepositoryName(text: string): boolean {
  return text.length <= LIMITS.repositoryLength && text.split("/").every((component) => COMPONENT.test(component));
}

/** Takes a reference apart; defaults nothing (no host, no "latest"). Throws `reference-invalid`. */
export function parseReference(text: string): Reference {
  if (text.length > 1_024)
    throw new EvidenceError("reference-invalid", "The reference is longer than 1024 characters.");
  const at = text.indexOf("@");
  const digestText = at < 0 ? undefined : text.slice(at + 1);
  if (digestText !== undefined && !isDigest(digestText)) {
    throw new EvidenceError(
      "reference-invalid",
      `Not a sha256 digest after "@": ${JSON.stringify(digestText.slice(0, 100))}.`,
    );
  }
  const named = at < 0 ? text : text.slice(0, at);

  // As docker decides it: a first component with a dot, a colon, or "localhost" is a host.
  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  const hasHost = first === "localhost" || /[.:]/.test(first);
  if (hasHost && !HOST.test(first))
    throw new EvidenceError("reference-invalid", `Not a host: ${JSON.stringify(first)}.`);
  const rest = hasHost ? named.slice(slash + 1) : named;

  const colon = rest.lastIndexOf(":");
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag))
    throw new EvidenceError("reference-invalid", `Not a tag: ${JSON.stringify(tag.slice(0, 200))}.`);
  const repository = colon < 0 ? rest : rest.slice(0, colon);
  if (!isRepositoryName(repository)) {
    throw new EvidenceError("reference-invalid", `Not a repository name: ${JSON.stringify(repository.slice(0, 200))}.`);
  }
  return { host: hasHost ? first : undefined, repository, tag, digest: digestText };
}

/** Writes a reference as {@link parseReference} reads it. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  const named = `${host === undefined ? "" : `${host}/`}${repository}`;
  return `${named}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}
