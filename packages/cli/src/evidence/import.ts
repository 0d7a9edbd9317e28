import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { AnswerObject, answerInvalid } from "../answer.ts";
import { CliError, Exit, fileError } from "../errors.ts";
import type { JsonValue } from "../output.ts";
import { organisationClient } from "../organisation.ts";
import type { Session } from "../session.ts";
import { facts } from "../table.ts";

/** Lines that were not taken in, as many as are shown. */
const SHOWN = 20;

/** The longest line of the answer. */
const MAX_LINE = 64 * 1024;

/**
 * Gives the server a file of evidence, one piece a line. Exit code 1 when a line that is evidence was refused; lines that are none are
 * passed over, as everybody does who reads such files. Errors: `import-unfinished` (exit 3), those of the file system and the server.
 */
export async function importEvidence(session: Session, path: string, repository: string | undefined): Promise<void> {
  const { client, path: at } = await organisationClient(session);
  let size: number;
  try {
    ({ size } = await stat(path));
  } catch (error) {
    throw fileError(path, error);
  }
  const answer = await client.send({
    method: "POST",
    path: at("attestations", "bulk"),
    query: { repository },
    headers: { "content-type": "application/vnd.in-toto.bundle", "content-length": String(size) },
    body: createReadStream(path),
  });
  const notTaken: { line: number; status: string; code: string; message: string }[] = [];
  /** Pieces that are new only in their bytes: their signature was here, or in a line before. */
  let rewrapped = 0;
  let summary: AnswerObject | undefined;
  for await (const text of linesOf(answer.stream())) {
    const line = new AnswerObject(parseLine(text), "a line of the answer");
    if (line.raw("error") !== undefined) throw unfinished(line.object("error"));
    if (line.raw("summary") !== undefined) {
      summary = line.object("summary");
      continue;
    }
    const status = line.text("status");
    if (status === "added" && line.raw("earlier") !== undefined) rewrapped += 1;
    if (status !== "ignored" && status !== "refused") continue;
    const what = { line: line.whole("line"), status, code: line.text("code"), message: line.text("message") };
    if (notTaken.length < SHOWN || status === "refused") notTaken.push(what);
  }
  if (summary === undefined) throw unfinished(undefined);
  const count = (name: string): number => summary?.whole(name) ?? 0;
  const left = count("ignored") + count("refused") - notTaken.length;
  session.output.result(
    { ...summary.json, sameSignature: rewrapped, notTaken },
    [
      facts([
        ["lines", String(count("lines"))],
        ["added", String(count("added"))],
        ["of them", rewrapped === 0 ? undefined : `${rewrapped} with a signature that was here in other bytes`],
        ["here already", String(count("present") + count("repeated"))],
        ["no evidence", String(count("ignored"))],
        ["refused", String(count("refused"))],
      ]),
      ...notTaken.map(({ line, status, code, message }) => `line ${line}: ${status}: ${message} [${code}]`),
      ...(left > 0 ? [`… and ${left} more lines that are no evidence`] : []),
    ].join("\n"),
  );
  session.answer(count("refused") === 0 ? Exit.yes : Exit.no);
}

function unfinished(error: AnswerObject | undefined): CliError {
  const why = error === undefined ? "its answer ended early" : error.text("message");
  return new CliError("import-unfinished", `the server did not take in the whole file: ${why}`, {
    exit: Exit.unknown,
    hint: "Send it again: what was taken in is not taken in twice.",
  });
}

function parseLine(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (error) {
    throw answerInvalid("a line of it is no JSON", error);
  }
}

async function* linesOf(source: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of source) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE) throw answerInvalid("a line of it is too long");
    for (const line of lines) if (line !== "") yield line;
  }
  if (rest !== "") yield rest;
}
