import { type Digest, digestOf, isDigest, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { type AnswerObject, answerInvalid } from "../answer.ts";
import { CliError } from "../errors.ts";
import { type EvidenceList, evidenceAbout } from "../judging/list.ts";
import type { AskedSubject } from "../judging/subject.ts";
import { askList, askObject, type OrganisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { type Content, readContent } from "./content.ts";

/** Policies whose texts are asked for. */
const MAX_TITLES = 20;

/** Why a policy's text is not to be had, as the server says it. */
const UNTOLD: ReadonlySet<string> = new Set(["forbidden", "org-unknown", "token-insufficient", "policy-unknown"]);

/** A repository that holds something, since when and by whom. */
export type Place = {
  readonly repository: string;
  readonly artifactType: string | null;
  readonly pushedBy: string;
  /** ms since 1970, by the record. */
  readonly pushedAt: number;
  readonly sequence: number;
};

export type DecisionSummary = {
  readonly id: string;
  readonly policy: {
    /** Of a stored policy: its name and version. */
    readonly name: string | null;
    readonly version: number | null;
    readonly digest: string;
    /** What a policy that came with the question calls itself; null for a stored one, and where its text is not to be had. */
    readonly title: string | null;
  };
  readonly repository: string | null;
  readonly result: "allowed" | "denied";
  /** Whether it is still the newest answer to its question. */
  readonly current: boolean;
  readonly recordedAt: number;
  readonly sequence: number;
};

/** Everything the server has about an artifact. */
export type Story = {
  readonly subject: AskedSubject;
  /** What it is; null where it is no manifest of this server's registry. */
  readonly content: Content | null;
  readonly places: readonly (Place & { readonly tags: readonly string[] })[];
  /** Manifests that name it: of a file, the artifact that holds it. */
  readonly partOf: readonly (Place & {
    readonly digest: string;
    readonly kind: string;
    readonly tags: readonly string[];
  })[];
  readonly referrers: readonly (Place & { readonly digest: string })[];
  /** Lists that the server cut. */
  readonly cut: readonly ("places" | "partOf" | "referrers")[];
  readonly evidence: EvidenceList;
  readonly decisions: readonly DecisionSummary[];
};

/** Asks for all of it. Errors: those of the server and its registry, `answer-invalid`. */
export async function readStory(session: Session, api: OrganisationClient, subject: AskedSubject): Promise<Story> {
  const { client, path } = api;
  const [where, evidence, decided] = await Promise.all([
    askObject(client, { method: "GET", path: path("artifacts", subject.digest) }),
    evidenceAbout(api, subject.digest, subject.repository),
    askList(client, path("decisions"), { digest: subject.digest }),
  ]);
  if (where.text("digest") !== subject.digest) throw answerInvalid("it is about another artifact");
  const places = where.objects("places").map((place) => ({ ...readPlace(place), tags: place.texts("tags") }));
  const lists = ["places", "partOf", "referrers"] as const;
  return {
    subject,
    content: await contentAt(session, places[0]?.repository, subject.digest),
    places,
    partOf: where.objects("partOf").map((place) => ({
      ...readPlace(place),
      digest: manifestDigest(place),
      kind: place.text("kind"),
      tags: place.texts("tags"),
    })),
    referrers: where.objects("referrers").map((place) => ({ ...readPlace(place), digest: manifestDigest(place) })),
    cut: lists.filter((list) => where.flag(`${list}More`)),
    evidence,
    decisions: await titled(api, decided.items.map(readDecision)),
  };
}

async function contentAt(session: Session, repository: string | undefined, digest: Digest): Promise<Content | null> {
  if (repository === undefined) return null;
  try {
    return await readContent(session, repository, digest);
  } catch (error) {
    // Deleted since the list was made: then it is told without what it was.
    if (error instanceof CliError && error.code === "registry-not-found") return null;
    throw error;
  }
}

function readPlace(place: AnswerObject): Place {
  return {
    repository: place.text("repository"),
    artifactType: place.textOrNull("artifactType"),
    pushedBy: place.text("pushedBy"),
    pushedAt: place.whole("pushedAt"),
    sequence: place.whole("sequence"),
  };
}

/** The decisions, with the titles of the policies that came with their questions: each text is asked for once, by its digest. */
async function titled(api: OrganisationClient, decisions: readonly DecisionSummary[]): Promise<DecisionSummary[]> {
  const given = new Set(decisions.flatMap(({ policy }) => (policy.name === null ? [policy.digest] : [])));
  const asked = [...given].slice(0, MAX_TITLES);
  const titles = new Map<string, string | null>();
  for (const digest of asked) titles.set(digest, await titleOf(api, digest));
  return decisions.map((decision) => {
    const { policy } = decision;
    const title = policy.name === null ? (titles.get(policy.digest) ?? null) : null;
    return { ...decision, policy: { ...policy, title } };
  });
}

async function titleOf({ client, path }: OrganisationClient, digest: string): Promise<string | null> {
  let text: string;
  try {
    text = (await askObject(client, { method: "GET", path: path("policies", digest) })).text("yaml");
  } catch (error) {
    // Who may see a decision need not be one who may read policies: then it is told by its digest alone.
    if (error instanceof CliError && UNTOLD.has(error.code)) return null;
    throw error;
  }
  if (digestOf(nodeCrypto, utf8Encode(text)) !== digest)
    throw answerInvalid("a policy's text is not that of its digest");
  const { parsePolicy } = await import("@assay/policy");
  const parsed = parsePolicy(text);
  return parsed.ok ? parsed.policy.name : null;
}

function manifestDigest(place: AnswerObject): string {
  const digest = place.text("digest");
  if (!isDigest(digest)) throw answerInvalid("a manifest is not named by a digest");
  return digest;
}

function readDecision(item: AnswerObject): DecisionSummary {
  const result = item.text("result");
  if (result !== "allowed" && result !== "denied") throw answerInvalid(`a decision is ${JSON.stringify(result)}`);
  const policy = item.object("policy");
  return {
    id: item.text("id"),
    policy: {
      name: policy.textOrNull("name"),
      version: policy.wholeOrNull("version"),
      digest: policy.text("digest"),
      title: null,
    },
    repository: item.textOrNull("repository"),
    result,
    current: item.flag("current"),
    recordedAt: item.whole("recordedAt"),
    sequence: item.whole("sequence"),
  };
}
