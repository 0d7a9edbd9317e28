import { diffTrust, type TrustDiff, type TrustEntry, type TrustVersion } from "@assay/evidence";
import { type AnswerObject, answerInvalid } from "../answer.ts";
import { entryName } from "../key-name.ts";
import { readTrust as readTrustFile } from "../judging/offline.ts";
import { askObject, type OrganisationClient, organisationClient } from "../organisation.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { oneLine, quantity } from "../table.ts";
import { readTrust, trustJson } from "./read.ts";

/** What trust is to become: a file's, or what it was at a version. */
export type Proposal = { readonly file: string } | { readonly version: number };

/** A proposal whose file was read. It is read once, so that what is applied is what was looked at. */
type Proposed = { readonly trust: TrustVersion } | { readonly version: number };

async function readProposal(proposal: Proposal): Promise<Proposed> {
  return "file" in proposal ? { trust: await readTrustFile(proposal.file) } : proposal;
}

/** Lines shown of one kind of change; the JSON has all. */
const SHOWN = 40;

/** Shows what differs between two versions, or between the newest one and a file. */
export async function showDiff(
  session: Session,
  from: number | undefined,
  to: number | undefined,
  file?: string,
): Promise<void> {
  const api = await organisationClient(session);
  const before = await readTrust(api, from);
  const after = file === undefined ? await readTrust(api, to) : await readTrustFile(file);
  const diff = diffTrust(before, after);
  const head = `trust of ${api.org}: version ${before.version} → ${file ?? `version ${after.version}`}`;
  session.output.result(
    { from: before.version, to: file === undefined ? after.version : null, ...diffJson(diff) },
    [head, "", ...diffLines(diff)].join("\n"),
  );
}

/** Shows what a change would change over everything that is stored. Nothing is changed. */
export async function previewChange(session: Session, proposal: Proposal): Promise<void> {
  const api = await organisationClient(session);
  const found = await walk(session, api, await readProposal(proposal));
  session.output.result(foundJson(found), [...foundLines(found), "", "nothing was changed"].join("\n"));
}

/**
 * Makes trust what a file says, or what it was. With `preview` (the default) it is first found out and shown what that changes, and the change
 * goes to the version that was looked at and to no other.
 */
export async function applyChange(session: Session, proposal: Proposal, preview: boolean): Promise<void> {
  const api = await organisationClient(session);
  const proposed = await readProposal(proposal);
  const found = preview ? await walk(session, api, proposed) : undefined;
  const base = found?.base ?? (await readTrust(api, undefined)).version;
  const answer =
    "trust" in proposed
      ? await askObject(api.client, {
          method: "PUT",
          path: api.path("trust"),
          query: { base: String(base) },
          json: trustJson(proposed.trust),
        })
      : await askObject(api.client, {
          method: "POST",
          path: api.path("trust", "rollback"),
          json: { to: proposed.version, base },
        });
  const version = answer.whole("version");
  const done =
    version === base ? `trust is so already: version ${version}` : `trust is now version ${version} (was ${base})`;
  session.output.result(
    { ...answer.json, base, preview: found === undefined ? null : foundJson(found) },
    [...(found === undefined ? [] : [...foundLines(found), ""]), done].join("\n"),
  );
}

type Found = {
  readonly base: number;
  readonly diff: TrustDiff;
  readonly examined: { readonly evidence: number; readonly decisions: number };
  readonly evidence: readonly AnswerObject[];
  readonly decisions: readonly AnswerObject[];
  /** Pieces and decisions of which the server had not the time to say. */
  readonly unjudged: readonly AnswerObject[];
};

/** Walks over everything stored, step by step, with progress. */
async function walk(session: Session, api: OrganisationClient, proposed: Proposed): Promise<Found> {
  const after = "trust" in proposed ? proposed.trust : await readTrust(api, proposed.version);
  const asked: Record<string, JsonValue> =
    "trust" in proposed ? { file: trustJson(after) } : { version: proposed.version };
  const evidence: AnswerObject[] = [];
  const decisions: AnswerObject[] = [];
  const unjudged: AnswerObject[] = [];
  const examined = { evidence: 0, decisions: 0 };
  let base: number | undefined;
  const progress = session.progress("looking at what is stored", undefined, (pieces) => String(Math.round(pieces)));
  try {
    for (let cursor: string | undefined; ; ) {
      const step = await askObject(api.client, {
        method: "POST",
        path: api.path("trust", "preview"),
        json: { ...asked, cursor },
      });
      const now = step.whole("base");
      if (base !== undefined && base !== now) throw answerInvalid("the version changed under the preview");
      base = now;
      evidence.push(...step.objects("evidence"));
      decisions.push(...step.objects("decisions"));
      unjudged.push(...step.objects("unjudged"));
      const stage = step.text("stage");
      if (stage !== "evidence" && stage !== "decisions") throw answerInvalid(`a preview of ${JSON.stringify(stage)}`);
      examined[stage] += step.whole("examined");
      progress.add(step.whole("examined"));
      const next = step.textOrNull("next");
      if (next === null) break;
      if (next === cursor) throw answerInvalid("a preview that does not go on");
      cursor = next;
    }
  } finally {
    progress.done();
  }
  const before = await readTrust(api, base);
  return { base, diff: diffTrust(before, after), examined, evidence, decisions, unjudged };
}

