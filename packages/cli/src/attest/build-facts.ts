import { type Ci, type CiProvider, detectCi, type Workflow } from "../ci.ts";
import { type CliError, usageError } from "../errors.ts";
import type { Environment } from "../environment.ts";

/** What is said about a build on the command line. */
export type BuildFlags = {
  readonly buildUrl?: string;
  readonly commitUrl?: string;
  readonly gitCommit?: string;
  readonly repositoryUrl?: string;
  readonly ref?: string;
};

/** The build as it will be attested: flags first, the CI's environment for the rest. */
export type BuildFacts = {
  readonly buildUrl: string | undefined;
  readonly commitUrl: string | undefined;
  readonly gitCommit: string | undefined;
  readonly repositoryUrl: string | undefined;
  readonly ref: string | undefined;
  readonly builder: string | undefined;
  readonly ci: CiProvider | undefined;
  /** The file that defines the build, where the CI says so. */
  readonly workflow: Workflow | undefined;
};

/**
 * Merges flags and environment, and checks both: nothing malformed gets signed. Errors: `url-invalid`,
 * `commit-invalid`, `ref-invalid`.
 */
export function buildFacts(flags: BuildFlags, env: Environment): BuildFacts {
  const ci: Ci | undefined = detectCi(env);
  const gitCommit = (flags.gitCommit ?? ci?.commit)?.toLowerCase();
  if (gitCommit !== undefined && !/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(gitCommit)) {
    throw usageError(
      "commit-invalid",
      `${JSON.stringify(gitCommit)} is not a full commit id`,
      "Give all 40 (or 64) digits: `git rev-parse HEAD`.",
    );
  }
  return {
    buildUrl: webPage("--build-url", flags.buildUrl ?? ci?.buildUrl),
    commitUrl: webPage("--commit-url", flags.commitUrl ?? ci?.commitUrl),
    gitCommit,
    repositoryUrl: webPage("--repository-url", flags.repositoryUrl ?? ci?.repositoryUrl),
    ref: fullRef(flags.ref ?? ci?.ref),
    builder: ci?.builder,
    ci: ci?.provider,
    workflow: ci?.workflow === undefined ? undefined : checkedWorkflow(ci.workflow),
  };
}

function checkedWorkflow(workflow: Workflow): Workflow {
  webPage("GITHUB_SERVER_URL", workflow.repository);
  fullRef(workflow.ref);
  return workflow;
}

function fullRef(ref: string | undefined): string | undefined {
  if (ref === undefined || /^refs\/[^\s~^:?*[\\\p{Cc}]+$/u.test(ref)) return ref;
  throw usageError(
    "ref-invalid",
    `${JSON.stringify(ref)} is not a full ref`,
    "Write refs/heads/NAME or refs/tags/NAME.",
  );
}

/** An http(s) address without user name or password, as it was written. */
export function webPage(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const invalid = (shown: string): CliError =>
    usageError(
      "url-invalid",
      `${option}: ${shown} is not a web address`,
      "Give an http or https URL without user name or password.",
    );
  if (!URL.canParse(text) || /\s/.test(text)) throw invalid(text.includes("@") ? "the value" : JSON.stringify(text));
  const url = new URL(text);
  if (!["http:", "https:"].includes(url.protocol)) throw invalid(JSON.stringify(text));
  if (url.username !== "" || url.password !== "") throw invalid("the value");
  return text;
}
