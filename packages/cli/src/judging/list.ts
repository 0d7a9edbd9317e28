import type { Digest } from "@assay/evidence";
import { answerInvalid } from "../answer.ts";
import { usageError } from "../errors.ts";
import { askList, askObject, type OrganisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import type { ArtifactType } from "../verbs/fingerprint.ts";
import { readClaims } from "./claims.ts";
import { type Piece, readPieces } from "./piece.ts";
import { type AskedSubject, askedSubject } from "./subject.ts";

/** Everything the server has about an artifact, judged under one version of trust. */
export type EvidenceList = {
  readonly pieces: readonly Piece[];
  readonly trust: { readonly org: string; readonly version: number };
  readonly asOf: number;
  readonly repository: string | undefined;
};

/**
 * Asks the server for the evidence about an artifact. `repository` decides which trust entries are in scope; without it only
 * those that are for everything. `explain` asks for what was checked, too. Errors: those of the server, `answer-invalid`.
 */
export async function evidenceAbout(
  api: OrganisationClient,
  digest: Digest,
  repository: string | undefined,
  explain = false,
): Promise<EvidenceList> {
  const { client, org, path } = api;
  const { first, items } = await askList(client, path("attestations", digest), {
    repository,
    explain: explain ? "true" : undefined,
  });
  // An answer to another question than the one asked is none.
  if (first.text("subject") !== digest) throw answerInvalid("it is about another artifact");
  const trust = first.object("trust");
  if (trust.text("org") !== org) throw answerInvalid("it is judged under another organisation's trust");
  return {
    pieces: await readClaims(api, readPieces(items)),
    trust: { org, version: trust.whole("version") },
    asOf: first.whole("asOf"),
    repository: first.textOrNull("repository") ?? undefined,
  };
}

/**
 * The artifact asked about, and the repository it is to be used from: what was said, else the one that the reference names.
 * Errors: those of `askedSubject`; `organisation-other` (usage).
 */
export async function askedArtifact(
  session: Session,
  api: OrganisationClient,
  words: string,
  options: { readonly artifactType?: ArtifactType; readonly repository?: string },
): Promise<AskedSubject> {
  const said = options.repository;
  const place = async (name: string): Promise<string> => said ?? (await repositoryNamed(api, words, name));
  const subject = await askedSubject(session, words, options.artifactType, place);
  return { ...subject, repository: said ?? subject.repository };
}

/**
 * The repository of this organisation that a reference names. A name of one component is in the server's default
 * organisation, and the server is asked whether that is this one. Another organisation's artifact is never judged by
 * this one's trust unasked: `organisation-other`.
 */
async function repositoryNamed(
  { client, org, path }: OrganisationClient,
  words: string,
  name: string,
): Promise<string> {
  const [first, ...rest] = name.split("/");
  if (rest.length > 0) {
    if (first === org) return name;
    throw usageError(
      "organisation-other",
      `${words} is an image of the organisation ${first}, and ${org} is asked`,
      `Add --org ${first}; or, to judge it by the trust of ${org}, --repository ${org}/NAME.`,
    );
  }
  const answer = await askObject(client, { method: "GET", path: path() });
  if (answer.flag("default")) return `${org}/${name}`;
  throw usageError(
    "organisation-other",
    `${words} is an image of the server's default organisation, and ${org} is asked`,
    `Write ${org}/${words} if that is meant; else name the default organisation with --org.`,
  );
}
