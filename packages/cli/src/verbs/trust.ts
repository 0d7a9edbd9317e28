import {
  EvidenceError,
  formatTrustFile,
  LIMITS,
  parseTrustFile,
  type TrustEntry,
  type TrustVersion,
  utf8Encode,
} from "@assay/evidence";
import type { Command } from "commander";
import { answerInvalid } from "../answer.ts";
import { writeFileAtomically } from "../atomic.ts";
import { CliError, Exit, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { patternOf } from "../judging/repository.ts";
import { parseMoment, showMoment } from "../moment.ts";
import { askObject, type OrganisationClient, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { publicKeyIn, readKeyFile } from "../signing/key.ts";
import { facts, quantity, table } from "../table.ts";

type AddOptions = {
  key: string;
  repository?: string[];
  predicateType?: string[];
  from?: string;
  until?: string;
  primary?: true;
};

export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("show whom the organisation believes about what")
    .option("--at-version <number>", "an earlier version of trust", versionNumber)
    .action((options: { atVersion?: number }) => list(session, options.atVersion));

  command
    .command("add")
    .description("trust a public key")
    .argument("<name>", "who this is, as policies name them")
    .requiredOption("--key <file>", "the public key: PEM, such as cosign.pub")
    .option(
      "--repository <pattern...>",
      'repositories it may speak about, such as acme/app or "acme/*"; app is ORG/app (default: "**", any)',
    )
    .option("--predicate-type <uri...>", 'what it may say (default: "*", anything)')
    .option("--from <time>", "the first moment it is trusted, such as 2026-11-01")
    .option("--until <time>", "the last moment; a date counts to its end")
    .option("--primary", "what it says of a build is the artifact's primary provenance")
    .action((name: string, options: AddOptions) => add(session, name, options));

  command
    .command("remove")
    .description("stop trusting an entry")
    .argument("<entry>", "its id, or its name if no other has it")
    .action((entry: string) => remove(session, entry));

  command
    .command("export")
    .description("write the trust file for `assay verify --offline`")
    .option("--at-version <number>", "an earlier version of trust", versionNumber)
    .option("-o, --file <file>", "write it here (default: standard output)")
    .action((options: { atVersion?: number; file?: string }) => exportFile(session, options));
}

function versionNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usageError("usage", `--at-version ${JSON.stringify(text)} is not a number`);
}

/** The organisation's trust, current or at a version. Errors: `answer-invalid`, those of the server. */
export async function readTrust(
  { client, org, path }: OrganisationClient,
  version: number | undefined,
): Promise<TrustVersion> {
  const query = { version: version === undefined ? undefined : String(version) };
  const answer = await client.json({ method: "GET", path: path("trust"), query });
  let trust: TrustVersion;
  try {
    // Read as the offline verifier will read it: what it would refuse must not be handed on.
    trust = parseTrustFile(utf8Encode(JSON.stringify(answer ?? null)));
  } catch (error) {
    if (error instanceof EvidenceError) throw answerInvalid(error.message, error);
    throw error;
  }
  if (trust.org !== org) throw answerInvalid("it is another organisation's trust");
  return trust;
}

async function list(session: Session, version: number | undefined): Promise<void> {
  const trust = await readTrust(await organisationClient(session), version);
  const head = `trust of ${trust.org}, version ${trust.version}`;
  const rows = trust.entries.map((entry) => [
    entry.id,
    entry.name,
    `${entry.keyId.slice(0, 16)}…`,
    entry.scope.repositories.join(" "),
    entry.scope.predicateTypes.join(" "),
    showWindow(entry),
    entry.primary ? "yes" : "",
  ]);
  const columns = ["ENTRY", "NAME", "KEY", "REPOSITORIES", "MAY SAY", "TRUSTED", "PRIMARY"];
  session.output.result(
    trust,
    rows.length === 0 ? `${head}: nobody is trusted yet` : `${head}\n\n${table(columns, rows)}`,
  );
}

async function add(session: Session, name: string, options: AddOptions): Promise<void> {
  const pem = await readKeyFile(options.key);
  // A private key given by mistake must not leave this machine.
  const key = publicKeyIn(pem, options.key);
  const { client, org, path } = await organisationClient(session);
  const validFrom = options.from === undefined ? null : parseMoment("--from", options.from);
  const validUntil = options.until === undefined ? null : parseMoment("--until", options.until, true);
  const repositories = (options.repository ?? ["**"]).map((pattern) => patternOf(org, pattern));
  warnOfAdding(session, options, repositories, validUntil);
  const answer = await askObject(client, {
    method: "POST",
    path: path("trust", "entries"),
    json: {
      name,
      publicKeyPem: pem,
      scope: { repositories, predicateTypes: options.predicateType ?? ["*"] },
      validFrom,
      validUntil,
      primary: options.primary === true,
    },
  });
  const entry = answer.object("entry");
  if (entry.text("keyId") !== key.keyId) throw answerInvalid("it took another key than was sent");
  const scope = entry.object("scope");
  const window = { validFrom: entry.wholeOrNull("validFrom"), validUntil: entry.wholeOrNull("validUntil") };
  session.output.result(
    answer.json,
    facts([
      ["trusted", `${entry.text("name")} (${entry.text("id")})`],
      ["key", key.keyId],
      ["about", scope.texts("repositories").join(" ")],
      ["may say", scope.texts("predicateTypes").join(" ")],
      ["when", showWindow(window)],
      ["primary", entry.flag("primary") ? "yes: its provenance is the artifact's own" : undefined],
      ["trust", `version ${answer.whole("version")}`],
    ]),
  );
}

