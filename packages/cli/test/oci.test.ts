import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseDigest } from "@assay/evidence";
import { describe, expect, it, onTestFinished } from "vitest";
import { blobOf, pushBlob, readBlob } from "../src/oci/blobs.ts";
import { parseChallenges } from "../src/oci/challenge.ts";
import { authKeys, findCredentials } from "../src/oci/credentials.ts";
import { requireSafeTitle } from "../src/oci/file-artifact.ts";
import { ownOrigin, parseOwnImage } from "../src/oci/image.ts";
import { Registry } from "../src/oci/registry.ts";
import { Transport } from "../src/transport.ts";
import { type Behaviour, type MemoryRegistry, memoryRegistry, PASSWORD, USER } from "./memory-registry.ts";
import { containing, runAssay } from "./run.ts";
import { temporaryFolder } from "./tree.ts";

const NO_SETTINGS = { server: undefined, token: async () => undefined, org: undefined };

async function repository(behaviour: Behaviour = {}): Promise<{ fake: MemoryRegistry; registry: Registry }> {
  const fake = await memoryRegistry(behaviour);
  const transport = new Transport();
  onTestFinished(() => transport.close());
  const credentials = { kind: "password", username: USER, password: PASSWORD } as const;
  return { fake, registry: new Registry(fake.host, "a/b", transport, async () => credentials) };
}

function digestOf(bytes: Uint8Array): ReturnType<typeof parseDigest> {
  return parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
}

async function readAll(blob: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of blob) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("pushing a blob", () => {
  const bytes = Buffer.alloc(300_000, "blob ");
  const source = blobOf(bytes, digestOf(bytes));
  const push = (registry: Registry, moved: number[] = []): Promise<boolean> =>
    pushBlob(
      registry,
      source,
      (n) => moved.push(n),
      async () => undefined,
    );

  it("sends it in one request and not again when the registry has it", async () => {
    const { fake, registry } = await repository();
    expect(await push(registry)).toBe(true);
    expect(fake.blobs.get(source.digest)).toEqual(bytes);
    expect(await push(registry)).toBe(false);
    expect(fake.requests.filter(({ line }) => line.startsWith("PUT"))).toHaveLength(1);
  });

  it("goes on where a broken upload stopped", async () => {
    const { fake, registry } = await repository({ cutUploads: [100_000, 50_000], keepsPartial: true });
    expect(await push(registry)).toBe(true);
    expect(fake.blobs.get(source.digest)).toEqual(bytes);
    const ranges = fake.requests.flatMap(({ range }) => range ?? []);
    expect(ranges).toEqual(["100000-299999", "150000-299999"]);
  });

  it("begins again when the registry kept nothing", async () => {
    const { fake, registry } = await repository({ cutUploads: [1000], keepsPartial: false });
    expect(await push(registry)).toBe(true);
    expect(fake.requests.filter(({ line }) => line.startsWith("POST"))).toHaveLength(2);
  });

  it("gives up after several failures without progress", async () => {
    const { registry } = await repository({ cutUploads: [1000, 1000, 1000, 1000, 1000], keepsPartial: false });
    await expect(push(registry)).rejects.toMatchObject({ code: "network", exit: 3 });
  });

  it("does not repeat what the registry refuses", async () => {
    const { fake, registry } = await repository();
    const wrong = blobOf(bytes, digestOf(Buffer.from("other")));
    await expect(pushBlob(registry, wrong, () => undefined)).rejects.toMatchObject({
      exit: 1,
      message: containing("wrong digest"),
    });
    expect(fake.requests.filter(({ line }) => line.startsWith("PUT"))).toHaveLength(1);
  });
});

