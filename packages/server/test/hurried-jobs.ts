/** How often a server that is in a hurry does its work (hurried.ts), and how soon another may take up what a killed one was doing. */
import { composeJobs as composed } from "../src/jobs-composition.ts";

/** ms, by schedule. */
const EVERY: ReadonlyMap<string, number> = new Map([
  ["collection.run", 1_000],
  ["registry.retention", 1_500],
  ["registry.sweep", 2_000],
  ["record.write-heads", 5_000],
]);

/** In service a killed host's job is taken up after minutes. */
const LEASE_MS = 5_000;

export function composeJobs(context: Parameters<typeof composed>[0]): ReturnType<typeof composed> {
  const { jobs, schedules } = composed(context);
  return {
    jobs: jobs.map((job) => ({ ...job, leaseMs: Math.min(job.leaseMs, LEASE_MS) })),
    schedules: schedules.map((schedule) => {
      const everyMs = EVERY.get(schedule.key);
      if (everyMs === undefined) return schedule;
      const { key, kind, body } = schedule;
      return { key, kind, body, everyMs };
    }),
  };
}
