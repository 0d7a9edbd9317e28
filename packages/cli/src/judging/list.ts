import type { Digest } from "@assay/evidence";
import { answerInvalid } from "../answer.ts";
import { askList, askObject, type OrganisationClient } from "../organisation.ts";
import { type Piece, readPiece } from "./piece.ts";

/** Everything the server has about an artifact, judged under one version of trust. */
export type EvidenceList = {
  readonly pieces: readonly Piece[];
  readonly trust: { readonly org: string; readonly version: number };
  readonly asOf: number;
  readonly repository: string | undefined;
};

/**
 * Asks the server for the evidence about an artifact. `repository` decides which trust entries are in scope; without it only
 * those that are for everything. Errors: those of the server, `answer-invalid`.
 */
export async function evidenceAbout(
  { client, org, path }: OrganisationClient,
  digest: Digest,
  repository: string | undefined,
): Promise<EvidenceList> {
  const { first, items } = await askList(client, path("attestations", digest), { repository });
  // An answer to another question than the one asked is none.
  if (first.text("subject") !== digest) throw answerInvalid("it is about another artifact");
  const trust = first.object("trust");
  if (trust.text("org") !== org) throw answerInvalid("it is judged under another organisation's trust");
  return {
    pieces: items.map(readPiece),
    trust: { org, version: trust.whole("version") },
    asOf: first.whole("asOf"),
    repository: first.textOrNull("repository") ?? undefined,
  };
}

/**
 * The repository to ask about: what was said, else the one the reference names if it is this organisation's. A name of one
 * component is in the server's default organisation, and the server is asked whether that is this one.
 */
export async function repositoryAsked(
  { client, org, path }: OrganisationClient,
  said: string | undefined,
  fromReference: string | undefined,
): Promise<string | undefined> {
  if (said !== undefined || fromReference === undefined) return said;
  if (fromReference.includes("/")) return fromReference.startsWith(`${org}/`) ? fromReference : undefined;
  const answer = await askObject(client, { method: "GET", path: path() });
  return answer.flag("default") ? `${org}/${fromReference}` : undefined;
}
