import type { Environment } from "./environment.ts";

/** Where a run of the command line takes place, as the CI system describes it. Claims of that system, nothing proven. */
export type Ci = {
  readonly provider: CiProvider;
  /** Full commit id. */
  readonly commit: string | undefined;
  /** Branch name without "refs/heads/". */
  readonly branch: string | undefined;
  /** Full ref, "refs/heads/main" or "refs/tags/v1". */
  readonly ref: string | undefined;
  /** https address of the repository, without ".git". */
  readonly repositoryUrl: string | undefined;
  /** "owner/name" (more parts in nested groups). */
  readonly repository: string | undefined;
  /** Page of this build. */
  readonly buildUrl: string | undefined;
  /** Page of the commit. */
  readonly commitUrl: string | undefined;
  /** Identifies who built, in the form the provider's provenance generators use: workflow, project or pipeline. */
  readonly builder: string | undefined;
  /** The file that defines the build, and where it was taken from; only where the CI says so. */
  readonly workflow?: Workflow;
};

/** A file in a repository that defines a build. */
export type Workflow = {
  /** https address of the repository. */
  readonly repository: string;
  /** Full ref. */
  readonly ref: string;
  /** From the repository's root, such as ".github/workflows/release.yml". */
  readonly path: string;
};

export type CiProvider = "github" | "gitlab" | "jenkins" | "circleci" | "azure" | "bitbucket" | "buildkite";

/** The CI system the environment belongs to, or undefined outside of CI. Pure; reads only the variables named here. */
export function detectCi(env: Environment): Ci | undefined {
  const get = (name: string): string | undefined => {
    const value = env[name]?.trim();
    return value === undefined || value === "" ? undefined : value;
  };
  // Buildkite before Jenkins: agents of one may run inside jobs of the other, the inner one's variables are more telling.
  if (get("GITHUB_ACTIONS") === "true") return github(get);
  if (get("GITLAB_CI") === "true") return gitlab(get);
  if (get("CIRCLECI") === "true") return circleci(get);
  if (get("TF_BUILD")?.toLowerCase() === "true") return azure(get);
  if (get("BITBUCKET_BUILD_NUMBER") !== undefined) return bitbucket(get);
  if (get("BUILDKITE") === "true") return buildkite(get);
  if (get("JENKINS_URL") !== undefined) return jenkins(get);
  return undefined;
}

type Get = (name: string) => string | undefined;

/** docs.github.com, "Variables reference". */
function github(get: Get): Ci {
  const server = get("GITHUB_SERVER_URL") ?? "https://github.com";
  const repository = get("GITHUB_REPOSITORY");
  const repositoryUrl = join(server, repository);
  const commit = get("GITHUB_SHA");
  const ref = get("GITHUB_REF");
  const run = get("GITHUB_RUN_ID");
  const attempt = get("GITHUB_RUN_ATTEMPT");
  return {
    provider: "github",
    commit,
    branch: get("GITHUB_HEAD_REF") ?? branchOf(ref),
    ref,
    repositoryUrl,
    repository,
    buildUrl:
      run === undefined
        ? undefined
        : join(repositoryUrl, `actions/runs/${run}${attempt === undefined ? "" : `/attempts/${attempt}`}`),
    commitUrl: commit === undefined ? undefined : join(repositoryUrl, `commit/${commit}`),
    builder: join(server, get("GITHUB_WORKFLOW_REF")),
    ...githubWorkflow(server, get("GITHUB_WORKFLOW_REF")),
  };
}

/** GITHUB_WORKFLOW_REF: "owner/name/.github/workflows/w.yml@refs/heads/main". Of another form it says nothing here. */
function githubWorkflow(server: string, text: string | undefined): { workflow?: Workflow } {
  const [, repository, path, ref] = /^([^/@]+\/[^/@]+)\/([^@]+)@(refs\/.+)$/.exec(text ?? "") ?? [];
  if (repository === undefined || path === undefined || ref === undefined) return {};
  return { workflow: { repository: `${server.replace(/\/+$/, "")}/${repository}`, ref, path } };
}

