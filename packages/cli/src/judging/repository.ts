import { isRepositoryName } from "@assay/evidence";
import { usageError } from "../errors.ts";

/**
 * The whole name, org/name, of a repository of this organisation: one component is completed, as the server does it. Errors
 * (usage): `repository-invalid`.
 */
export function repositoryOf(org: string, name: string): string {
  const whole = name.includes("/") ? name : `${org}/${name}`;
  if (isRepositoryName(whole) && whole.startsWith(`${org}/`)) return whole;
  throw notOf(org, name);
}

/**
 * A repository pattern of a trust entry, whole. One component can match nothing, for repositories are named org/name; it is
 * completed, except "**", which means everything. Nor can a pattern match that begins with another organisation. Errors
 * (usage): `repository-invalid`.
 */
export function patternOf(org: string, pattern: string): string {
  if (pattern === "**") return pattern;
  const whole = pattern.includes("/") ? pattern : `${org}/${pattern}`;
  const [first = "", ...rest] = whole.split("/");
  if (first.includes("*")) return whole;
  // Stars in the rest stand for letters: what is left must be a name.
  const plain = [first, ...rest.map((part) => part.replaceAll("*", "a"))].join("/");
  if (first === org && rest.length > 0 && isRepositoryName(plain)) return whole;
  throw notOf(org, pattern);
}

function notOf(org: string, name: string): Error {
  return usageError(
    "repository-invalid",
    `${JSON.stringify(name)} is not the name of a repository of ${org}`,
    `Write it as ${org}/NAME: lower-case letters and digits, with single . _ - between them.`,
  );
}
