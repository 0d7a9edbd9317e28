import { usageError } from "../errors.ts";
import { showMoment } from "../moment.ts";
import { askObject } from "../organisation.ts";
import { serverClient } from "../http.ts";
import type { Session } from "../session.ts";
import { timeOf } from "./time.ts";
import { facts } from "../table.ts";

/** A time such as 0, 90s, 30m, 24h or 7d, in seconds. */
export function graceOf(text: string): number {
  return timeOf("--grace", text);
}

/**
 * Puts a new API key in the place of one; both work until the grace ends.
 *
 * @param path of the key, below the server's address.
 */
export async function rotateKey(
  session: Session,
  path: string,
  options: { readonly grace: string; readonly expiresInDays?: string },
): Promise<void> {
  const graceSeconds = graceOf(options.grace);
  const days = options.expiresInDays;
  if (days !== undefined && days !== "never" && !/^[1-9]\d{0,3}$/.test(days)) {
    throw usageError("usage", `--expires-in-days ${JSON.stringify(days)} is neither a number of days nor "never"`);
  }
  const answer = await askObject(await serverClient(session), {
    method: "POST",
    path: `${path}/rotate`,
    json: { graceSeconds, ...(days === undefined ? {} : { expiresInDays: days === "never" ? null : Number(days) }) },
  });
  const expires = answer.wholeOrNull("expires");
  session.output.result(
    answer.json,
    `${facts([
      ["key", answer.text("key")],
      ["of", answer.text("principal")],
      ["id", answer.text("id")],
      ["works until", expires === null ? "it is revoked" : showMoment(expires)],
      ["in place of", answer.text("replaces")],
      ["which works until", graceSeconds === 0 ? "now: it has stopped" : showMoment(answer.whole("oldWorksUntil"))],
    ])}\n\nThe key is shown this once. Keep it now: nobody can show it again.`,
  );
}
