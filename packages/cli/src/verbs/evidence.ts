import { type Digest, digestOf, isDigest, utf8Decode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { Command } from "commander";
import { AnswerObject, answerInvalid } from "../answer.ts";
import { writeFileAtomically } from "../atomic.ts";
import { usageError } from "../errors.ts";
import { checkExport, type CheckOptions } from "../evidence/check.ts";
import { exportEvidence } from "../evidence/export.ts";
import { detachedEvidence, type GivenEvidence, wholeEvidence } from "../evidence/given.ts";
import { importEvidence } from "../evidence/import.ts";
import { judgedJson, judgedLines, readJudged } from "../evidence/judged.ts";
import { searchEvidence, type SearchOptions } from "../evidence/search.ts";
import { signerName } from "../key-name.ts";
import { claimIn, hasOutcome } from "../judging/claim.ts";
import { evidenceBytes } from "../judging/claims.ts";
import { askedArtifact, evidenceAbout } from "../judging/list.ts";
import { pieceJson, pieceLines } from "../judging/piece.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, findOut, type OrganisationClient, organisationClient } from "../organisation.ts";
import { receiptFile } from "../record/receipt.ts";
import type { Session } from "../session.ts";
import { facts, oneLine, table } from "../table.ts";
import { type ArtifactType, artifactTypeOption } from "./fingerprint.ts";

type ListOptions = {
  artifactType?: ArtifactType;
  repository?: string;
  flow?: string;
  trail?: string;
  name?: string;
};

export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("list the evidence about an artifact, with what each piece is worth")
    .argument("[subject]", "a file, a digest (sha256:…), or an image")
    .addOption(artifactTypeOption())
    .option("--repository <name>", "org/name of the repository it is to be used from (default: from the reference)")
    .option("--flow <name>", "instead of a subject: what says it belongs to this flow")
    .option("--trail <name>", "with --flow: in this trail")
    .option("--name <name>", "with --flow: under this name")
    .action((subject: string | undefined, options: ListOptions) => {
      if ((subject === undefined) === (options.flow === undefined)) {
        throw usageError("usage", "evidence is listed by a subject or by --flow", "Give one of the two.");
      }
      return subject === undefined ? listFlow(session, options) : list(session, subject, options);
    });

  command
    .command("show")
    .description("show what is known of one piece of evidence")
    .argument("<evidence>", "its digest")
    .option("--explain", "also what it is worth now, and below that everything that was checked, and what failed")
    .option(
      "--repository <name>",
      "with --explain: org/name of the repository that what it is about is to be used from",
    )
    .action((evidence: string, options: ShowOptions) => show(session, requireDigest(evidence), options));

  command
    .command("download")
    .description("fetch the bytes of a piece of evidence, and prove that they are those of its digest")
    .argument("<evidence>", "its digest")
    .option("-o, --file <file>", "write them here (default: standard output)")
    .option("--receipt <file>", "also write the record's receipt: it proves offline when the evidence was there")
    .action((evidence: string, options: { file?: string; receipt?: string }) =>
      download(session, requireDigest(evidence), options),
    );

  command
    .command("add")
    .description("give the server signed evidence, made here or by another tool: a bundle, an envelope, a signature")
    .argument("[evidence]", "the file: a Sigstore bundle, a DSSE envelope, a clear-signed text, a Notary signature")
    .option("--signature <file>", "instead: a signature in a file of its own (cosign .sig, GPG .asc or .sig)")
    .option("--artifact <file>", "with --signature: the file that it signs")
    .option("--certificate <file>", "with --signature: the signer's certificate, PEM")
    .option("--repository <name>", "org/name of the repository the artifact is in")
    .option("--receipt <file>", "write the record's receipt here")
    .addHelpText(
      "after",
      "\nWhat it is worth, `assay verify` says. A GPG signature is over the artifact's bytes, so the server needs them: `assay push FILE NAME:TAG`.",
    )
    .action((evidence: string | undefined, options: AddOptions) => add(session, evidence, options));

  command
    .command("search")
    .description("find evidence by what it says, who signed it, and when it came")
    .option("--builder <id>", "provenance from this builder (builder.id)")
    .option("--source-repository <uri>", "of builds from this repository (source.repository)")
    .option("--field <name=value...>", "by any other field: what `assay evidence show` lists")
    .option("--predicate-type <uri>", "of this type")
    .option("--signer <key>", "whose signature was proven, when it came in, to be of this key: sha256:…, openpgp:…")
    .option("--subject <digest>", "about this artifact")
    .option("--after <time>", "received at this time or later: ISO 8601")
    .option("--before <time>", "received before this time")
    .option("--limit <number>", "pieces shown at most (default: 100)")
    .addHelpText("after", "\nIt finds claims. What a piece is worth, `assay verify` says of the artifact.")
    .action((options: SearchOptions) => searchEvidence(session, options));

  command
    .command("import")
    .description(
      "give the server a file of evidence, one piece a line (.intoto.jsonl); what is no evidence is passed over",
    )
    .argument("<file>", "JSON Lines")
    .option("--repository <name>", "org/name of the repository the artifacts are in")
    .action((file: string, options: { repository?: string }) => importEvidence(session, file, options.repository));

  command
    .command("export")
    .description("write everything about an artifact into one file that `assay evidence check` verifies elsewhere")
    .argument("<subject>", "a file, a digest (sha256:…), or an image")
    .addOption(artifactTypeOption())
    .option("--to <file>", "where to write it")
    .option("--trust-to <file>", "also write the trust file of now here: keep it apart from the evidence")
    .action((subject: string, options: { artifactType?: ArtifactType; to?: string; trustTo?: string }) =>
      exportEvidence(session, subject, options),
    );

  command
    .command("check")
    .description("verify an exported file with no network, under a trust file of your own")
    .argument("<file>", "as written by `assay evidence export`")
    .option("--trust <file>", "whom to believe, as written by `assay trust export`")
    .option("--artifact <file>", "the artifact itself, for signatures over its bytes")
    .option("--repository <name>", "org/name of the repository it is to be used from")
    .addHelpText(
      "after",
      "\nThe trust inside the export is not used: whoever made the file chose it.\n\nExit code 0: at least one piece is verified. 1: none, or a receipt does not hold. 3: could not find out.",
    )
    .action((file: string, options: CheckOptions) => checkExport(session, file, options));
}

