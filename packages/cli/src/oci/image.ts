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
 * A reference as users write it. Without a host it means the server this run is set up for, in every verb; without such a
 * server it is refused rather than guessed. Errors: `reference-invalid`, `host-missing`.
 */
export function parseOwnImage(text: string, settings: Settings): Image {
  const reference = parseReference(text);
  const { server } = settings;
  if (reference.host === undefined && server === undefined) {
    throw usageError(
      "host-missing",
      `${text} names no registry, and no server is set`,
      "Write the host (host/name:tag; docker.io/name:tag for Docker Hub), or set ASSAY_URL or --server.",
    );
  }
  // The server's registry has one spelling here, that of the server's own address ("Host:443" is "host" over https).
  const isOwn = server !== undefined && (reference.host === undefined || originOf(reference.host, server) === server);
  return onHost(reference, isOwn ? new URL(server).host : (reference.host ?? ""));
}

/** The exact address of the registry where it is the configured server's, which is reached as configured and no other way. */
export function ownOrigin({ host }: Image, { server }: Settings): string | undefined {
  return server !== undefined && new URL(server).host === host ? server : undefined;
}

/** A host under the scheme of `server`, as an origin; undefined if it makes none. */
function originOf(host: string, server: string): string | undefined {
  const text = `${new URL(server).protocol}//${host}`;
  return URL.canParse(text) ? new URL(text).origin : undefined;
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