describe("reading a blob", () => {
  const bytes = Buffer.from("the content");

  it("gives its bytes", async () => {
    const { fake, registry } = await repository();
    fake.blobs.set(digestOf(bytes), bytes);
    expect(await readAll(readBlob(registry, digestOf(bytes), bytes.length))).toEqual(bytes);
  });

  it.each([
    ["other bytes", Buffer.from("the c0ntent")],
    ["fewer", Buffer.from("the")],
    ["more", Buffer.from("the content, and more")],
  ])("refuses %s before it ends", async (_, served) => {
    const { fake, registry } = await repository({ blob: served });
    fake.blobs.set(digestOf(bytes), bytes);
    await expect(readAll(readBlob(registry, digestOf(bytes), bytes.length))).rejects.toMatchObject({
      code: "digest-mismatch",
      exit: 1,
    });
  });

  it("follows a redirect without taking the credentials along", async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end(bytes);
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void elsewhere.close());
    const { fake, registry } = await repository({
      auth: "bearer",
      redirectBlobs: `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`,
    });
    expect(await readAll(readBlob(registry, digestOf(bytes), bytes.length))).toEqual(bytes);
    expect(seen).toEqual([undefined]);
    expect(fake.requests.at(-1)?.authorization).toBe("Bearer token-for-pull");
  });

  it("refuses a redirect to plain http elsewhere", async () => {
    const { registry } = await repository({ redirectBlobs: "http://192.0.2.1" });
    await expect(readAll(readBlob(registry, digestOf(bytes), 1))).rejects.toMatchObject({ code: "registry-protocol" });
  });
});

describe("authentication", () => {
  it.each(["bearer", "basic"] as const)("answers a %s challenge", async (auth) => {
    const { registry } = await repository({ auth });
    const bytes = Buffer.from("x");
    expect(await pushBlob(registry, blobOf(bytes, digestOf(bytes)), () => undefined)).toBe(true);
  });

  it("never sends credentials to a realm that is not https", async () => {
    const { fake, registry } = await repository({ auth: "bearer", realm: "http://192.0.2.1/token" });
    await expect(registry.send({ method: "GET", path: "manifests/1", access: "pull" })).rejects.toMatchObject({
      code: "registry-protocol",
    });
    expect(fake.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it("parses challenges with commas and quotes in their parameters", () => {
    const header = 'Basic realm="a, \\"b\\"", Bearer realm="https://h/t",service=s,scope="repository:a:pull,push"';
    expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])).toEqual([
      ["basic", { realm: 'a, "b"' }],
      ["bearer", { realm: "https://h/t", service: "s", scope: "repository:a:pull,push" }],
    ]);
    expect(parseChallenges("=,;")).toEqual([]);
    expect(parseChallenges(`Bearer x="${"a".repeat(9000)}"`)).toEqual([]);
  });

  it("takes the server's own token only for that server", async () => {
    const settings = { server: "https://assay.example:8400", token: async () => "t", org: undefined };
    const env = { HOME: temporaryFolder() };
    expect(await findCredentials("assay.example:8400", "a", settings, env)).toMatchObject({ password: "t" });
    expect(await findCredentials("assay.example", "a", settings, env)).toBeUndefined();
  });

  it("reads Docker's file and asks its helpers", async () => {
    const home = temporaryFolder();
    mkdirSync(join(home, ".docker"));
    const auth = Buffer.from("u:p:q").toString("base64");
    const file = {
      auths: { "h:1": { auth }, "h:1/a/b": { username: "deep", password: "x" } },
      credHelpers: { "h:2": "absent-helper" },
    };
    writeFileSync(join(home, ".docker", "config.json"), JSON.stringify(file));
    const find = (host: string, repo: string): ReturnType<typeof findCredentials> =>
      findCredentials(host, repo, NO_SETTINGS, { HOME: home });
    expect(await find("h:1", "c")).toEqual({ kind: "password", username: "u", password: "p:q" });
    expect(await find("h:1", "a/b/c")).toMatchObject({ username: "deep" });
    expect(await find("h:3", "c")).toBeUndefined();
    await expect(find("h:2", "c")).rejects.toMatchObject({ code: "credential-helper" });
    writeFileSync(join(home, ".docker", "config.json"), "{");
    await expect(find("h:1", "c")).rejects.toMatchObject({ code: "auth-file-invalid" });
  });

  it("knows the spellings of Docker Hub", () => {
    expect(authKeys("docker.io", "library/nginx")).toContain("https://index.docker.io/v1/");
    for (const text of ["docker.io/nginx:1", "index.docker.io/nginx:1"]) {
      expect(parseOwnImage(text, NO_SETTINGS)).toMatchObject({
        host: "docker.io",
        repository: "library/nginx",
        tag: "1",
      });
    }
  });
});

