import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { freePort } from "./free-port.ts";
import { runAssay } from "./run.ts";

const MAIN = fileURLToPath(new URL("../../server/src/main.ts", import.meta.url));
const TOKEN = "a-token-for-tests-only-0123456789";

/** Runs `work` beside a server on a data directory. */
async function beside(data: string, port: number, work: () => Promise<void>): Promise<void> {
  const child = spawn(process.execPath, [MAIN, "--listen", `127.0.0.1:${port}`, "--data", data], {
    env: { PATH: process.env["PATH"], ASSAY_ADMIN_TOKEN: TOKEN, ASSAY_LOG_LEVEL: "warn" },
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes("is ready at")) resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    void ended.then(() => reject(new Error(`the server ended:\n${output}`)));
  });
  try {
    await work();
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}

it("an event is redacted with the service stopped, shown as redacted, and proven offline to whoever holds three files", async () => {
  const port = await freePort();
  const desk = new Desk({ ASSAY_URL: `http://127.0.0.1:${port}`, ASSAY_TOKEN: TOKEN });
  const data = desk.path("data");
  const field = ["--data", data] as const;
  let sequence = -1;
  try {
    await beside(data, port, async () => {
      await desk.must("record", "verify");
      const made = await fetch(`http://127.0.0.1:${port}/api/assay/v1/people`, {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify({ name: "mallory" }),
      });
      ({ sequence } = ((await made.json()) as { receipt: { sequence: number } }).receipt);
      await desk.must("record", "prove", String(sequence), "--file", desk.path("before.json"));
    });
    const what = `${sequence}:/body/name=redacted-1`;
    const preview = await runAssay(["server", "redact", ...field, "--reason", "erasure 17", "--preview", what]);
    expect(preview.stdout).toContain(`/body/name  "mallory" → "redacted-1"`);
    expect((await runAssay(["server", "redact", ...field, what])).exit).toBe(2);
    expect((await runAssay(["server", "redact", ...field, "--reason", "x", `${sequence}:/org`])).exit).toBe(3);
    const done = await runAssay(["server", "redact", ...field, "--reason", "erasure 17", what, "--output", "json"]);
    const [by] = (JSON.parse(done.stdout) as { readonly by: number[] }).by;

    await beside(data, port, async () => {
      const shown = await desk.must("record", "show", String(sequence), "--output", "json");
      expect(shown.json()).toMatchObject({ redacted: { by, fields: ["/body/name"] } });
      desk.file("shown.json", shown.stdout);
      expect((await desk.must("record", "show", String(sequence))).stdout).toContain(`by record ${by}`);
      await desk.must("record", "prove", String(sequence), "--file", desk.path("after.json"));
      await desk.must("record", "prove", String(by), "--file", desk.path("redaction.json"));
      await desk.must("record", "verify");
    });
    const verify = (receipt: string, ...more: string[]) => desk.assay("record", "verify", desk.path(receipt), ...more);
    const redaction = ["--redaction", desk.path("redaction.json"), "--shown", desk.path("shown.json")];
    expect((await verify("before.json")).stdout).toContain("mallory");
    expect(await verify("after.json")).toMatchObject({ exit: 1 });
    const proven = await verify("after.json", ...redaction);
    expect(proven.stdout).toContain("REDACTED");
    expect(proven.stdout).toContain("erasure 17");
    expect(proven.exit).toBe(0);
    desk.file("shown.json", JSON.stringify({ event: { actor: "somebody else" } }));
    expect(await verify("after.json", ...redaction)).toMatchObject({ exit: 1 });
    expect((await verify("after.json", "--shown", desk.path("shown.json"))).exit).toBe(2);
  } finally {
    desk.remove();
  }
}, 60_000);
