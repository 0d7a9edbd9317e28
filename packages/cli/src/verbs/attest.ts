import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import {
  buildStatement,
  EvidenceError,
  isDigest,
  isJsonObject,
  type JsonObject,
  LIMITS,
  parseJson,
  signStatement,
} from "@assay/evidence";
import { type Command, Option } from "commander";
import { ARTIFACT_PREDICATE, artifactPredicate, type FlowStep, flowStep } from "../attest/artifact.ts";
import { type BuildFlags, buildFacts, webPage } from "../attest/build-facts.ts";
import { parseJunit } from "../attest/junit.ts";
import { checkProvenance, PROVENANCE_PREDICATE, provenancePredicate } from "../attest/provenance.ts";
import { type AttestedSubject, resolveSubject, statementSubject } from "../attest/subject.ts";
import { TEST_RESULT_PREDICATE, type TestReport, type TestResult, testResultPredicate } from "../attest/test-result.ts";
import { CliError, Exit, fileError, usageError } from "../errors.ts";
import { claimOf } from "../judging/claim.ts";
import { KIND_OF_TYPE } from "../judging/kind.ts";
import { attachBundle } from "../oci/attach.ts";
import type { Session } from "../session.ts";
import { checkDelivery, type Delivery, deliver, deliveryText } from "../signing/deliver.ts";
import { signingKey } from "../signing/key.ts";
import { type ArtifactType, artifactTypeOption, excludeOption } from "./fingerprint.ts";
import { collectPair } from "./push.ts";
import { signer } from "./sign.ts";

type Common = {
  artifactType?: ArtifactType;
  exclude: string[];
  key?: string;
  bundle?: string;
  upload: boolean;
  attach?: true;
  repository?: string;
};

/** A statement about a subject that is already resolved. */
type Saying = { predicateType: string; predicate: JsonObject };

export function define(command: Command, session: Session): void {
  const flow = (sub: Command): Command =>
    sub
      .option("--flow <name>", "the flow this belongs to")
      .option("--trail <name>", "the trail in that flow")
      .option("--name <name>", "the name of the artifact or of this step in the flow");
  const build = (sub: Command): Command =>
    sub
      .option("--build-url <url>", "page of the build")
      .option("--commit-url <url>", "page of the commit")
      .option("--git-commit <sha>", "full commit id")
      .option("--repository-url <url>", "page of the source repository")
      .option("--ref <ref>", "full ref built from, refs/heads/… or refs/tags/…");

  flow(build(common(command, "artifact", "state that an artifact was made: in which build, from which commit")))
    .option("--annotate <name=value>", "a note in the statement (repeatable)", collectPair, new Map())
    .action((subject: string, options: Common & BuildFlags & FlowStep & { annotate: Map<string, string> }) =>
      attest(session, subject, options, async (resolved) => ({
        predicateType: ARTIFACT_PREDICATE,
        predicate: artifactPredicate(
          resolved,
          buildFacts(options, session.env),
          options,
          options.repository,
          options.annotate,
        ),
      })),
    );

  build(common(command, "provenance", "state how an artifact was built (SLSA provenance v1)"))
    .option("--builder-id <uri>", "who built it (default: from the CI)")
    .option("--build-type <uri>", "how to read the build's parameters")
    .option("--started-on <time>", "start of the build, RFC 3339 in UTC")
    .option("--finished-on <time>", "end of the build")
    .addOption(
      new Option("--predicate <file>", "a complete predicate instead").conflicts([
        "builderId",
        "buildType",
        "buildUrl",
      ]),
    )
    .action(
      (
        subject: string,
        options: Common &
          BuildFlags & {
            predicate?: string;
            builderId?: string;
            buildType?: string;
            startedOn?: string;
            finishedOn?: string;
          },
      ) =>
        attest(session, subject, options, async () => ({
          predicateType: PROVENANCE_PREDICATE,
          predicate:
            options.predicate === undefined
              ? provenancePredicate(buildFacts(options, session.env), options)
              : checkProvenance(await readPredicate(options.predicate), options.predicate),
        })),
    );

  build(common(command, "test", "state the result of tests (in-toto test result v0.1)"))
    .option("--junit <file...>", "JUnit XML reports")
    .addOption(
      new Option("--result <result>", "the result, where there is no report").choices(["PASSED", "WARNED", "FAILED"]),
    )
    .option("--url <url>", "page of the test run (default: the build's)")
    .action((subject: string, options: Common & BuildFlags & { junit?: string[]; result?: TestResult; url?: string }) =>
      attest(session, subject, options, async () => {
        const reports: TestReport[] = [];
        for (const path of options.junit ?? []) reports.push(await readReport(path));
        const facts = buildFacts(options, session.env);
        return {
          predicateType: TEST_RESULT_PREDICATE,
          predicate: testResultPredicate(options.result, reports, facts, webPage("--url", options.url)),
        };
      }),
    );

  common(command, "custom", "state anything, by a predicate of your own")
    .requiredOption("--predicate <file>", "the predicate: a JSON object")
    .requiredOption("--predicate-type <uri>", "what kind of predicate it is")
    .action((subject: string, options: Common & { predicate: string; predicateType: string }) =>
      attest(session, subject, options, async () => {
        if (!URL.canParse(options.predicateType)) {
          throw usageError("usage", `--predicate-type ${JSON.stringify(options.predicateType)} is not a URI`);
        }
        return { predicateType: options.predicateType, predicate: await readPredicate(options.predicate) };
      }),
    );
}