/** docs.gitlab.com, "Predefined CI/CD variables reference". */
function gitlab(get: Get): Ci {
  const repositoryUrl = get("CI_PROJECT_URL");
  const commit = get("CI_COMMIT_SHA");
  const tag = get("CI_COMMIT_TAG");
  const branch = get("CI_COMMIT_BRANCH") ?? get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME");
  return {
    provider: "gitlab",
    commit,
    branch,
    ref: refOf(branch, tag),
    repositoryUrl,
    repository: get("CI_PROJECT_PATH"),
    buildUrl: get("CI_JOB_URL") ?? get("CI_PIPELINE_URL"),
    commitUrl: commit === undefined ? undefined : join(repositoryUrl, `-/commit/${commit}`),
    builder: join(repositoryUrl, get("CI_RUNNER_ID") === undefined ? undefined : `-/runners/${get("CI_RUNNER_ID")}`),
  };
}

/** jenkins.io, "Using environment variables", and the variables of its Git plugin. */
function jenkins(get: Get): Ci {
  const repositoryUrl = webUrl(get("GIT_URL"));
  const commit = get("GIT_COMMIT");
  const tag = get("TAG_NAME");
  const branch =
    tag === undefined
      ? (get("BRANCH_NAME") ?? get("GIT_LOCAL_BRANCH") ?? get("GIT_BRANCH")?.replace(/^origin\//, ""))
      : undefined;
  return {
    provider: "jenkins",
    commit,
    branch,
    ref: refOf(branch, tag),
    repositoryUrl,
    repository: repositoryOf(repositoryUrl),
    buildUrl: get("BUILD_URL"),
    commitUrl: commitPage(repositoryUrl, commit),
    builder: get("JOB_URL"),
  };
}

/** circleci.com/docs, "Project values and variables". */
function circleci(get: Get): Ci {
  const repositoryUrl = webUrl(get("CIRCLE_REPOSITORY_URL"));
  const commit = get("CIRCLE_SHA1");
  const tag = get("CIRCLE_TAG");
  const branch = get("CIRCLE_BRANCH");
  return {
    provider: "circleci",
    commit,
    branch,
    ref: refOf(branch, tag),
    repositoryUrl,
    repository: repositoryOf(repositoryUrl),
    buildUrl: get("CIRCLE_BUILD_URL"),
    commitUrl: commitPage(repositoryUrl, commit),
    builder: repositoryUrl,
  };
}

/** learn.microsoft.com, "Predefined variables" of Azure Pipelines. */
function azure(get: Get): Ci {
  const repositoryUrl = webUrl(get("BUILD_REPOSITORY_URI"));
  const commit = get("BUILD_SOURCEVERSION");
  const ref = get("BUILD_SOURCEBRANCH");
  const project = [get("SYSTEM_COLLECTIONURI")?.replace(/\/+$/, ""), encodePart(get("SYSTEM_TEAMPROJECT"))];
  const base = project.every((part) => part !== undefined) ? project.join("/") : undefined;
  const build = get("BUILD_BUILDID");
  const definition = get("SYSTEM_DEFINITIONID");
  return {
    provider: "azure",
    commit,
    branch: branchOf(ref),
    ref,
    repositoryUrl,
    repository: get("BUILD_REPOSITORY_NAME"),
    buildUrl: build === undefined ? undefined : join(base, `_build/results?buildId=${build}`),
    commitUrl: commitPage(repositoryUrl, commit),
    builder: definition === undefined ? undefined : join(base, `_build?definitionId=${definition}`),
  };
}

/** support.atlassian.com, "Variables and secrets" of Bitbucket Pipelines. */
function bitbucket(get: Get): Ci {
  const repository = get("BITBUCKET_REPO_FULL_NAME");
  const repositoryUrl =
    webUrl(get("BITBUCKET_GIT_HTTP_ORIGIN"))?.replace(/^http:/, "https:") ?? join("https://bitbucket.org", repository);
  const commit = get("BITBUCKET_COMMIT");
  const branch = get("BITBUCKET_BRANCH");
  const number = get("BITBUCKET_BUILD_NUMBER");
  return {
    provider: "bitbucket",
    commit,
    branch,
    ref: refOf(branch, get("BITBUCKET_TAG")),
    repositoryUrl,
    repository,
    buildUrl: join(repositoryUrl, `pipelines/results/${number}`),
    commitUrl: commit === undefined ? undefined : join(repositoryUrl, `commits/${commit}`),
    builder: join(repositoryUrl, "pipelines"),
  };
}

/** buildkite.com/docs, "Environment variables". */
function buildkite(get: Get): Ci {
  const repositoryUrl = webUrl(get("BUILDKITE_REPO"));
  // "HEAD" stands here until the agent has checked out: it names no commit.
  const commit = /^[0-9a-f]{40,64}$/.test(get("BUILDKITE_COMMIT") ?? "") ? get("BUILDKITE_COMMIT") : undefined;
  const tag = get("BUILDKITE_TAG");
  const branch = tag === undefined ? get("BUILDKITE_BRANCH") : undefined;
  const build = get("BUILDKITE_BUILD_URL");
  const job = get("BUILDKITE_JOB_ID");
  return {
    provider: "buildkite",
    commit,
    branch,
    ref: refOf(branch, tag),
    repositoryUrl,
    repository: repositoryOf(repositoryUrl),
    buildUrl: build === undefined || job === undefined ? build : `${build}#${job}`,
    commitUrl: commitPage(repositoryUrl, commit),
    builder: build?.replace(/\/builds\/\d+$/, ""),
  };
}

/** A clone address as the https address of the same repository; user names and passwords in it are dropped. */
export function webUrl(clone: string | undefined): string | undefined {
  if (clone === undefined) return undefined;
  // The scp form: git@host:owner/name.git
  const scp = /^(?:[^@/\s]+@)?([A-Za-z0-9.-]+):(?!\/)(.+)$/.exec(clone);
  const text = clone.includes("://") ? clone : scp === null ? undefined : `ssh://${scp[1]}/${scp[2]}`;
  if (text === undefined || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const path = url.pathname.replace(/\/+$/, "").replace(/\.git$/, "");
  if (url.protocol === "http:" || url.protocol === "https:") return `${url.protocol}//${url.host}${path}`;
  return ["ssh:", "git:", "git+ssh:"].includes(url.protocol) ? `https://${url.hostname}${path}` : undefined;
}

function repositoryOf(url: string | undefined): string | undefined {
  return url === undefined ? undefined : new URL(url).pathname.slice(1) || undefined;
}

/** The page of a commit, by the path that the host's software uses. */
function commitPage(repositoryUrl: string | undefined, commit: string | undefined): string | undefined {
  if (repositoryUrl === undefined || commit === undefined) return undefined;
  const { hostname } = new URL(repositoryUrl);
  const path = hostname.includes("gitlab") ? "-/commit" : hostname.includes("bitbucket") ? "commits" : "commit";
  return `${repositoryUrl}/${path}/${commit}`;
}

function branchOf(ref: string | undefined): string | undefined {
  return ref?.startsWith("refs/heads/") ? ref.slice("refs/heads/".length) : undefined;
}

function refOf(branch: string | undefined, tag: string | undefined): string | undefined {
  if (tag !== undefined) return `refs/tags/${tag}`;
  return branch === undefined ? undefined : `refs/heads/${branch}`;
}

function join(base: string | undefined, path: string | undefined): string | undefined {
  return base === undefined || path === undefined ? undefined : `${base.replace(/\/+$/, "")}/${path}`;
}

function encodePart(text: string | undefined): string | undefined {
  return text === undefined ? undefined : encodeURIComponent(text);
}
