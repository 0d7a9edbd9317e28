import { type Command, InvalidArgumentError, Option } from "commander";
import type { AnswerObject } from "../answer.ts";
import { serverClient } from "../http.ts";
import { showMoment } from "../moment.ts";
import { API, askList, askObject } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts, table } from "../table.ts";

const STATES = ["waiting", "running", "done", "dead", "discarded"] as const;

/** What is shown of a job's error in a list; `show` has all of it. */
const ERROR_WIDTH = 60;

export function define(command: Command, session: Session): void {
  command
    .command("list")
    .description("list background jobs, newest first (for the bootstrap admin)")
    .addOption(new Option("--state <state>", "only jobs in this state").choices(STATES))
    .option("--kind <kind>", "only jobs of this kind, for example registry.sweep")
    .action((options: { state?: string; kind?: string }) => list(session, options));
  command
    .command("show")
    .description("show a job, with why its last run failed")
    .argument("<id>", "its number: see `assay jobs list`", idOf)
    .action(async (id: string) => {
      const job = await askObject(await serverClient(session), { method: "GET", path: `${API}/jobs/${id}` });
      session.output.result(job.json, jobFacts(job));
    });
  command
    .command("retry")
    .description("run a dead job again, with all its attempts; recorded")
    .argument("<id>", "its number: see `assay jobs list --state dead`", idOf)
    .action((id: string) => answer(session, id, "retry"));
  command
    .command("discard")
    .description("give a dead job up; recorded")
    .argument("<id>", "its number: see `assay jobs list --state dead`", idOf)
    .action((id: string) => answer(session, id, "discard"));
  command
    .command("schedules")
    .description("show what is done again and again, when it is next, and what came of it last")
    .action(() => schedules(session));
}

function idOf(text: string): string {
  if (!/^\d{1,16}$/.test(text)) throw new InvalidArgumentError("a job is named by its number.");
  return text;
}

async function list(session: Session, options: { state?: string; kind?: string }): Promise<void> {
  const { items } = await askList(await serverClient(session), `${API}/jobs`, options);
  const rows = items.map((job) => [
    String(job.whole("id")),
    job.text("kind"),
    job.text("state"),
    `${job.whole("attempt")}/${job.whole("maxAttempts")}`,
    showMoment(job.whole("created")),
    shortened(job.textOrNull("error") ?? ""),
  ]);
  session.output.result(
    items.map((job) => job.json),
    rows.length === 0 ? "no jobs" : table(["JOB", "KIND", "STATE", "RUNS", "MADE", "LAST ERROR"], rows),
  );
}

async function answer(session: Session, id: string, verb: "retry" | "discard"): Promise<void> {
  const path = `${API}/jobs/${id}/${verb}`;
  const answered = await askObject(await serverClient(session), { method: "POST", path });
  session.output.result(answered.json, jobFacts(answered.object("job")));
}

async function schedules(session: Session): Promise<void> {
  const answered = await askObject(await serverClient(session), { method: "GET", path: `${API}/schedules` });
  const items = answered.objects("items");
  const rows = items.map((item) => {
    const every = item.wholeOrNull("everyMs");
    const last = item.raw("last") === null ? undefined : item.object("last");
    const job = last === undefined || last.raw("job") === null ? undefined : last.object("job");
    return [
      item.text("key"),
      every === null ? item.text("cron") : `every ${showDuration(every)}`,
      showMoment(item.whole("next")),
      last === undefined ? "never" : showMoment(last.whole("due")),
      job === undefined ? "" : `${job.text("state")} (job ${job.whole("id")})`,
    ];
  });
  session.output.result(
    answered.json,
    rows.length === 0 ? "no schedules" : table(["SCHEDULE", "WHEN (UTC)", "NEXT", "LAST", "CAME OF IT"], rows),
  );
}

function jobFacts(job: AnswerObject): string {
  const moment = (name: string): string | undefined => {
    const time = job.wholeOrNull(name);
    return time === null ? undefined : showMoment(time);
  };
  const state = job.text("state");
  return facts([
    ["job", String(job.whole("id"))],
    ["kind", job.text("kind")],
    ["key", job.textOrNull("key") ?? undefined],
    ["state", state],
    ["runs", `${job.whole("attempt")} of ${job.whole("maxAttempts")}`],
    ["body", JSON.stringify(job.raw("body"))],
    ["made", moment("created")],
    [state === "running" ? "lease ends" : "not before", moment("due")],
    ["runs at", job.textOrNull("owner") ?? undefined],
    ["last began", moment("started")],
    ["ended", moment("finished")],
    ["last error", job.textOrNull("error") ?? undefined],
  ]);
}

/** A distance in time in its largest whole unit. */
function showDuration(ms: number): string {
  for (const [unit, length] of [
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
    ["second", 1_000],
  ] as const) {
    if (ms >= length && ms % length === 0) return ms === length ? unit : `${ms / length} ${unit}s`;
  }
  return `${ms} ms`;
}

function shortened(text: string): string {
  return text.length > ERROR_WIDTH ? `${text.slice(0, ERROR_WIDTH - 1)}…` : text;
}