function common(command: Command, name: string, description: string): Command {
  return command
    .command(name)
    .description(description)
    .argument("<subject>", "a file, an image ([host/]name:tag), a digest (sha256:…), or with -t dir a directory")
    .addOption(artifactTypeOption())
    .addOption(excludeOption())
    .option("--key <file>", "the private key that signs (ASSAY_KEY)")
    .option("--bundle <file>", "write the signed bundle here")
    .option("--no-upload", "do not give the bundle to the server")
    .option("--attach", "store the bundle beside the image in its registry (images only)")
    .option("--repository <name>", "org/name of the repository the artifact is in");
}

async function attest(
  session: Session,
  words: string,
  options: Common,
  say: (subject: AttestedSubject) => Promise<Saying>,
): Promise<void> {
  flowStep(options as FlowStep);
  const delivery: Delivery = { file: options.bundle, upload: options.upload, repository: options.repository };
  await checkDelivery(session, delivery, options.attach === true);
  const key = await signingKey(session, options.key);
  const subject = await resolveSubject(session, words, options.artifactType, options.exclude);
  if (options.attach === true && subject.image === undefined) {
    throw usageError("usage", "--attach is for images", "Only an image has a registry to attach to.");
  }
  const { predicateType, predicate } = await say(subject);
  const payloadBytes = buildStatement({ subjects: [statementSubject(subject)], predicateType, predicate });
  const bundle = await signStatement({ payloadBytes, ...signer(key) });
  const attached =
    options.attach === true && subject.image !== undefined
      ? await attachBundle(subject.image.registry, subject.image.manifest, bundle, predicateType, new Date())
      : undefined;
  const delivered = await deliver(session, bundle, delivery);
  const claim = claimOf(predicateType, predicate);
  const kind = subject.artifactType === undefined || isDigest(words) ? "digest" : KIND_OF_TYPE[subject.artifactType];
  session.output.result(
    {
      subject: subject.digest,
      kind,
      predicateType,
      predicate,
      says: claim?.says ?? null,
      keyId: key.publicKey.keyId,
      bundle: delivery.file,
      attached,
      ...delivered,
    },
    `${deliveryText({ subject: subject.digest, what: kind === "digest" ? undefined : `${kind} ${words}` }, delivery, delivered, attached)}${claim === undefined ? "" : `\nsays ${claim.says}`}`,
  );
}

async function readPredicate(path: string): Promise<JsonObject> {
  const bytes = await readInput(path, LIMITS.payloadBytes);
  try {
    const parsed = parseJson(bytes, { maxBytes: LIMITS.payloadBytes, maxDepth: LIMITS.jsonDepth });
    if (isJsonObject(parsed)) return parsed;
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw new CliError(error.code, `${path}: ${error.message}`, { exit: Exit.usage, hint: error.hint, cause: error });
  }
  throw usageError("predicate-invalid", `${path} is not a JSON object`);
}

async function readReport(path: string): Promise<TestReport> {
  const bytes = await readInput(path, 64 << 20);
  return {
    name: basename(path),
    sha256: createHash("sha256").update(bytes).digest("hex"),
    run: parseJunit(bytes, path),
  };
}

async function readInput(path: string, limit: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > limit) throw usageError("file-too-large", `${path} is larger than ${limit} bytes`);
    return await readFile(path);
  } catch (error) {
    throw fileError(path, error);
  }
}
