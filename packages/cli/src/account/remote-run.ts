import type { AnswerObject } from "../answer.ts";
import { showMoment } from "../moment.ts";

/** A run of the server's over many things, in words: how far it is, or what came of it. */
export function showRun(run: AnswerObject): string {
  const counts = `${run.whole("copied")} copied, ${run.whole("present")} there already, ${run.whole("failed")} failed`;
  switch (run.text("state")) {
    case "running":
      return `${counts}, at ${run.textOrNull("at") ?? "the beginning"}`;
    case "done":
      return `done: ${counts}, ${showMoment(run.wholeOrNull("finished") ?? 0)}`;
    default:
      return `${run.flag("underWay") ? "to be tried again" : "given up"}: ${counts}: ${run.textOrNull("problem") ?? ""}`;
  }
}

/** The run under a name in an answer, in words; undefined when there was none. */
export function runIn(answer: AnswerObject, name: string): string | undefined {
  return answer.raw(name) === null ? undefined : showRun(answer.object(name));
}
