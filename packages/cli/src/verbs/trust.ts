import {
  EvidenceError,
  formatTrustFile,
  LIMITS,
  parseTrustFile,
  type TrustEntry,
  type TrustVersion,
} from "@assay/evidence";
import type { Command } from "commander";
import { answerInvalid } from "../answer.ts";
import { writeFileAtomically } from "../atomic.ts";
import { CliError, Exit, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { entryName, keyName } from "../key-name.ts";
import { patternOf } from "../judging/repository.ts";
import { parseMoment, showMoment } from "../moment.ts";
import { askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, quantity, table } from "../table.ts";
import { applyChange, previewChange, type Proposal, showDiff } from "../trust/change.ts";
import { readTrust, trustJson } from "../trust/read.ts";
import { listRoots, removeRoot, type RootOptions, setRoot } from "../trust/roots.ts";
import { readWhom, type WhomOptions } from "../trust/whom.ts";

type AddOptions = WhomOptions & {
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
    .description("trust a public key, an OpenPGP certificate, or whom certificates are issued for")
    .argument("<name>", "who this is, as policies name them")
    .option("--key <file>", "a public key: PEM, such as cosign.pub")
    .option("--gpg <file>", "an OpenPGP certificate: what `gpg --armor --export FINGERPRINT` writes")
    .option("--certificate-identity <text>", "whom a certificate must be issued for: an address or a URL, exact")
    .option("--certificate-identity-pattern <pattern>", 'the same with "*" for a part up to "/", "**" for anything')
    .option("--certificate-oidc-issuer <url>", "the issuer that the certificate must name, exact")
    .option("--root <name>", "the trust root that vouches for the certificate (`assay trust root`)")
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

  command
    .command("import")
    .description("make trust what a trust file says, after showing what that would change")
    .argument("<file>", "a trust file, as `assay trust export` writes it")
    .option("--no-preview", "do not look first at what it would change")
    .action((file: string, { preview }: { preview: boolean }) => applyChange(session, { file }, preview));

  command
    .command("diff")
    .description("show what differs between two versions of trust, or the newest one and a file")
    .argument("[from]", "the earlier version (default: the newest)", versionNumber)
    .argument("[to]", "the later version (default: the newest)", versionNumber)
    .option("--file <file>", "compare with a trust file instead of a later version")
    .action((from: number | undefined, to: number | undefined, { file }: { file?: string }) =>
      showDiff(session, from, to, file),
    );

  command
    .command("preview")
    .description("show what a change of trust would change over everything that is stored; changes nothing")
    .argument("[file]", "the trust file that trust would be made like")
    .option("--to <number>", "the earlier version that trust would be rolled back to", versionNumber)
    .action((file: string | undefined, { to }: { to?: number }) => previewChange(session, proposalOf(file, to)));

  command
    .command("rollback")
    .description("make trust what it was at an earlier version, after showing what that would change")
    .argument("<version>", "the version to go back to", versionNumber)
    .option("--no-preview", "do not look first at what it would change")
    .action((version: number, { preview }: { preview: boolean }) => applyChange(session, { version }, preview));

  const root = command.command("root").description("the authorities and logs that certificates are judged under");
  root
    .command("list")
    .description("show the trust roots")
    .action(() => listRoots(session));
  root
    .command("set")
    .description("set a trust root")
    .argument("<name>", "the root's name, as entries name it")
    .option("--trusted-root <file>", "a Sigstore trusted_root.json")
    .option("--ca <file>", "certificate authorities of your own, PEM")
    .option("--tsa <file>", "timestamp authorities whose word counts as proven time, PEM")
    .action((name: string, options: RootOptions) => setRoot(session, name, options));
  root
    .command("remove")
    .description("remove a trust root that no entry is judged under")
    .argument("<name>", "the root's name")
    .action((name: string) => removeRoot(session, name));
}

function proposalOf(file: string | undefined, version: number | undefined): Proposal {
  if (file !== undefined && version === undefined) return { file };
  if (file === undefined && version !== undefined) return { version };
  throw usageError("usage", "name either a trust file or --to", "See `assay trust preview --help`.");
}

function versionNumber(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw usageError("usage", `${JSON.stringify(text)} is not the number of a version`);
}

async function list(session: Session, version: number | undefined): Promise<void> {
  const trust = await readTrust(await organisationClient(session), version);
  const head = `trust of ${trust.org}, version ${trust.version}`;
  const rows = trust.entries.map((entry) => [
    entry.id,
    entry.name,
    entryName(entry),
    entry.scope.repositories.join(" "),
    entry.scope.predicateTypes.join(" "),
    showWindow(entry),
    entry.primary ? "yes" : "",
  ]);
  const columns = ["ENTRY", "NAME", "WHO", "REPOSITORIES", "MAY SAY", "TRUSTED", "PRIMARY"];
  session.output.result(
    trustJson(trust),
    rows.length === 0 ? `${head}: nobody is trusted yet` : `${head}\n\n${table(columns, rows)}`,
  );
}

async function add(session: Session, name: string, options: AddOptions): Promise<void> {
  const whom = await readWhom(options);
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
      ...whom.json,
      scope: { repositories, predicateTypes: options.predicateType ?? ["*"] },
      validFrom,
      validUntil,
      primary: options.primary === true,
    },
  });
  const entry = answer.object("entry");
  const keyId = entry.text("keyId");
  if (whom.keyId !== undefined && keyId !== whom.keyId) throw answerInvalid("it took another key than was sent");
  const scope = entry.object("scope");
  const window = { validFrom: entry.wholeOrNull("validFrom"), validUntil: entry.wholeOrNull("validUntil") };
  session.output.result(
    answer.json,
    facts([
      ["trusted", `${entry.text("name")} (${entry.text("id")})`],
      [
        "key",
        whom.keyId === undefined ? undefined : keyName(options.gpg === undefined ? "key" : "openpgp", whom.keyId),
      ],
      ["issued for", options.certificateIdentity ?? options.certificateIdentityPattern],
      [
        "by",
        options.root === undefined
          ? undefined
          : [options.certificateOidcIssuer, `root ${options.root}`].filter(Boolean).join(", "),
      ],
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
