import type { Command } from "commander";
import { Exit, usageError } from "../errors.ts";
import { checkDemands, type Demands, verifyAnswer, type VerifyAnswer } from "../judging/answer.ts";
import { askedArtifact, evidenceAbout } from "../judging/list.ts";
import type { Piece } from "../judging/piece.ts";
import { repositoryOf } from "../judging/repository.ts";
import { offlineSubject } from "../judging/subject.ts";
import type { Setting } from "../explain.ts";
import { findOut, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { type ArtifactType, artifactTypeOption } from "./fingerprint.ts";

type Options = Demands & {
  artifactType?: ArtifactType;
  repository?: string;
  offline?: true;
  bundle?: string[];
  trust?: string;
  receipt?: string[];
  explain?: true;
};

export function define(command: Command, session: Session): void {
  command
    .argument("<subject>", "a file, a digest (sha256:…), or an image ([host/]name:tag or @sha256:…)")
    .addOption(artifactTypeOption())
    .option("--predicate-type <uri>", "only evidence of this type will do")
    .option(
      "--by <name>",
      "only evidence by this identity will do: a trust entry's name or id, or a key's name: sha256:…, openpgp:…",
    )
    .option("--repository <name>", "org/name of the repository it is to be used from (default: from the reference)")
    .option("--offline", "use no network: only the files given here")
    .option("--bundle <file...>", "offline: the evidence")
    .option("--trust <file>", "offline: whom to believe, as written by `assay trust export`")
    .option("--receipt <file...>", "offline: the record's receipts, which prove when evidence was there")
    .option("--explain", "below each piece of evidence everything that was checked, and what failed")
    .addHelpText(
      "after",
      "\nVerified is the signature: that somebody trusted says it. Whether what is said is enough, a policy decides (`assay decide`).\n\nExit code 0: at least one piece of evidence is verified and meets the demands. 1: none. 3: could not find out.",
    )
    .action(async (subject: string, options: Options) => {
      checkDemands(options);
      const answer = await (options.offline === true ? verifyOffline : verifyOnline)(session, subject, options);
      session.output.verdict(answer.json, answer.text);
      session.answer(answer.verified ? Exit.yes : Exit.no);
    });
}

function demandsOf({ predicateType, by }: Options): Demands {
  return { predicateType, by };
}

/** How to show what was checked, where that is asked for. */
function explaining(session: Session, { explain }: Options): { readonly explain?: Setting } {
  return explain === true ? { explain: session.setting } : {};
}

async function verifyOnline(session: Session, words: string, options: Options): Promise<VerifyAnswer> {
  for (const [option, value] of Object.entries({
    bundle: options.bundle,
    trust: options.trust,
    receipt: options.receipt,
  })) {
    if (value !== undefined)
      throw usageError("usage", `--${option} is for --offline`, "Add --offline, or leave it out.");
  }
  return findOut(async () => {
    const api = await organisationClient(session);
    const subject = await askedArtifact(session, api, words, options);
    const { pieces, trust, asOf, repository } = await evidenceAbout(
      api,
      subject.digest,
      subject.repository,
      options.explain === true,
    );
    const question = { subject, repository, source: api.client.server, trust, asOf };
    return verifyAnswer(question, demandsOf(options), pieces, explaining(session, options));
  });
}

async function verifyOffline(session: Session, words: string, options: Options): Promise<VerifyAnswer> {
  const { bundle: bundles = [], trust: trustPath, receipt: receiptPaths = [] } = options;
  if (bundles.length === 0 || trustPath === undefined) {
    throw usageError(
      "usage",
      "--offline needs the evidence (--bundle FILE) and whom to believe (--trust FILE)",
      "Make the trust file with `assay trust export`, get the evidence with `assay evidence download`.",
    );
  }
  const { checkBundle, checkReceipt, logKeys, readTrust, receiptJson, receiptLines } = await import(
    "../judging/offline.ts"
  );
  const trust = await readTrust(trustPath);
  const keys = logKeys(trust);
  // As the server reads it: one component is a repository of this organisation.
  const repository = options.repository === undefined ? undefined : repositoryOf(trust.org, options.repository);
  const receipts = [];
  for (const path of receiptPaths) receipts.push(await checkReceipt(path, keys));
  const subject = await offlineSubject(session, words, options.artifactType);
  const pieces: Piece[] = [];
  for (const path of bundles) {
    pieces.push(
      await checkBundle(path, { artifact: subject.digest, artifactBytes: subject.bytes, repository, trust, receipts }),
    );
  }
  // A receipt that does not hold is not passed over, even where the evidence would stand without it.
  const broken = receipts.filter(({ status }) => status === "refused").length;
  return verifyAnswer(
    { subject, repository, source: "offline", trust: { org: trust.org, version: trust.version }, asOf: null },
    demandsOf(options),
    pieces,
    {
      ...explaining(session, options),
      ...(broken === 0 ? {} : { refuse: `${broken} of ${receipts.length} receipt(s) do not hold` }),
      json: { receipts: receipts.map((receipt) => receiptJson(receipt, pieces)) },
      lines: receipts.flatMap((receipt) => receiptLines(receipt, pieces)),
    },
  );
}
