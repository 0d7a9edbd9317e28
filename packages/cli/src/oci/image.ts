import { type Digest, type Reference, parseReference } from "@assay/evidence";
import { usageError } from "../errors.ts";
import type { Settings } from "../settings.ts";
import { DOCKER_HUB } from "./credentials.ts";

/** A repository in a registry, and what in it is meant. Docker Hub's host is always "docker.io" here. */
export type Image = {
  readonly host: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
};

/**
 * A reference as users of images write it: without a host it means Docker Hub ("nginx" is docker.io/library/nginx).
 * Throws `reference-invalid`.
 */
export function parseImage(text: string): Image {
  const reference = parseReference(text);
  return onHost(reference, reference.host ?? DOCKER_HUB);
}

/**
 * A reference in a verb that writes or trusts: without a host it means the server this run is set up for, and without
 * such a server it is refused rather than guessed. Errors: `reference-invalid`, `host-missing`.
 */
export function parseOwnImage(text: string, settings: Settings): Image {
  const reference = parseReference(text);
  const host = reference.host ?? (settings.server === undefined ? undefined : new URL(settings.server).host);
  if (host === undefined) {
    throw usageError("host-missing", `${text} names no registry`, "Write host/name:tag, or set --server (ASSAY_URL).");
  }
  return onHost(reference, host);
}

/** "host/repository@digest", else with the tag. */
export function formatImage({ host, repository, tag, digest }: Image): string {
  if (digest !== undefined) return `${host}/${repository}@${digest}`;
  return tag === undefined ? `${host}/${repository}` : `${host}/${repository}:${tag}`;
}

/** What stands in `/v2/<name>/manifests/<reference>`: the digest counts before the tag; neither means "latest". */
export function manifestReference({ tag, digest }: Image): string {
  return digest ?? tag ?? "latest";
}

function onHost({ repository, tag, digest }: Reference, host: string): Image {
  if (host !== DOCKER_HUB && host !== "index.docker.io") return { host, repository, tag, digest };
  return { host: DOCKER_HUB, repository: repository.includes("/") ? repository : `library/${repository}`, tag, digest };
}
