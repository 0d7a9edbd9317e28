import type { AnswerObject } from "../answer.ts";

/**
 * The answer of a request that takes something back. Without the record's receipt (null: not published yet) it is none: the request may have
 * done nothing.
 *
 * @throws CliError `answer-invalid`.
 */
export function withReceipt(answer: AnswerObject): AnswerObject {
  if (answer.raw("receipt") !== null) answer.object("receipt").whole("sequence");
  return answer;
}
