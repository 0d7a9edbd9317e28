import { writeFileSync } from "node:fs";
import { formatTrustFile, utf8Decode } from "@assay/evidence";
import { expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startPretender } from "./server.ts";

const TRUST = utf8Decode(formatTrustFile({ org: "default", version: 1, entries: [], roots: [], logs: [] }));

it("applies the trust file that was looked at, whatever becomes of it between the look and the change", async () => {
  const desk = new Desk({ ASSAY_TOKEN: "t", ASSAY_ORG: "default" });
  const file = desk.file("trust.json", TRUST);
  const asked: string[] = [];
  const pretender = await startPretender((url, method) => {
    asked.push(`${method} ${new URL(url, "http://server").pathname.split("/").slice(6).join("/")}`);
    if (method === "POST") {
      writeFileSync(file, "another file by now");
      const step = { base: 1, stage: "decisions", examined: 0, evidence: [], decisions: [], unjudged: [], next: null };
      return { body: JSON.stringify(step) };
    }
    return { body: method === "PUT" ? JSON.stringify({ version: 2, receipt: null }) : TRUST };
  });
  const ran = await desk.assay("trust", "import", file, "--server", pretender.url);
  await pretender.stop();
  desk.remove();
  expect(ran).toMatchObject({ exit: 0, stderr: "" });
  expect(asked).toEqual(["POST trust/preview", "GET trust", "PUT trust"]);
  expect(ran.stdout).toContain("trust is now version 2 (was 1)");
});

it("says of what the server had not the time to judge that it is not known", async () => {
  const desk = new Desk({ ASSAY_TOKEN: "t", ASSAY_ORG: "default" });
  const place = { subject: `sha256:${"a".repeat(64)}`, repository: "default/app" };
  const unjudged = [
    { ...place, evidence: `sha256:${"b".repeat(64)}`, policy: null },
    { ...place, evidence: null, policy: "release" },
  ];
  const step = { base: 1, stage: "decisions", examined: 2, evidence: [], decisions: [], unjudged, next: null };
  const pretender = await startPretender((_url, method) => ({
    body: method === "POST" ? JSON.stringify(step) : TRUST,
  }));
  const ran = await desk.assay("trust", "preview", desk.file("trust.json", TRUST), "--server", pretender.url);
  await pretender.stop();
  desk.remove();
  expect(ran).toMatchObject({ exit: 0, stderr: "" });
  expect(ran.stdout).toContain("2 answers took too much reading of artifacts to find out");
  expect(ran.stdout).toContain(`${place.subject} in default/app  policy release`);
});
