import { LIMITS } from "@assay/evidence";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { canonicalRepository } from "../access/names.ts";
import { appendNaming, store } from "../collection/naming.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { Actor } from "../record/command.ts";
import type { JudgingContext } from "./artifact-bytes.ts";
import { addResult } from "./commands.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { EVIDENCE_FORMS } from "./piece.ts";
import type { ReadPiece } from "./reading.ts";
import { repositoryIn } from "./repository-in.ts";
import { proveSigners } from "./signers.ts";

/** The repository that evidence is given to, as requests name it. */
export const repositoryField = z
  .string()
  .min(1)
  .max(LIMITS.repositoryLength)
  .optional()
  .describe('The repository the artifact lies in: "app", or whole, "org/app". Provenance becomes primary only in one.');

/** What the giver of one piece is answered. */
export const addAnswer = z.strictObject({
  evidence: z.string().describe("The digest that names this evidence from now on."),
  created: z.boolean().describe("false when these bytes were here already"),
  form: z.enum(EVIDENCE_FORMS),
  predicateType: z.string().nullable(),
  subjects: z.array(z.string()),
  signers: z
    .array(z.string())
    .describe("Identities, among those trusted now, that the signature was proven to be of, by key id."),
  primary: z.enum(["none", "set", "already"]).describe("Whether it is the primary build provenance of its subjects."),
  sequence: z.int(),
  earlier: z
    .int()
    .nullable()
    .describe(
      "Place in the record of the first piece that came with this very signature in other bytes (a line feed more makes other bytes); null where there was none.",
    ),
  receipt: receiptSchema.nullable().describe("null when the receipt is not published yet: ask for it again"),
});

export type AddAnswer = z.output<typeof addAnswer>;

/**
 * Whether an actor may give evidence to an organisation, or to the repository they name, and that repository's whole name.
 *
 * @throws Problem: the refusal first, so that whose it is not learns nothing, not even about grammar.
 */
export async function admit(
  { reader }: Pick<AttestationsRoutesContext, "reader">,
  actor: Actor,
  org: string,
  name: string | undefined,
): Promise<string | undefined> {
  const canonical = name === undefined ? undefined : canonicalRepository(name, org);
  const repository = canonical?.org === org ? canonical.repository : undefined;
  const refusal = await authorize(reader, actor, "evidence.write", { org, repository });
  if (refusal !== undefined) throw Problem.fromRefusal(refusal);
  return repositoryIn(org, name);
}

/** Takes a piece in: proves its signers, stores its bytes, records it. @throws Problem with the command's refusal. */
export async function takeIn(
  context: AttestationsRoutesContext & JudgingContext,
  given: { readonly actor: Actor; readonly org: string; readonly repository: string | undefined },
  bytes: Uint8Array,
  piece: ReadPiece,
): Promise<AddAnswer> {
  const { record, prover } = context;
  const { actor, org, repository } = given;
  const { signers, provenUnder } = await proveSigners(context, org, bytes, piece, Date.now());
  // Blobs before the events that name them: what the record says is here is here.
  const appended = await appendNaming(record, async () => [
    {
      type: "attestations.add",
      org,
      actor,
      body: { ...piece, signers, repository: repository ?? null, source: { kind: "api" }, provenUnder },
    },
    await store(context, { org, actor }, bytes),
  ]);
  if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
  const result = addResult.parse(appended.results[0]);
  const receipt = result.created ? appended.receipts[0] : await prover.receipt(result.sequence);
  const { form, predicateType, subjects } = piece;
  return { ...result, form, predicateType, subjects, signers, receipt: receipt ?? null };
}
