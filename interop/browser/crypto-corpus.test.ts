/**
 * The crypto corpus in real Chromium: every question that packages/evidence/test/crypto-corpus*.test.ts asks, asked again of the two ports that
 * run there, on a page of a web server. The answers must be Node's.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, expect, test } from "vitest";
import type { Question } from "../../packages/evidence/test/recorded.ts";
import { clientProgram } from "../clients.ts";
import type { Report } from "./page.ts";

const folder = mkdtempSync(join(tmpdir(), "assay-browser-"));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Runs the corpus in Node, and gives what it asked. */
function questionsOfTheCorpus(): Question[] {
  const file = join(folder, "questions");
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      join(ROOT, "node_modules/vitest/vitest.mjs"),
      "run",
      "--project",
      "evidence",
      "packages/evidence/test/crypto-corpus",
    ],
    { cwd: ROOT, env: { ...process.env, ASSAY_RECORD_QUESTIONS: file }, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`the corpus fails in Node:\n${stdout}${stderr}`);
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Question);
}

/** The page's script: one file. */
async function script(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("page.ts", import.meta.url))],
    bundle: true,
    write: false,
    platform: "browser",
    format: "esm",
    target: "es2024",
  });
  return outputFiles[0]?.text ?? "";
}

/** What Chromium reports of the questions. */
async function askChromium(questions: readonly Question[]): Promise<Report> {
  const files: Record<string, [string, string]> = {
    "/": ["text/html", '<!doctype html><title>corpus</title><script type="module" src="/page.js"></script>'],
    "/page.js": ["text/javascript", await script()],
    "/questions": ["application/json", JSON.stringify(questions)],
  };
  const reported = Promise.withResolvers<Report>();
  const server = createServer((request, response) => {
    if (request.method === "POST") {
      text(request).then((body) => {
        reported.resolve(JSON.parse(body) as Report);
        response.end();
      }, reported.reject);
      return;
    }
    const [type, body] = files[request.url ?? ""] ?? ["text/plain", ""];
    response.writeHead(body === "" ? 404 : 200, { "content-type": type }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const chromium = spawn(
    clientProgram("chromium-headless-shell"),
    [
      // The page is ours, and a container has no namespaces to make a sandbox of.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      `--user-data-dir=${join(folder, "profile")}`,
      "--remote-debugging-port=0",
      `http://localhost:${port}/`,
    ],
    { stdio: ["ignore", "ignore", "pipe"], detached: true },
  );
  const said = text(chromium.stderr);
  const ended = once(chromium, "exit");
  try {
    return await Promise.race([
      reported.promise,
      ended.then(async () => {
        throw new Error(`Chromium ended before the page reported:\n${await said}`);
      }),
    ]);
  } finally {
    // Its processes are one group, which is ours.
    if (chromium.exitCode === null && chromium.pid !== undefined) process.kill(-chromium.pid, "SIGKILL");
    await ended;
    server.closeAllConnections();
    server.close();
  }
}

test("Chromium's WebCrypto and noble give the answers that Node gives", async () => {
  const questions = questionsOfTheCorpus();
  const answered = questions.map(({ answer }) => answer);
  expect(new Set(answered)).toEqual(new Set([true, false]));
  expect(questions.length).toBeGreaterThan(500);

  const report = await askChromium(questions);
  if ("failure" in report) throw new Error(report.failure);
  expect(report).toMatchObject({ hasSubtle: true, agent: expect.stringContaining("HeadlessChrome") as string });
  const different = questions.filter(({ answer }, i) => report.web[i] !== answer || report.noble[i] !== answer);
  expect(different).toEqual([]);
  expect([report.web.length, report.noble.length]).toEqual([questions.length, questions.length]);
  console.log(`${questions.length} questions, ${answered.filter(Boolean).length} good; ${report.agent}`);
});
