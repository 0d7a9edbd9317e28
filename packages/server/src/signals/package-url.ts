/**
 * The package URL of an image (purl, type `oci`): what CDEvents and OpenTelemetry name artifacts by.
 * `pkg:oci/app@sha256%3A…?repository_url=host/acme/app`.
 */
export function packageUrl(host: string, repository: string, digest: string): string {
  const name = repository.slice(repository.lastIndexOf("/") + 1);
  const place = encodeURIComponent(`${host}/${repository}`).replaceAll("%2F", "/");
  return `pkg:oci/${encodeURIComponent(name)}@${encodeURIComponent(digest)}?repository_url=${place}`;
}
