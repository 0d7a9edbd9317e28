import { setTimeout as sleep } from "node:timers/promises";
import type { AnswerObject } from "../answer.ts";
import { serverClient } from "../http.ts";
import { API, askObject } from "../organisation.ts";
import { formatBytes } from "../progress.ts";
import type { Session } from "../session.ts";
import { facts, quantity } from "../table.ts";

/** How often a run is asked how far it is, ms. */
const ASK_MS = 500;

/** Has the service collect its garbage, or say what would go, and waits for the end. */
export async function collect(session: Session, preview: boolean): Promise<void> {
  const client = await serverClient(session);
  let run = await askObject(client, { method: "POST", path: `${API}/collections`, json: { preview } });
  const path = `${API}/collections/${run.whole("id")}`;
  const progress = session.progress("looking at blobs", undefined);
  let looked = 0;
  try {
    for (;;) {
      const now = run.object("looked").whole("bytes");
      progress.add(now - looked);
      looked = now;
      if (run.text("state") === "done") break;
      await sleep(ASK_MS);
      run = await askObject(client, { method: "GET", path });
    }
  } finally {
    progress.done();
  }
  session.output.result(
    run.json,
    facts([
      ["run", String(run.whole("id"))],
      ["looked at", amount(run.object("looked"))],
      [preview ? "would go" : "collected", amount(run.object("collected"))],
      ["leftovers", amount(run.object("leftovers"))],
    ]),
  );
}

function amount(of: AnswerObject): string {
  return `${quantity(of.whole("blobs"), "blob")}, ${formatBytes(of.whole("bytes"))}`;
}