function diffJson({ entries, roots }: TrustDiff): { readonly [name: string]: JsonValue } {
  return {
    entries: {
      added: entries.added,
      removed: entries.removed,
      changed: entries.changed.map(({ before, after, members }) => ({ before, after, members })),
    },
    roots: {
      added: roots.added.map(({ name }) => name),
      removed: roots.removed.map(({ name }) => name),
      changed: roots.changed.map(({ after, members }) => ({ name: after.name, members })),
    },
  };
}

function diffLines({ entries, roots }: TrustDiff): string[] {
  const who = (entry: TrustEntry): string => `${entry.name} (${entry.id}, ${entryName(entry)})`;
  const lines = [
    ...entries.added.map((entry) => `+ ${who(entry)}`),
    ...entries.removed.map((entry) => `- ${who(entry)}`),
    ...entries.changed.map(({ after, members }) => `~ ${who(after)}: ${members.join(", ")}`),
    ...roots.added.map(({ name }) => `+ root ${name}`),
    ...roots.removed.map(({ name }) => `- root ${name}`),
    ...roots.changed.map(({ after, members }) => `~ root ${after.name}: ${members.join(", ")}`),
  ];
  return lines.length === 0 ? ["they say the same"] : lines.map((line) => oneLine(line));
}

function foundJson({ base, diff, examined, evidence, decisions, unjudged }: Found): {
  readonly [name: string]: JsonValue;
} {
  return {
    base,
    diff: diffJson(diff),
    examined,
    evidence: evidence.map(({ json }) => json),
    decisions: decisions.map(({ json }) => json),
    unjudged: unjudged.map(({ json }) => json),
  };
}

function foundLines({ base, diff, examined, evidence, decisions, unjudged }: Found): string[] {
  const worth = (one: AnswerObject): string => one.textOrNull("by") ?? one.textOrNull("code") ?? one.text("status");
  const pieces = evidence.map((one) => {
    const [before, after] = [one.object("before"), one.object("after")];
    const place = one.textOrNull("repository");
    return oneLine(
      `  ${before.text("status")} (${worth(before)}) → ${after.text("status")} (${worth(after)})  ${one.text("subject")}${place === null ? "" : ` in ${place}`}  ${one.textOrNull("predicateType") ?? ""}`,
    );
  });
  // What would be allowed that was not stands first: that is the change to be afraid of.
  const sorted = decisions.toSorted(
    (a, b) => Number(b.text("after") === "allowed") - Number(a.text("after") === "allowed"),
  );
  const answers = sorted.map((one) => {
    const place = one.textOrNull("repository");
    return oneLine(
      `  ${one.text("before")} → ${one.text("after")}  ${one.text("subject")}${place === null ? "" : ` in ${place}`}  by policy ${one.text("policy")}`,
    );
  });
  const unknown = unjudged.map((one) => {
    const place = one.textOrNull("repository");
    const policy = one.textOrNull("policy");
    const what = policy === null ? `evidence ${one.textOrNull("evidence") ?? ""}` : `policy ${policy}`;
    return oneLine(`  ${one.text("subject")}${place === null ? "" : ` in ${place}`}  ${what}`);
  });
  return [
    `against trust version ${base}`,
    ...diffLines(diff).map((line) => `  ${line}`),
    "",
    `${quantity(pieces.length, "piece")} of evidence would be worth something else (${examined.evidence} looked at)`,
    ...shortened(pieces),
    `${quantity(answers.length, "decision")} would be another one (${examined.decisions} looked at)`,
    ...shortened(answers),
    ...(unknown.length === 0
      ? []
      : [`${quantity(unknown.length, "answer")} took too much reading of artifacts to find out`]),
    ...shortened(unknown),
  ];
}

function shortened(lines: readonly string[]): string[] {
  if (lines.length <= SHOWN) return [...lines];
  return [...lines.slice(0, SHOWN), `  … and ${lines.length - SHOWN} more: --output json has all`];
}
