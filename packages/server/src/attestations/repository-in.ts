import { canonicalRepository } from "../access/names.ts";
import { Problem } from "../http/problem.ts";

/** The whole name of a repository of this organisation. @throws Problem 400. */
export function repositoryIn(org: string, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const canonical = canonicalRepository(name, org);
  if (canonical === undefined || canonical.org !== org) {
    throw new Problem(400, "repository-invalid", `${JSON.stringify(name)} is not the name of a repository of ${org}`, {
      hint: `write it as ${org}/<name>`,
    });
  }
  return canonical.repository;
}