describe("a reference", () => {
  const at = (server: string) => ({ ...NO_SETTINGS, server });

  it("without a host means the server's registry, and without a server is refused with what to write", async () => {
    expect(parseOwnImage("org/app", at("http://127.0.0.1:8400"))).toMatchObject({ host: "127.0.0.1:8400" });
    for (const words of [
      ["fingerprint", "-t", "oci", "nginx:1"],
      ["pull", "nginx:1"],
    ]) {
      const ended = await runAssay(words, { env: { HOME: temporaryFolder() } });
      expect(ended.exit).toBe(2);
      expect(ended.stderr).toMatch(/\[host-missing\]\n {7}Write the host/);
    }
  });

  it("is the server's own by scheme, host and port, however the host is spelt", () => {
    const own = (text: string, server: string) => {
      const image = parseOwnImage(text, at(server));
      return [image.host, ownOrigin(image, at(server))];
    };
    expect(own("app", "https://assay.example")).toEqual(["assay.example", "https://assay.example"]);
    expect(own("assay.example:443/app", "https://assay.example")).toEqual(["assay.example", "https://assay.example"]);
    expect(own("Assay.example/app", "https://assay.example")).toEqual(["assay.example", "https://assay.example"]);
    expect(own("assay.example:443/app", "http://assay.example")).toEqual(["assay.example:443", undefined]);
    expect(own("assay.example/app", "https://assay.example:8400")).toEqual(["assay.example", undefined]);
  });

  it("that breaks the grammar is wrong usage", async () => {
    for (const words of [
      ["pull", "127.0.0.1:1/UPPER:1"],
      ["fingerprint", "-t", "oci", "127.0.0.1:1/a@sha256:00"],
      ["verify", "-t", "oci", "127.0.0.1:1/a@sha256:00"],
    ]) {
      const env = { ASSAY_URL: "http://127.0.0.1:1", ASSAY_ORG: "default" };
      expect(await runAssay(words, { env })).toMatchObject({ exit: 2, stderr: containing("[reference-invalid]") });
    }
  });
});

describe("the configured server's registry", () => {
  it("is never spoken to in plain http where ASSAY_URL says https, although it is on this machine", async () => {
    const fake = await memoryRegistry();
    const folder = temporaryFolder();
    writeFileSync(join(folder, "f"), "1");
    const env = { ASSAY_URL: `https://${fake.host}`, ASSAY_TOKEN: PASSWORD };
    for (const reference of ["a:1", `${fake.host}/a:1`]) {
      const ended = await runAssay(["push", "f", reference], { cwd: folder, env });
      expect(ended).toMatchObject({ exit: 3, stderr: containing(`cannot reach https://${fake.host}`) });
    }
    expect(fake.requests).toEqual([]);
  });

  it("is asked over http where ASSAY_URL says so, and named so in errors", async () => {
    const env = { ASSAY_URL: "http://nope.invalid", ASSAY_TOKEN: PASSWORD, ASSAY_ORG: "default" };
    const elsewhere = await runAssay(["verify", "app:1.0.0"], { env });
    expect(elsewhere).toMatchObject({ exit: 3, stderr: containing("http://nope.invalid") });
    expect(elsewhere.stderr).not.toContain("https://");
    const here = await runAssay(["pull", "a:1"], { env: { ...env, ASSAY_URL: "http://127.0.0.1:1" } });
    expect(here).toMatchObject({ exit: 3, stderr: containing("cannot reach http://127.0.0.1:1:") });
  });

  it("that refuses the token says what to set, any other registry what to log in to", async () => {
    const fake = await memoryRegistry({ auth: "bearer" });
    const own = { ASSAY_URL: `http://${fake.host}`, ASSAY_TOKEN: "wrong-token" };
    expect(await runAssay(["pull", "a:1"], { env: own })).toMatchObject({
      exit: 3,
      stderr: containing("Set ASSAY_TOKEN to a valid token, or run `assay login`."),
    });
    const other = await runAssay(["pull", `${fake.host}/a:1`], { cwd: temporaryFolder() });
    expect(other).toMatchObject({ exit: 3, stderr: containing(`\`docker login ${fake.host}\``) });
  });
});

