import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "./clients.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

/** The shell blocks of a document, in order. */
function blocks(path: string): string[] {
  return [...readFileSync(join(root, path), "utf8").matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(
    (found) => found[1] ?? "",
  );
}

describe("the README's five minutes", () => {
  let server: Server;
  let home: Home;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    // A reader's clone: the files the lines name, and the command as `npx assay` finds it.
    for (const name of ["docs", "package.json"]) cpSync(join(root, name), home.path(name), { recursive: true });
    for (const name of ["bin", "packages", "node_modules", "scripts"]) symlinkSync(join(root, name), home.path(name));
    if (existsSync(join(root, "dist"))) symlinkSync(join(root, "dist"), home.path("dist"));
    mkdirSync(home.path("data"));
  });

  afterAll(async () => {
    await server.stop();
    home.remove();
  });

  /** Runs a block as the reader would, but for where the server listens, what its token is and where its data lie. */
  async function follow(block: string): Promise<string> {
    const script = block
      .replaceAll("127.0.0.1:8400", server.host)
      .replaceAll('"$(cat data/admin-token)"', `'${server.adminToken}'`);
    const { code, stdout, stderr } = await home.run("bash", ["-euo", "pipefail", "-c", script], {
      env: {
        ASSAY_DATA: server.dataFolder,
        ASSAY_TOKEN: server.adminToken,
        ASSAY_URL: server.url,
        ASSAY_ORG: "default",
        COSIGN_PASSWORD: "",
        PATH: `${dirname(clientProgram("crane"))}:${join(root, "node_modules/.bin")}:${process.env["PATH"] ?? ""}`,
      },
    });
    expect(code, `${script}\n${stdout}${stderr}`).toBe(0);
    return stdout;
  }

  it("shows the two commands that set everything up", () => {
    const [start, , , test] = blocks("README.md");
    expect([start, test]).toEqual(["npm ci && npm start\n", "npm ci && npm test\n"]);
  });

  it("works line by line with the assay command, and denies the altered file", async () => {
    const said = await follow(blocks("README.md")[1] ?? "");
    expect(said).toMatch(/allowed/i);
    expect(said).toMatch(/denied, and why/);
    expect(said).toMatch(/everything holds/);
  });

  it("works line by line with crane and cosign", async () => {
    const said = await follow(blocks("README.md")[2] ?? "");
    expect(said).toMatch(/verified/i);
    expect(said).toMatch(/release/);
  });
});

describe("the guide of the command line", () => {
  let server: Server;
  let home: Home;

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    writeFileSync(home.path("token"), `${server.adminToken}\n`);
  });

  afterAll(async () => {
    await server.stop();
    home.remove();
  });

  it("works line by line, one block after the other", async () => {
    const said: string[] = [];
    for (const block of blocks("docs/cli.md")) {
      const script = block.replaceAll("https://assay.example", server.url).replaceAll("assay.example", server.host);
      const { code, stdout, stderr } = await home.run("bash", ["-euo", "pipefail", "-c", script], {
        env: {
          ASSAY_KEY_PASSWORD: "for the guide",
          LANG: "C.UTF-8",
          PATH: `${dirname(clientProgram("crane"))}:${join(root, "bin")}:${process.env["PATH"] ?? ""}`,
        },
      });
      expect(code, `${script}\n${stdout}${stderr}`).toBe(0);
      said.push(stdout);
    }
    const [login, profiles, docker, story] = said;
    expect(login).toMatch(/kept in +\S/);
    expect(profiles).toMatch(/^org +default +the profile staging$/m);
    expect(docker).toMatch(/sha256:[0-9a-f]{64}$/m);
    expect(story).toMatch(/default\/hello {2}tagged 1\.0\.0 {2}pushed by admin/);
    expect(story).toMatch(/✓ signature: /);
  });
});