type ShowOptions = { explain?: true; repository?: string };

type AddOptions = {
  signature?: string;
  artifact?: string;
  certificate?: string;
  repository?: string;
  receipt?: string;
};

/** What says it belongs to a flow: an index of claims, without a judgement. */
async function listFlow(session: Session, { flow, trail, name }: ListOptions): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("attestations"), { flow, trail, name });
  const rows = items.map((item) => [
    item.textOrNull("trail") ?? "",
    item.textOrNull("name") ?? "",
    item.textOrNull("predicateType") ?? "(not known)",
    showMoment(item.whole("receivedAt")),
    item.text("evidence"),
  ]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0
      ? `no evidence says it belongs to ${flow}`
      : table(["TRAIL", "NAME", "TYPE", "RECEIVED", "EVIDENCE"], rows),
  );
}

async function list(session: Session, words: string, options: ListOptions): Promise<void> {
  await findOut(async () => {
    const api = await organisationClient(session);
    const subject = await askedArtifact(session, api, words, options);
    const { digest, kind, named } = subject;
    const { pieces, trust, asOf, repository } = await evidenceAbout(api, digest, subject.repository);
    const head = kind === "digest" ? digest : `${digest}  ${kind} ${oneLine(named)}`;
    session.output.result(
      { subject: digest, kind, named, repository: repository ?? null, trust, asOf, evidence: pieces.map(pieceJson) },
      pieces.length === 0
        ? `there is no evidence about ${head}`
        : [head, "", ...pieces.flatMap((piece) => pieceLines(piece))].join("\n"),
    );
  });
}

async function show(session: Session, digest: Digest, options: ShowOptions): Promise<void> {
  const { repository } = options;
  const explain = options.explain === true;
  if (repository !== undefined && !explain) {
    throw usageError("usage", "--repository is for --explain", "Add --explain, or leave it out.");
  }
  const api = await organisationClient(session);
  const query = explain ? { explain: "true", repository } : {};
  const answer = await askObject(api.client, { method: "GET", path: api.path("evidence", digest), query });
  if (answer.text("evidence") !== digest) throw answerInvalid("it is about other evidence");
  const type = answer.textOrNull("predicateType");
  const claim = hasOutcome(type) ? claimIn((await evidenceBytes(api, digest)).bytes) : undefined;
  const judged = explain ? readJudged(answer, api.org, claim) : undefined;
  const subjects = answer.texts("subjects");
  const repositories = answer.objects("repositories").map((place) => place.text("repository"));
  const isOpenPgp = answer.text("form") === "openpgp";
  const primary = answer
    .objects("primaryFor")
    .map((place) => `${place.text("subject")} in ${place.text("repository")}`);
  const lines: (readonly [string, string | undefined])[] = [
    ["evidence", digest],
    ["type", type ?? "(not known)"],
    ["says", claim?.says],
    ["form", answer.text("form")],
    ["size", `${answer.whole("size")} bytes`],
    ["unreadable", answer.textOrNull("unreadable") ?? undefined],
    ...subjects.map((subject) => ["about", subject] as const),
    ["about", answer.flag("subjectsMore") ? "… and more" : undefined],
    ...answer.texts("signers").map((key) => ["signed by", signerName(key, isOpenPgp)] as const),
    ...[...new Set(repositories)].map((repository) => ["given in", repository] as const),
    ...primary.map((place) => ["primary for", place] as const),
    [
      "received",
      `${showMoment(answer.whole("receivedAt"))} from ${answer.text("receivedFrom")} (record ${answer.whole("sequence")})`,
    ],
  ];
  const worth =
    judged === undefined
      ? `This is what it claims. What it is worth, \`assay verify ${subjects[0] ?? "SUBJECT"}\` says.`
      : judgedLines(judged, session.setting).join("\n");
  session.output.result(
    { ...answer.json, says: claim?.says ?? null, ...(judged === undefined ? {} : { judged: judgedJson(judged) }) },
    `${facts(lines)}\n\n${worth}`,
  );
}