/** What was asked for may be right, and is more often a slip. */
function warnOfAdding(
  session: Session,
  options: AddOptions,
  repositories: readonly string[],
  validUntil: number | null,
): void {
  for (const [at, asked] of (options.repository ?? []).entries()) {
    const whole = repositories[at];
    if (whole === undefined || whole === asked) continue;
    session.output.warn("repository-completed", `${asked} is taken as ${whole}: repositories are named org/name`);
  }
  for (const type of options.predicateType ?? []) {
    if (type === "*" || URL.canParse(type)) continue;
    session.output.warn(
      "predicate-type-odd",
      `--predicate-type ${JSON.stringify(type)} is not a URI: types are compared exactly, so nothing else will match`,
    );
  }
  if (validUntil !== null && validUntil < Date.now()) {
    session.output.warn("window-over", `--until ${options.until} is past: only what is proven to be older will count`);
  }
}

async function remove(session: Session, words: string): Promise<void> {
  const api = await organisationClient(session);
  const { entries } = await readTrust(api, undefined);
  const byId = entries.filter(({ id }) => id === words);
  const found = byId.length > 0 ? byId : entries.filter(({ name }) => name === words);
  const [entry, ...others] = found;
  if (entry === undefined) {
    throw new CliError("trust-entry-unknown", `${api.org} trusts no ${JSON.stringify(words)}`, {
      exit: Exit.no,
      hint: "`assay trust list` shows who is trusted.",
    });
  }
  if (others.length > 0) {
    throw usageError(
      "trust-entry-ambiguous",
      `${found.length} entries are named ${JSON.stringify(words)}`,
      `Name one by its id: ${found.map(({ id }) => id).join(", ")}.`,
    );
  }
  const answer = await askObject(api.client, { method: "DELETE", path: api.path("trust", "entries", entry.id) });
  session.output.result(
    { ...answer.json, entry: entry.id, name: entry.name },
    `no longer trusted: ${entry.name} (${entry.id}), trust version ${answer.whole("version")}`,
  );
}

async function exportFile(session: Session, options: { atVersion?: number; file?: string }): Promise<void> {
  const trust = await readTrust(await organisationClient(session), options.atVersion);
  const bytes = formatTrustFile(trust);
  if (bytes.length > LIMITS.trustBytes) throw answerInvalid("its trust is larger than a trust file may be");
  if (options.file === undefined) {
    // The trust file itself, in either form of output: it is JSON already.
    session.io.stdout.write(Buffer.from(bytes).toString("utf8"));
    return;
  }
  const replaced = await trustFileAt(options.file);
  await writeFileAtomically(options.file, bytes, { mode: 0o644 });
  session.output.result(
    {
      file: options.file,
      org: trust.org,
      version: trust.version,
      entries: trust.entries.length,
      logs: trust.logs,
      replaced: replaced === undefined ? null : { org: replaced.org, version: replaced.version },
    },
    `trust of ${trust.org}, version ${trust.version}: ${quantity(trust.entries.length, "entry", "entries")}, written to ${options.file}${replaced === undefined ? "" : ` in place of that of ${replaced.org}, version ${replaced.version}`}`,
  );
}

/** The trust file that is there already. A file that is something else is not written over: `file-exists` (usage). */
async function trustFileAt(path: string): Promise<TrustVersion | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readInput(path, LIMITS.trustBytes);
  } catch (error) {
    if (error instanceof CliError && error.code === "file-missing") return undefined;
    if (error instanceof CliError && error.code === "file-too-large") throw notWrittenOver(path);
    throw error;
  }
  try {
    return parseTrustFile(bytes);
  } catch (error) {
    if (error instanceof EvidenceError) throw notWrittenOver(path);
    throw error;
  }
}

function notWrittenOver(path: string): CliError {
  return usageError(
    "file-exists",
    `${path} is there already, and is no trust file`,
    "Choose another name or remove the file.",
  );
}

function showWindow({ validFrom, validUntil }: Pick<TrustEntry, "validFrom" | "validUntil">): string {
  if (validFrom === null && validUntil === null) return "at any time";
  return [
    validFrom === null ? undefined : `from ${showMoment(validFrom)}`,
    validUntil === null ? undefined : `until ${showMoment(validUntil)}`,
  ]
    .filter((part) => part !== undefined)
    .join(" ");
}
