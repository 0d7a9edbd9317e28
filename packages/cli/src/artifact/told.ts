import { type Piece, pieceJson } from "../judging/piece.ts";
import { showMoment } from "../moment.ts";
import type { JsonValue } from "../output.ts";
import { formatBytes } from "../progress.ts";
import { facts, oneLine, quantity } from "../table.ts";
import type { DecisionSummary, Place, Story } from "./story.ts";

/** Entries of a list that are told; the JSON has all of them. */
const SHOWN = 20;

/** The story for people: what it is, where it is, what is said about it, what was decided, what refers to it. */
export function storyText(story: Story): string {
  const { subject, evidence, places, partOf, referrers, decisions } = story;
  const head =
    subject.kind === "digest" ? subject.digest : `${subject.digest}  ${subject.kind} ${oneLine(subject.named)}`;
  const { trust, asOf, repository, pieces } = evidence;
  const judged = `trust of ${trust.org}, version ${trust.version}, as of record ${asOf}, ${repository === undefined ? "in no repository" : `in ${repository}`}`;
  return [
    head,
    ...section("What it is", contentLines(story)),
    ...section("Where it is", [
      ...some(places, (place) => `${place.repository}${tagged(place.tags)}  ${pushed(place)}`),
      ...some(
        partOf,
        (place) => `${place.kind} of ${place.repository}@${place.digest}${tagged(place.tags)}  ${pushed(place)}`,
      ),
      ...(places.length + partOf.length === 0 ? ["nowhere in this server's registry, as far as you may look"] : []),
    ]),
    ...section("Primary provenance", primaryLines(pieces, repository)),
    ...section(`Evidence, judged by the ${judged}`, evidenceLines(pieces)),
    ...section("Decisions", some(decisions, decisionLine, "none was made about it")),
    ...section(
      "Referred to by",
      some(
        referrers,
        (place) => `${place.artifactType ?? "(no type)"}  ${place.repository}@${place.digest}  ${pushed(place)}`,
        "nothing in this server's registry",
      ),
    ),
    ...(story.cut.length === 0 ? [] : ["", `There is more than the server tells at once: ${story.cut.join(", ")}.`]),
  ].join("\n");
}

function section(title: string, lines: readonly string[]): string[] {
  return ["", title, ...lines.map((line) => `  ${line}`)];
}

function some<T>(items: readonly T[], line: (item: T) => string, none?: string): string[] {
  if (items.length === 0) return none === undefined ? [] : [none];
  const shown = items.slice(0, SHOWN).map((item) => oneLine(line(item)));
  return items.length > SHOWN ? [...shown, `and ${items.length - SHOWN} more`] : shown;
}

function contentLines({ content, subject }: Story): string[] {
  if (content === null) {
    return [
      subject.kind === "digest" ? "not known here: it is no manifest of this server's registry" : `a ${subject.kind}`,
    ];
  }
  const { kind, mediaType, artifactType, size, platforms, files, layers, annotations } = content;
  const notes = Object.entries(annotations).slice(0, SHOWN);
  return facts([
    ["kind", artifactType === null ? kind : `${kind} of type ${artifactType}`],
    ["manifest", mediaType],
    ["size", `${formatBytes(size)} (${size} bytes) with what it names`],
    ["platforms", platforms.length === 0 ? undefined : platforms.join(" ")],
    ["layers", kind === "image" ? String(layers) : undefined],
    ...files.slice(0, SHOWN).map(({ title, size: bytes }) => ["file", `${title}  ${formatBytes(bytes)}`] as const),
    ...notes.map(([name, value]) => ["note", `${name}=${value}`] as const),
  ]).split("\n");
}

function tagged(tags: readonly string[]): string {
  return tags.length === 0 ? "" : `  tagged ${tags.join(" ")}`;
}

function pushed({ pushedBy, pushedAt, sequence }: Place): string {
  return `pushed by ${pushedBy} ${showMoment(pushedAt)} (record ${sequence})`;
}

function primaryLines(pieces: readonly Piece[], repository: string | undefined): string[] {
  const primary = pieces.find((piece) => piece.primary);
  if (primary !== undefined)
    return [`${primary.evidence} in ${repository ?? "no repository"}`, `  ${verdictOf(primary)}`];
  return [
    repository === undefined
      ? "not asked: it belongs to a repository (add --repository)"
      : `none was set in ${repository}`,
  ];
}

/** Pieces under their predicate's type, most of a kind first; each in one line with its verdict in front. */
function evidenceLines(pieces: readonly Piece[]): string[] {
  if (pieces.length === 0) return ["there is none"];
  const byType = new Map<string, Piece[]>();
  for (const piece of pieces) {
    const type = oneLine(piece.predicateType ?? "(its type is not known)");
    byType.set(type, [...(byType.get(type) ?? []), piece]);
  }
  return [...byType].flatMap(([type, group]) => [
    `${type}: ${quantity(group.length, "piece")}`,
    ...some(group, verdictOf).map((line) => `  ${line}`),
  ]);
}

function verdictOf({ status, claim, receivedAt, sequence, evidence: digest, sameSignatureAs }: Piece): string {
  const evidence = sameSignatureAs === null ? digest : `${digest} (the same signature as ${sameSignatureAs})`;
  const says = claim === null ? "" : `, says ${claim.says}`;
  const when = receivedAt === null ? "" : `, received ${showMoment(receivedAt)} (record ${sequence})`;
  switch (status.status) {
    case "verified":
      return `verified  by ${status.by.name}${says}${when}, ${evidence}`;
    case "reported":
      return `reported  by nobody who signed${says}${when}, ${evidence}`;
    case "refused":
      return `refused  ${status.message} [${status.code}]${when}, ${evidence}`;
  }
}

function decisionLine({ result, policy, repository, current, recordedAt, sequence, id }: DecisionSummary): string {
  const by =
    policy.name === null
      ? `policy ${policy.title ?? "(its name is not known)"}, given with the question`
      : `policy ${policy.name} version ${policy.version}`;
  const where = repository === null ? "" : ` in ${repository}`;
  return `${result}  by ${by} (${shortDigest(policy.digest)})${where}, ${showMoment(recordedAt)} (record ${sequence})${current ? "" : ", answered anew since"}, ${id}`;
}

/** As many digits as tell policies apart for people; the JSON has all. */
function shortDigest(digest: string): string {
  return `${digest.slice(0, "sha256:".length + 12)}…`;
}

/** The story for programs: the same, whole. */
export function storyJson({ subject, evidence, ...story }: Story): JsonValue {
  const { pieces, trust, asOf, repository } = evidence;
  return {
    digest: subject.digest,
    kind: subject.kind,
    named: subject.named,
    ...story,
    primary: pieces.find((piece) => piece.primary)?.evidence ?? null,
    repository: repository ?? null,
    trust,
    asOf,
    evidence: pieces.map(pieceJson),
  };
}
