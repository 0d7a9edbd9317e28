import { z } from "zod";
import {
  type Actor,
  accept,
  type CommandDefinition,
  defineCommand,
  defineEvent,
  type EventDefinition,
  type Refusal,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { openJob } from "./operations.ts";
import { findJob } from "./queries.ts";
import type { JobTables } from "./schema.ts";

/** May this actor administer the queue? Filled by the composition; asked inside the appending transaction. */
export type MayAdminister = (reader: Reader, actor: Actor) => Promise<Refusal | undefined>;

const letterBody = z.strictObject({ id: z.int().nonnegative() });

/** A dead letter a person answered. `died` tells this death from an earlier or later one of the same job. */
const answeredBody = z.strictObject({ id: z.int(), kind: z.string(), key: z.string().nullable(), died: z.int() });

/** The job's own answer to somebody who names none. */
export function jobUnknown(id: number): Refusal {
  return { code: "job-unknown", status: 404, message: `there is no job ${id}` };
}

function answer(type: string, event: string, may: MayAdminister): CommandDefinition {
  return defineCommand({
    type,
    body: letterBody,
    decide: async (reader, { id }, { actor }) => {
      const refusal = (await may(reader, actor)) ?? undefined;
      if (refusal !== undefined) return { accepted: false, refusal };
      const job = await findJob(reader, id);
      if (job === undefined) return { accepted: false, refusal: jobUnknown(id) };
      if (job.state !== "dead" || job.finished === null) {
        return refuse("job-not-dead", `job ${id} is ${job.state}: only a dead one can be retried or discarded`);
      }
      if (type === "jobs.retry" && job.key !== null) {
        const other = await openJob(reader, job.kind, job.key);
        if (other !== undefined) {
          return refuse("job-joined", `job ${other} does the same work already`, {
            hint: `discard job ${id}, or wait for job ${other}`,
          });
        }
      }
      return accept([{ type: event, body: { id, kind: job.kind, key: job.key, died: job.finished } }]);
    },
  });
}

/** What a person may do with a dead letter. */
export function letterCommands(may: MayAdminister): readonly CommandDefinition[] {
  return [answer("jobs.retry", "jobs.retried", may), answer("jobs.discard", "jobs.discarded", may)];
}

/**
 * Who answered a dead letter is a fact, though the queue is none. The queue changes in the same transaction as the fact is recorded,
 * and only for the death the event names: in a replay that death is over, or the job is not there, and nothing changes.
 */
function answered(
  type: string,
  change: (key: z.output<typeof answeredBody>["key"], time: number) => Partial<JobTables["job"]>,
): EventDefinition {
  return defineEvent({
    type,
    version: 1,
    body: answeredBody,
    project: async (transactor, { body, time }) => {
      await transactor
        .tables<JobTables>()
        .updateTable("job")
        .set(change(body.key, time))
        .where("id", "=", body.id)
        .where("state", "=", "dead")
        .where("finished", "=", body.died)
        .execute();
    },
  });
}

/** What may become of a dead letter. */
export const letterEvents: readonly EventDefinition[] = [
  answered("jobs.retried", (key, time) => ({
    state: "waiting",
    attempt: 0,
    due: time,
    held_key: key,
    finished: null,
  })),
  answered("jobs.discarded", (_key, time) => ({ state: "discarded", finished: time })),
];
