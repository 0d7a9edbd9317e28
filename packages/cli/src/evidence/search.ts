import { usageError } from "../errors.ts";
import { keyDigits, signerName } from "../key-name.ts";
import { showMoment } from "../moment.ts";
import { askObject, organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts } from "../table.ts";
import type { AnswerObject } from "../answer.ts";

export type SearchOptions = {
  readonly builder?: string;
  readonly sourceRepository?: string;
  readonly field?: string[];
  readonly predicateType?: string;
  readonly signer?: string;
  readonly subject?: string;
  readonly after?: string;
  readonly before?: string;
  readonly limit?: string;
};

/** Pieces shown when nobody says how many. */
const USUAL = 100;
const PAGE = 200;

/** Finds evidence by what it says. Errors: `usage`, those of the server. */
export async function searchEvidence(session: Session, options: SearchOptions): Promise<void> {
  const limit = options.limit === undefined ? USUAL : Number(options.limit);
  if (!Number.isSafeInteger(limit) || limit < 1) throw usageError("usage", "--limit is a number of pieces");
  const fields = [
    ...(options.field ?? []),
    ...(options.builder === undefined ? [] : [`builder.id=${options.builder}`]),
    ...(options.sourceRepository === undefined ? [] : [`source.repository=${options.sourceRepository}`]),
  ];
  const { predicateType, subject, after, before } = options;
  const signer = options.signer === undefined ? undefined : signerDigits(options.signer);
  const narrowing = [predicateType, signer, subject, after, before].some((value) => value !== undefined);
  if (fields.length === 0 && !narrowing) {
    throw usageError("usage", "search for what?", "Add --builder, --source-repository, --field, --signer or another.");
  }
  const { client, path } = await organisationClient(session);
  // A field may be named several times, which one object of parameters cannot say.
  const query = new URLSearchParams(fields.map((field) => ["field", field]));
  const found: AnswerObject[] = [];
  let cursor: string | null = null;
  do {
    const page: AnswerObject = await askObject(client, {
      method: "GET",
      path: `${path("evidence")}?${query.toString()}`,
      query: {
        predicateType,
        signer,
        subject,
        after,
        before,
        limit: String(Math.min(PAGE, limit - found.length)),
        cursor: cursor ?? undefined,
      },
    });
    found.push(...page.objects("items"));
    cursor = page.textOrNull("next");
  } while (cursor !== null && found.length < limit);
  const more = cursor !== null;
  session.output.result(
    { evidence: found.map((item) => item.json), more },
    found.length === 0
      ? "no evidence says that"
      : [...found.map(lines), ...(more ? ["… and there is more: --limit says how much is shown"] : [])].join("\n\n"),
  );
}

function signerDigits(text: string): string {
  const digits = keyDigits(text);
  if (digits !== undefined) return digits;
  throw usageError(
    "usage",
    `--signer ${JSON.stringify(text)} is not a key's name`,
    "Name it as `assay trust list` shows it: sha256:… or openpgp:…",
  );
}

function lines(item: AnswerObject): string {
  return facts([
    ["evidence", item.text("evidence")],
    ["type", item.textOrNull("predicateType") ?? "(not known)"],
    ...item.texts("subjects").map((about) => ["about", about] as const),
    ...item.objects("fields").map((field) => [field.text("name"), field.text("value")] as const),
    ...item.texts("signers").map((key) => ["signed by", signerName(key, item.text("form") === "openpgp")] as const),
    ["received", `${showMoment(item.whole("receivedAt"))} (record ${item.whole("sequence")})`],
  ]);
}
