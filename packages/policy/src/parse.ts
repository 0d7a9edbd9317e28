import { digestOf, utf8Encode, webCrypto } from "@assay/evidence";
import type { Crypto, Digest } from "@assay/evidence";
import type { z } from "zod";
import { readYaml } from "./document.ts";
import type { LocatedDocument, Path, Position, YamlValue } from "./document.ts";
import { LIMITS } from "./limits.ts";
import { nearest } from "./nearest.ts";
import { policyOf } from "./policy.ts";
import type { Policy } from "./policy.ts";
import { quote, showText } from "./quote.ts";
import { policyFile } from "./schema.ts";

/** One thing wrong with a policy file: where (the first line and column are 1), at which path, and what to do. */
export type PolicyError = Position & { readonly path: string; readonly message: string };

export type ParsedPolicy =
  | { readonly ok: true; readonly policy: Policy; readonly digest: Digest }
  | { readonly ok: false; readonly errors: readonly PolicyError[] };

/**
 * Reads a policy file: YAML 1.2 without anchors, aliases, tags and directives, at most 256 KiB, in the language of docs/policy.md.
 * It never throws: what is wrong with the text comes back as errors in the order of the file.
 *
 * The digest is that of the text's UTF-8 bytes: a policy is named by its file, so that a changed comment is a changed policy.
 */
export function parsePolicy(yamlText: string, crypto: Crypto = webCrypto): ParsedPolicy {
  const read = readYaml(yamlText);
  if (!read.ok) return { ok: false, errors: inOrder(read.problems.map((problem) => ({ ...problem, path: "" }))) };
  const parsed = policyFile.safeParse(read.document.value);
  if (!parsed.success) {
    const errors = parsed.error.issues.flatMap((issue) => errorsOf(issue, [], read.document));
    return { ok: false, errors: inOrder(errors) };
  }
  return { ok: true, policy: policyOf(parsed.data), digest: digestOf(crypto, utf8Encode(yamlText)) };
}

function inOrder(errors: readonly PolicyError[]): PolicyError[] {
  return errors.toSorted((a, b) => a.line - b.line || a.column - b.column).slice(0, LIMITS.policyErrors);
}

function errorsOf(issue: z.core.$ZodIssue, prefix: Path, document: LocatedDocument): PolicyError[] {
  const path = [...prefix, ...issue.path.map((part) => (typeof part === "symbol" ? String(part) : part))];
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey(path, key, document));
  if (issue.code === "invalid_union") {
    const value = valueAt(document.value, path);
    // Each of our unions is of different JSON types, so at most one option is of the value's own type: its issues are the ones meant.
    const meant = issue.errors.find((issues) =>
      issues.every((inner) => inner.code !== "invalid_type" || inner.path.length > 0),
    );
    if (meant !== undefined) return meant.flatMap((inner) => errorsOf(inner, path, document));
    return [{ ...document.locate(path), path: showPath(path), message: wrongType(path, unionNames(issue), value) }];
  }
  return [
    { ...document.locate(path), path: showPath(path), message: messageOf(issue, path, valueAt(document.value, path)) },
  ];
}

function messageOf(issue: z.core.$ZodIssue, path: Path, value: YamlValue | undefined): string {
  const name = showName(path);
  switch (issue.code) {
    case "invalid_type":
      return wrongType(path, TYPE_NAMES[issue.expected] ?? issue.expected, value);
    case "invalid_value":
      return `${name} is ${quote(value)}, but must be ${issue.values.map(quote).join(" or ")}.`;
    case "too_small":
      return tooSmall(issue, name, value);
    case "too_big":
      return `${name} is too ${issue.origin === "number" || issue.origin === "int" ? "large" : "long"}: at most ${issue.maximum}${unit(issue.origin)}.`;
    case "invalid_format":
    case "custom":
      return `${name}${typeof value === "string" || typeof value === "number" ? ` (${quote(value)})` : ""} ${showText(issue.message)}.`;
    default:
      return `${name} is not valid: ${showText(issue.message)}.`;
  }
}

const TYPE_NAMES: { readonly [type: string]: string } = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  array: "a list",
  object: "a map of keys and values",
};

function wrongType(path: Path, expected: string, value: YamlValue | undefined): string {
  const name = showName(path);
  if (value === undefined) return `${name} is missing: add it (${expected}).`;
  if (value === null) return `${name} is empty: give it ${expected}, or remove it.`;
  if (expected === "a text" && (typeof value === "number" || typeof value === "boolean")) {
    return `${name} is ${quote(value)}, which YAML reads as a ${typeof value === "number" ? "number" : "truth value"}: put it in quotes.`;
  }
  if (expected === "a list" && typeof value === "string") return `${name} must be a list: write [${quote(value)}].`;
  return `${name} must be ${expected}, but is ${quote(value)}.`;
}

function tooSmall(issue: z.core.$ZodIssueTooSmall, name: string, value: YamlValue | undefined): string {
  if (name === "`rules`")
    return "`rules` is empty: a policy without rules would allow nothing and explain nothing; add a rule.";
  if (issue.origin === "number" || issue.origin === "int")
    return `${name} is ${quote(value)}, but must be at least ${issue.minimum}.`;
  return `${name} is empty: give it at least ${issue.minimum}${unit(issue.origin)}.`;
}

function unit(origin: string): string {
  if (origin === "string") return " character(s)";
  return origin === "array" ? " item(s)" : "";
}

function unionNames(issue: z.core.$ZodIssueInvalidUnion): string {
  const names = issue.errors.flatMap((issues) =>
    issues.map((inner) => (inner.code === "invalid_type" ? (TYPE_NAMES[inner.expected] ?? inner.expected) : "")),
  );
  return [...new Set(names.filter((name) => name !== ""))].join(" or ");
}

function unknownKey(path: Path, key: string, document: LocatedDocument): PolicyError {
  const known = knownKeys(policyFile, path);
  const guess = nearest(key, known);
  const what = guess === undefined ? "remove it" : `did you mean ${guess}?`;
  return {
    ...document.locateKey([...path, key]),
    path: showPath([...path, key]),
    message: `Unknown key ${quote(key)}: ${what}${what.endsWith("?") ? "" : "."} Known here: ${known.join(", ")}.`,
  };
}

/** The keys that the schema knows at `path`, in the order it declares them. */
function knownKeys(schema: z.core.$ZodType, path: Path): string[] {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "optional":
      return knownKeys(def.innerType, path);
    case "union":
      return def.options.flatMap((option) => knownKeys(option, path));
    case "array":
      return path.length === 0 ? [] : knownKeys(def.element, path.slice(1));
    case "object": {
      const [key, ...rest] = path;
      if (key === undefined) return Object.keys(def.shape);
      const inner = Object.hasOwn(def.shape, key) ? def.shape[key] : undefined;
      return inner === undefined ? [] : knownKeys(inner, rest);
    }
    default:
      return [];
  }
}

function valueAt(value: YamlValue, path: Path): YamlValue | undefined {
  let at: YamlValue | undefined = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as { [key: string]: YamlValue })[key];
  }
  return at;
}

function showPath(path: Path): string {
  return path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${showText(part)}`))
    .join("");
}

/** What a message calls the thing at `path`: its own key, or its place in a list. */
function showName(path: Path): string {
  const last = path.at(-1);
  if (last === undefined) return "The policy";
  return typeof last === "string" ? `\`${showText(last)}\`` : `Item ${last + 1} of \`${showPath(path.slice(0, -1))}\``;
}
