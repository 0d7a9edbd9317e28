import { describe, expect, it } from "vitest";
import { buildFacts } from "../src/attest/build-facts.ts";
import { detectCi, webUrl } from "../src/ci.ts";
import { containing } from "./run.ts";

const SHA = "ffac537e6cbbf934b08745a378932722df287a53";

describe("the CI environment", () => {
  it("is none outside of CI", () => {
    expect(detectCi({ HOME: "/h", CI: "true", GITHUB_ACTIONS: "false" })).toBeUndefined();
  });

  it("is read from GitHub Actions", () => {
    expect(
      detectCi({
        GITHUB_ACTIONS: "true",
        GITHUB_SERVER_URL: "https://github.com",
        GITHUB_REPOSITORY: "octo/app",
        GITHUB_SHA: SHA,
        GITHUB_REF: "refs/heads/main",
        GITHUB_RUN_ID: "1658821493",
        GITHUB_RUN_ATTEMPT: "2",
        GITHUB_WORKFLOW_REF: "octo/app/.github/workflows/ci.yml@refs/heads/main",
      }),
    ).toEqual({
      provider: "github",
      commit: SHA,
      branch: "main",
      ref: "refs/heads/main",
      repositoryUrl: "https://github.com/octo/app",
      repository: "octo/app",
      buildUrl: "https://github.com/octo/app/actions/runs/1658821493/attempts/2",
      commitUrl: `https://github.com/octo/app/commit/${SHA}`,
      builder: "https://github.com/octo/app/.github/workflows/ci.yml@refs/heads/main",
      workflow: {
        repository: "https://github.com/octo/app",
        ref: "refs/heads/main",
        path: ".github/workflows/ci.yml",
      },
    });
  });

  it.each(["octo/app/.github/workflows/ci.yml", "octo/app@refs/heads/main", "octo/app/ci.yml@main", "@refs/x"])(
    "says nothing of the workflow's file where GitHub names %s",
    (text) => {
      expect(detectCi({ GITHUB_ACTIONS: "true", GITHUB_WORKFLOW_REF: text })?.workflow).toBeUndefined();
    },
  );

  it("is read from GitLab", () => {
    expect(
      detectCi({
        GITLAB_CI: "true",
        CI_PROJECT_URL: "https://gitlab.example/g/sub/app",
        CI_PROJECT_PATH: "g/sub/app",
        CI_COMMIT_SHA: SHA,
        CI_COMMIT_TAG: "v1.0.0",
        CI_JOB_URL: "https://gitlab.example/g/sub/app/-/jobs/8",
        CI_RUNNER_ID: "12",
      }),
    ).toMatchObject({
      provider: "gitlab",
      ref: "refs/tags/v1.0.0",
      branch: undefined,
      repository: "g/sub/app",
      buildUrl: "https://gitlab.example/g/sub/app/-/jobs/8",
      commitUrl: `https://gitlab.example/g/sub/app/-/commit/${SHA}`,
      builder: "https://gitlab.example/g/sub/app/-/runners/12",
    });
  });

  it("is read from Jenkins, clone address and remote branch included", () => {
    expect(
      detectCi({
        JENKINS_URL: "https://ci.example/",
        BUILD_URL: "https://ci.example/job/app/7/",
        JOB_URL: "https://ci.example/job/app/",
        GIT_URL: "git@github.com:octo/app.git",
        GIT_COMMIT: SHA,
        GIT_BRANCH: "origin/main",
      }),
    ).toMatchObject({
      provider: "jenkins",
      branch: "main",
      ref: "refs/heads/main",
      repository: "octo/app",
      buildUrl: "https://ci.example/job/app/7/",
      commitUrl: `https://github.com/octo/app/commit/${SHA}`,
      builder: "https://ci.example/job/app/",
    });
  });

  it("is read from CircleCI", () => {
    expect(
      detectCi({
        CIRCLECI: "true",
        CIRCLE_REPOSITORY_URL: "git@bitbucket.org:octo/app.git",
        CIRCLE_SHA1: SHA,
        CIRCLE_BRANCH: "feature/x",
        CIRCLE_BUILD_URL: "https://circleci.com/gh/octo/app/170",
      }),
    ).toMatchObject({
      provider: "circleci",
      ref: "refs/heads/feature/x",
      buildUrl: "https://circleci.com/gh/octo/app/170",
      commitUrl: `https://bitbucket.org/octo/app/commits/${SHA}`,
    });
  });

  it("is read from Azure Pipelines, without the user name in its clone address", () => {
    expect(
      detectCi({
        TF_BUILD: "True",
        BUILD_REPOSITORY_URI: "https://octo@dev.azure.com/octo/My%20Project/_git/app",
        BUILD_REPOSITORY_NAME: "app",
        BUILD_SOURCEVERSION: SHA,
        BUILD_SOURCEBRANCH: "refs/heads/main",
        BUILD_BUILDID: "42",
        SYSTEM_COLLECTIONURI: "https://dev.azure.com/octo/",
        SYSTEM_TEAMPROJECT: "My Project",
        SYSTEM_DEFINITIONID: "3",
      }),
    ).toMatchObject({
      provider: "azure",
      branch: "main",
      repositoryUrl: "https://dev.azure.com/octo/My%20Project/_git/app",
      buildUrl: "https://dev.azure.com/octo/My%20Project/_build/results?buildId=42",
      commitUrl: `https://dev.azure.com/octo/My%20Project/_git/app/commit/${SHA}`,
      builder: "https://dev.azure.com/octo/My%20Project/_build?definitionId=3",
    });
  });

  it("is read from Bitbucket Pipelines", () => {
    expect(
      detectCi({
        BITBUCKET_BUILD_NUMBER: "12",
        BITBUCKET_REPO_FULL_NAME: "octo/app",
        BITBUCKET_GIT_HTTP_ORIGIN: "http://bitbucket.org/octo/app",
        BITBUCKET_COMMIT: SHA,
        BITBUCKET_BRANCH: "main",
      }),
    ).toMatchObject({
      provider: "bitbucket",
      repositoryUrl: "https://bitbucket.org/octo/app",
      buildUrl: "https://bitbucket.org/octo/app/pipelines/results/12",
      commitUrl: `https://bitbucket.org/octo/app/commits/${SHA}`,
    });
  });

  it("is read from Buildkite, and HEAD is no commit", () => {
    const env = {
      BUILDKITE: "true",
      BUILDKITE_REPO: "ssh://git@github.com/octo/app.git",
      BUILDKITE_COMMIT: SHA,
      BUILDKITE_BRANCH: "main",
      BUILDKITE_BUILD_URL: "https://buildkite.com/octo/app/builds/5",
      BUILDKITE_JOB_ID: "0190-aa",
    };
    expect(detectCi(env)).toMatchObject({
      provider: "buildkite",
      commit: SHA,
      repositoryUrl: "https://github.com/octo/app",
      buildUrl: "https://buildkite.com/octo/app/builds/5#0190-aa",
      builder: "https://buildkite.com/octo/app",
    });
    expect(detectCi({ ...env, BUILDKITE_COMMIT: "HEAD" })).toMatchObject({ commit: undefined, commitUrl: undefined });
  });

  it.each([
    ["https://user:secret@host/a/b.git", "https://host/a/b"],
    ["git@host:a/b.git", "https://host/a/b"],
    ["ssh://git@host:2222/a/b/", "https://host/a/b"],
    ["/srv/git/a.git", undefined],
    ["file:///a", undefined],
  ])("turns the clone address %s into %s", (clone, expected) => expect(webUrl(clone)).toBe(expected));
});

describe("facts of a build", () => {
  it("come from flags before the environment", () => {
    const env = { GITHUB_ACTIONS: "true", GITHUB_REPOSITORY: "o/a", GITHUB_SHA: SHA };
    const flag = "0".repeat(40);
    expect(buildFacts({ gitCommit: flag }, env)).toMatchObject({
      gitCommit: flag,
      repositoryUrl: "https://github.com/o/a",
      ci: "github",
    });
  });

  it.each([
    [{ gitCommit: "HEAD" }, "commit-invalid"],
    [{ gitCommit: "abc1234" }, "commit-invalid"],
    [{ buildUrl: "javascript:alert(1)" }, "url-invalid"],
    [{ commitUrl: "https://u:p@h/" }, "url-invalid"],
    [{ ref: "main" }, "ref-invalid"],
  ])("refuse %j", (flags, code) => {
    expect(() => buildFacts(flags, {})).toThrow(expect.objectContaining({ code, exit: 2 }));
  });

  it("do not repeat a password in the error", () => {
    expect(() => buildFacts({ buildUrl: "https://u:hunter2@h/" }, {})).toThrow(
      expect.not.objectContaining({ message: containing("hunter2") }),
    );
  });
});
