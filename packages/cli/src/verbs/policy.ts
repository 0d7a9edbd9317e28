import { digestOf, type TrustVersion, utf8Decode, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { type ParsedPolicy, parsePolicy, type Policy, POLICY_LIMITS, showIdentity, trustNames } from "@assay/policy";
import type { Command } from "commander";
import { answerInvalid } from "../answer.ts";
import { CliError, Exit } from "../errors.ts";
import { parsing, readInput } from "../input.ts";
import { showMoment } from "../moment.ts";
import { askList, askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, oneLine, table } from "../table.ts";
import { readTrust } from "../trust/read.ts";

export function define(command: Command, session: Session): void {
  command
    .command("check")
    .description("read a policy file and say what is wrong with it (no network)")
    .argument("<file>", "the policy: YAML")
    .action((file: string) => check(session, file));

  command
    .command("set")
    .description("store a policy; each change makes a new version")
    .argument("<name>", "its name")
    .argument("<file>", "the policy: YAML")
    .action((name: string, file: string) => set(session, name, file));

  command
    .command("list")
    .description("list the stored policies")
    .action(() => list(session));

  command
    .command("show")
    .description("print a stored policy")
    .argument("<name>", "its name, or its digest")
    .option("--at-version <number>", "an earlier version")
    .action((name: string, options: { atVersion?: string }) => show(session, name, options.atVersion));
}

/** A policy file's text and what it parses to. Errors: those of the file system, `file-too-large`, `encoding-invalid`. */
export async function readPolicyFile(file: string): Promise<{ text: string; parsed: ParsedPolicy }> {
  const bytes = await readInput(file, POLICY_LIMITS.policyBytes);
  const text = parsing(file, () => utf8Decode(bytes));
  return { text, parsed: parsePolicy(text) };
}

/** What is wrong with a policy as editors and CI read it: file:line:column: message. */
export function policyProblems(file: string, parsed: Extract<ParsedPolicy, { ok: false }>): string {
  return parsed.errors.map(({ line, column, message }) => oneLine(`${file}:${line}:${column}: ${message}`)).join("\n");
}

async function check(session: Session, file: string): Promise<void> {
  const { parsed } = await readPolicyFile(file);
  if (!parsed.ok) {
    session.output.result(
      { valid: false, file, errors: parsed.errors.map((error) => ({ ...error })) },
      policyProblems(file, parsed),
    );
    session.answer(Exit.no);
    return;
  }
  const { policy, digest } = parsed;
  session.output.result(
    { valid: true, file, name: policy.name, digest, rules: policy.rules.map(({ id, kind }) => ({ id, kind })) },
    `${file} is a valid policy\n\n${facts([
      ["name", policy.name],
      ["digest", digest],
      ...policy.rules.map(({ id, kind }) => ["rule", `${id} (${kind})`] as const),
    ])}`,
  );
}

async function set(session: Session, name: string, file: string): Promise<void> {
  const { text, parsed } = await readPolicyFile(file);
  if (!parsed.ok) throw policyInvalid(file, parsed);
  const api = await organisationClient(session);
  const { client, path } = api;
  const trust = await readTrust(api, undefined);
  const unknown = unknownIdentities(parsed.policy, trust);
  const answer = await askObject(client, { method: "PUT", path: path("policies", name), json: { yaml: text } });
  for (const identity of unknown) {
    session.output.warn(
      "identity-unknown",
      `${file} names ${JSON.stringify(identity)}: trust version ${trust.version} of ${trust.org} has no entry of that name`,
    );
  }
  const version = answer.whole("version");
  const changed = answer.flag("changed") ? "" : " (unchanged)";
  session.output.result(
    { ...answer.json, unknownIdentities: unknown },
    `policy ${answer.text("name")} version ${version}${changed}\n${answer.text("digest")}`,
  );
}

/**
 * Whom a policy names, as required, as builder or as excepted, and the trust has no entry for: a misspelling, or somebody who
 * is yet to be trusted. Each once, as the policy writes them.
 */
export function unknownIdentities(policy: Policy, trust: Pick<TrustVersion, "entries">): string[] {
  const known = new Set(trustNames(trust));
  const named = policy.rules.flatMap((rule) => [
    ...rule.identities,
    ...rule.except,
    ...(rule.kind === "provenance" ? rule.builders.flatMap(({ identities }) => identities) : []),
    ...(rule.kind === "summary" ? rule.verifiers.flatMap(({ identities }) => identities) : []),
  ]);
  const unknown = named.filter((who) => !known.has(who.kind === "key" ? who.keyId : showIdentity(who)));
  return [...new Set(unknown.map(showIdentity))];
}

/** A policy that cannot be used because it is not one: wrong usage, with every problem in its message. */
export function policyInvalid(file: string, parsed: Extract<ParsedPolicy, { ok: false }>): CliError {
  return new CliError("policy-invalid", `${file} is not a valid policy\n${policyProblems(file, parsed)}`, {
    exit: Exit.usage,
    hint: "The language is described in docs/policy.md.",
  });
}

async function list(session: Session): Promise<void> {
  const { client, path } = await organisationClient(session);
  const { items } = await askList(client, path("policies"));
  const rows = items.map((item) => [
    item.text("name"),
    String(item.whole("version")),
    item.text("digest"),
    showMoment(item.whole("time")),
  ]);
  session.output.result(
    items.map((item) => item.json),
    rows.length === 0 ? "there are no policies yet" : table(["NAME", "VERSION", "DIGEST", "SET"], rows),
  );
}

async function show(session: Session, name: string, version: string | undefined): Promise<void> {
  const { client, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "GET", path: path("policies", name), query: { version } });
  const text = answer.text("yaml");
  if (digestOf(nodeCrypto, utf8Encode(text)) !== answer.text("digest"))
    throw answerInvalid("the text is not that of its digest");
  // Exactly this text: a policy is named by the digest of its bytes.
  if (session.output.format === "text") session.io.stdout.write(text);
  else session.output.result(answer.json, "");
}
