import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  type Decided,
  defineCommand,
  type NewEvent,
  type Refusal,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { type Given, givenSchema } from "./piece.ts";
import { decidePrimary } from "./primary.ts";
import { evidenceInForm, firstOfSignature, isAbout, isInRepository } from "./queries.ts";

/**
 * What `attestations.add` answers: the sequence of the event that holds the evidence, whether that is new, and what came of it as
 * primary provenance.
 */
export const addResult = z.strictObject({
  evidence: z.string(),
  created: z.boolean(),
  sequence: z.int().nonnegative(),
  /** The event of the first piece that came with the same signature in other bytes; null where there was none before. */
  earlier: z.int().nonnegative().nullable(),
  primary: z.enum(["none", "set", "already"]),
});

export type AddResult = z.output<typeof addResult>;

/**
 * What an actor must be allowed to do. Evidence that comes as a referrer comes with its manifest, in the same append, and who may push
 * that may attach it. Under a tag that names another artifact it is evidence that is written, whatever manifest carries it.
 */
async function mayAdd(reader: Reader, given: Given, context: DecideContext): Promise<Refusal | undefined> {
  const action = given.source.kind === "referrer" ? "registry.push" : "evidence.write";
  const target = given.repository === null ? { org: context.org } : { org: context.org, repository: given.repository };
  return authorize(reader, context.actor, action, target);
}

async function addNew(reader: Reader, given: Given, provenUnder: number, context: DecideContext): Promise<Decided> {
  const primary = await decidePrimary(reader, given, provenUnder, context);
  if (primary.kind === "refused") return { accepted: false, refusal: primary.refusal };
  const earlier = given.signature === null ? undefined : await firstOfSignature(reader, context.org, given.signature);
  const events: NewEvent[] = [{ type: "attestations.evidence-added", body: { ...given, earlier: earlier ?? null } }];
  if (primary.kind === "set") events.push(primary.event);
  const result: AddResult = {
    evidence: given.evidence,
    created: true,
    sequence: context.sequence,
    earlier: earlier?.sequence ?? null,
    primary: primary.kind,
  };
  return accept(events, result);
}

/** The bytes are here. New can be where they were given, and, for bytes that name no subject themselves, what they were attached to. */
async function addAgain(
  reader: Reader,
  given: Given,
  known: { readonly sequence: number; readonly first_sequence: number },
  provenUnder: number,
  context: DecideContext,
): Promise<Decided> {
  const { org } = context;
  const [subject] = given.subjects;
  const newRepository =
    given.repository !== null && !(await isInRepository(reader, org, given.evidence, given.repository));
  const newSubject =
    subject !== undefined && given.subjects.length === 1 && !(await isAbout(reader, org, given, subject));
  const result: AddResult = {
    evidence: given.evidence,
    created: false,
    sequence: known.sequence,
    earlier: known.first_sequence === known.sequence ? null : known.first_sequence,
    primary: "none",
  };
  if (!newRepository && !newSubject) return accept([], result);
  const primary = newRepository ? await decidePrimary(reader, given, provenUnder, context) : { kind: "none" as const };
  if (primary.kind === "refused") return { accepted: false, refusal: primary.refusal };
  const linked: NewEvent = {
    type: "attestations.evidence-linked",
    body: {
      evidence: given.evidence,
      form: given.form,
      repository: newRepository ? given.repository : null,
      subject: newSubject ? subject : null,
      source: given.source,
    },
  };
  const events = primary.kind === "set" ? [linked, primary.event] : [linked];
  return accept(events, { ...result, primary: primary.kind });
}

/** Taking evidence in. Immutable: there is no command that changes or removes a piece. */
export const attestationCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "attestations.add",
    body: givenSchema.extend({
      /** The trust version whose keys the signature was tried against. */
      provenUnder: z.int().nonnegative(),
    }),
    decide: async (reader, { provenUnder, ...given }, context) => {
      const denied = await mayAdd(reader, given, context);
      if (denied !== undefined) return { accepted: false, refusal: denied };
      if (given.repository !== null && !given.repository.startsWith(`${context.org}/`)) {
        return refuse("repository-elsewhere", `${given.repository} is no repository of ${context.org}`, {
          status: 400,
        });
      }
      const known = await evidenceInForm(reader, context.org, given.evidence, given.form);
      return known === undefined
        ? addNew(reader, given, provenUnder, context)
        : addAgain(reader, given, known, provenUnder, context);
    },
  }),
];