describe("assay push and pull", () => {
  it("bring files back byte for byte, and reproducibly", async () => {
    const fake = await memoryRegistry({ auth: "bearer" });
    const folder = temporaryFolder();
    const env = { ASSAY_URL: `http://${fake.host}`, ASSAY_TOKEN: PASSWORD };
    writeFileSync(join(folder, "big.bin"), Buffer.alloc(2_000_000, "x1"));
    writeFileSync(join(folder, "käse.txt"), "");
    const pushed = await runAssay(["push", "big.bin", "käse.txt", "org/files:1", "--output", "json"], {
      cwd: folder,
      env,
    });
    expect(pushed).toMatchObject({ exit: 0, stderr: "" });
    const { digest } = JSON.parse(pushed.stdout) as { digest: string };
    const again = await runAssay(["push", "big.bin", "käse.txt", "org/files", "--output", "json"], {
      cwd: folder,
      env,
    });
    expect(JSON.parse(again.stdout)).toMatchObject({ digest });

    const pulled = await runAssay(["pull", `org/files:1@${digest}`, "-o", "out"], { cwd: folder, env });
    expect(pulled).toMatchObject({ exit: 0, stdout: `${join("out", "big.bin")}\n${join("out", "käse.txt")}\n` });
    expect(readFileSync(join(folder, "out", "big.bin"))).toEqual(readFileSync(join(folder, "big.bin")));
    const printed = await runAssay(["fingerprint", `${fake.host}/org/files:1`, "-t", "oci"], { env });
    expect(printed.stdout.trim()).toBe(digest.slice(7));
    expect(fake.requests.some(({ authorization }) => authorization?.includes(PASSWORD))).toBe(false);
  });

  it("keep the registry's words and the exit code no when a tag may not move", async () => {
    const fake = await memoryRegistry({ refuseManifests: 409 });
    const folder = temporaryFolder();
    writeFileSync(join(folder, "f"), "1");
    const ended = await runAssay(["push", "f", `${fake.host}/a:1.0.0`], { cwd: folder });
    expect(ended).toMatchObject({ exit: 1, stderr: containing("the tag 1.0.0 does not move") });
    fake.behaviour.refuseManifests = 403;
    const denied = await runAssay(["push", "f", `${fake.host}/a:1.0.0`], { cwd: folder });
    expect(denied).toMatchObject({ exit: 1, stderr: containing("the tag 1.0.0 does not move") });
    expect(denied.stderr).not.toContain("Ask the owner");
  });

  it("refuse to store a file whose name could not be written everywhere: it is the user's own, and to be renamed", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "a:b"), "1");
    const ended = await runAssay(["push", "a:b", "127.0.0.1:1/uni:2"], { cwd: folder });
    expect(ended).toMatchObject({ exit: 2, stderr: containing("Rename the file") });
    expect(ended.stderr).not.toContain("Do not trust");
  });

  async function artifactWith(titles: readonly string[], content = Buffer.from("evil")): Promise<MemoryRegistry> {
    const fake = await memoryRegistry();
    const digest = digestOf(content);
    fake.blobs.set(digest, content);
    const layers = titles.map((title) => ({
      mediaType: "application/octet-stream",
      digest,
      size: content.length,
      annotations: { "org.opencontainers.image.title": title },
    }));
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, config: { mediaType: "a/b", digest, size: 2 }, layers }),
    );
    fake.manifests.set("a/1", { type: "application/vnd.oci.image.manifest.v1+json", bytes });
    return fake;
  }

  it.each(["../evil", "/etc/evil", "a/../../evil", "a//b", "./a", "..\\evil", "C:evil", "", "a\u0000b"])(
    "refuse the file name %j and write nothing",
    async (title) => {
      const fake = await artifactWith(["good", title]);
      const folder = temporaryFolder();
      mkdirSync(join(folder, "out"));
      const ended = await runAssay(["pull", `${fake.host}/a:1`, "-o", "out"], { cwd: folder });
      expect(ended).toMatchObject({ exit: 1, stderr: containing("title-unsafe") });
      expect(readdirSync(join(folder, "out"))).toEqual([]);
      expect(() => requireSafeTitle(title)).toThrow(/could be written elsewhere/);
    },
  );

  it("do not write through a link that lies in the way", async () => {
    const fake = await artifactWith(["sub/file"]);
    const folder = temporaryFolder();
    mkdirSync(join(folder, "out"));
    mkdirSync(join(folder, "outside"));
    symlinkSync("../outside", join(folder, "out", "sub"));
    const ended = await runAssay(["pull", `${fake.host}/a:1`, "-o", "out"], { cwd: folder });
    expect(ended).toMatchObject({ exit: 2, stderr: containing("not-a-directory") });
    expect(readdirSync(join(folder, "outside"))).toEqual([]);
  });

  it("leave a file with other content alone unless told to replace it", async () => {
    const fake = await artifactWith(["f"]);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "f"), "mine");
    expect(await runAssay(["pull", `${fake.host}/a:1`], { cwd: folder })).toMatchObject({ exit: 2 });
    expect(readFileSync(join(folder, "f"), "utf8")).toBe("mine");
    expect(await runAssay(["pull", `${fake.host}/a:1`, "--overwrite"], { cwd: folder })).toMatchObject({ exit: 0 });
    expect(readFileSync(join(folder, "f"), "utf8")).toBe("evil");
    expect(await runAssay(["pull", `${fake.host}/a:1`], { cwd: folder })).toMatchObject({ exit: 0 });
  });

  it("leave nothing behind of a file that arrives altered", async () => {
    const fake = await artifactWith(["f"]);
    fake.behaviour.blob = Buffer.from("EVIL");
    const folder = temporaryFolder();
    expect(await runAssay(["pull", `${fake.host}/a:1`, "-o", "out"], { cwd: folder })).toMatchObject({ exit: 1 });
    expect(readdirSync(join(folder, "out"))).toEqual([]);
  });

  it("refuse a manifest whose bytes are not those of its digest", async () => {
    const fake = await artifactWith(["f"]);
    const other = digestOf(Buffer.from("other"));
    const entry = fake.manifests.get("a/1");
    if (entry !== undefined) fake.manifests.set(`a/${other}`, entry);
    const ended = await runAssay(["pull", `${fake.host}/a@${other}`], { cwd: temporaryFolder() });
    expect(ended).toMatchObject({ exit: 1, stderr: containing("digest-mismatch") });
  });

  it("say that they could not find out when nothing answers", async () => {
    const fake = await memoryRegistry();
    const ended = await runAssay(["pull", "127.0.0.1:1/a:1", "--output", "json"], { cwd: temporaryFolder() });
    expect(ended.exit).toBe(3);
    expect(JSON.parse(ended.stderr)).toMatchObject({ error: { code: "network", hint: containing("network") } });
    expect(await runAssay(["pull", `${fake.host}/a:1`], { cwd: temporaryFolder() })).toMatchObject({ exit: 1 });
  });
});