async function download(session: Session, digest: Digest, options: { file?: string; receipt?: string }): Promise<void> {
  const api = await organisationClient(session);
  const { bytes, mediaType } = await evidenceBytes(api, digest);
  if (options.receipt !== undefined) await writeReceipt(api, digest, options.receipt);
  if (options.file === undefined) {
    if (session.output.format === "json" || mediaType === "application/octet-stream") {
      throw usageError("usage", "where to write the bytes?", "Add --file FILE.");
    }
    // Exactly these bytes: a line feed added would make other evidence of them.
    session.io.stdout.write(utf8Decode(bytes));
    return;
  }
  await writeFileAtomically(options.file, bytes, { mode: 0o644 });
  session.output.result(
    { evidence: digest, size: bytes.length, file: options.file, receipt: options.receipt ?? null },
    facts([
      ["evidence", digest],
      ["written to", options.file],
      ["receipt", options.receipt],
    ]),
  );
}

async function add(session: Session, path: string | undefined, options: AddOptions): Promise<void> {
  const { body, bytes } = await givenEvidence(path, options);
  const { repository } = options;
  const api = await organisationClient(session);
  const answer = await askObject(api.client, {
    method: "POST",
    path: api.path("attestations"),
    json: { ...body, ...(repository === undefined ? {} : { repository }) },
  });
  const evidence = requireDigest(answer.text("evidence"));
  if (bytes !== undefined && evidence !== digestOf(nodeCrypto, bytes)) {
    throw answerInvalid("it took other bytes than were sent");
  }
  if (options.receipt !== undefined) await writeReceipt(api, evidence, options.receipt);
  const primary = answer.text("primary");
  // Servers before this member say nothing of it.
  const earlier = answer.raw("earlier") === undefined ? null : answer.wholeOrNull("earlier");
  session.output.result(
    answer.json,
    `${facts([
      ["evidence", `${evidence}${answer.flag("created") ? "" : " (was here already)"}`],
      ["type", answer.textOrNull("predicateType") ?? "(not known)"],
      ...answer.texts("subjects").map((subject) => ["about", subject] as const),
      ...answer
        .texts("signers")
        .map((key) => ["signed by", signerName(key, answer.text("form") === "openpgp")] as const),
      ["primary", primary === "none" ? undefined : primary],
      ["again", earlier === null ? undefined : `the same signature is here since record ${earlier}, in other bytes`],
      ["record", String(answer.whole("sequence"))],
    ])}\n\nIt is kept.${earlier === null ? "" : ` ${REWRAPPED}`} What it is worth, \`assay verify ${oneLine(options.artifact ?? answer.texts("subjects")[0] ?? "SUBJECT")}\` says.`,
  );
}

/** Bytes are kept as they came and named by their digest, so that a line feed more makes another piece; a signature counts once all the same. */
const REWRAPPED =
  "Evidence is kept byte for byte, so other bytes (a final line feed is enough) make another piece; its signer counts once all the same.";

function givenEvidence(path: string | undefined, options: AddOptions): Promise<GivenEvidence> {
  const { signature, artifact, certificate } = options;
  if (signature === undefined) {
    if (path !== undefined && artifact === undefined && certificate === undefined) return wholeEvidence(path);
    throw usageError("usage", "which evidence?", "Name its file, or --signature FILE with --artifact FILE.");
  }
  if (path !== undefined || artifact === undefined) {
    throw usageError(
      "usage",
      "a signature in a file of its own needs the file that it signs, and nothing else",
      "Add --artifact FILE, and name no other file.",
    );
  }
  return detachedEvidence({ signature, artifact, certificate });
}

async function writeReceipt({ client, path }: OrganisationClient, evidence: Digest, file: string): Promise<void> {
  const receipt = await client.json({ method: "GET", path: path("evidence", evidence, "receipt") });
  await writeFileAtomically(file, receiptFile(new AnswerObject(receipt, "the receipt").json), { mode: 0o644 });
}

function requireDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw usageError(
    "digest-invalid",
    `${JSON.stringify(text)} is not a digest`,
    "Evidence is named by sha256: and 64 hexadecimal digits.",
  );
}
