import { isDigest, parseReference, type Reference } from "@assay/evidence";
import type { Command } from "commander";
import { usageError } from "../errors.ts";
import { serverClient } from "../http.ts";
import { API, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts } from "../table.ts";

/** `assay promote`: an artifact goes to another repository by its digest, with its evidence, where a policy may be asked first. */
export function define(command: Command, session: Session): void {
  command
    .argument("<source>", "what is promoted, by digest: app@sha256:…, or other-org/app@sha256:…")
    .argument("<destination>", "where it goes: delivered, delivered:1.0.0, or other-org/delivered:1.0.0")
    .action((source: string, destination: string) => promote(session, source, destination));
}

/** `app` is the organisation's; with a slash it is a whole name, org/path. */
function wholeName(org: string, name: string): { org: string; below: string } {
  const slash = name.indexOf("/");
  return slash === -1 ? { org, below: name } : { org: name.slice(0, slash), below: name.slice(slash + 1) };
}

function read(text: string): Reference {
  const reference = parseReference(text);
  if (reference.host === undefined) return reference;
  throw usageError("usage", `${text} names a registry: both repositories are of the server this run is set up for`);
}

async function promote(session: Session, sourceText: string, destinationText: string): Promise<void> {
  const source = read(sourceText);
  const destination = read(destinationText);
  if (source.digest === undefined || !isDigest(source.digest)) {
    throw usageError(
      "usage",
      "what is promoted is named by its digest: app@sha256:…",
      "`assay fingerprint --type oci app:1.0.0` shows the digest of a tag.",
    );
  }
  if (destination.digest !== undefined) {
    throw usageError("usage", "the destination has the artifact's own digest: name a repository, or one with a tag");
  }
  const { org } = await organisationClient(session);
  const from = wholeName(org, source.repository);
  const to = wholeName(org, destination.repository);
  const answer = await askObject(await serverClient(session), {
    method: "POST",
    path: `${API}/orgs/${encodeURIComponent(to.org)}/promotions`,
    json: {
      from: `${from.org}/${from.below}`,
      digest: source.digest,
      repository: to.below,
      tags: destination.tag === undefined ? [] : [destination.tag],
    },
  });
  session.output.result(
    answer.json,
    facts([
      [answer.flag("changed") ? "promoted" : "there already", `${answer.text("repository")}@${answer.text("digest")}`],
      ["from", answer.text("from")],
      ["tag", answer.texts("tags").join(", ") || undefined],
      ["manifests", String(answer.whole("manifests"))],
      ["evidence", String(answer.whole("evidence"))],
      ["policy", answer.textOrNull("policy") ?? undefined],
      ["decision", answer.textOrNull("decision") ?? undefined],
    ]),
  );
}
