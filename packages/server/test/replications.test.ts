/** Replication to another registry, and filling mirrors ahead of time, over real HTTP and through the real queue of jobs. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { matchesTag } from "../src/mirrors/replication.ts";
import type { Instance } from "./instance.ts";
import {
  ADMIN_TOKEN,
  hostOf,
  imageOf,
  OCI_INDEX,
  OCI_MANIFEST,
  recorded,
  setMirror,
  startMirror,
  v2,
} from "./mirror-room.ts";
import { pushBlob, pushImage, sha256 } from "./pushing.ts";
import { plainRegistry, type PlainRegistry } from "./plain-registry.ts";

const LOGIN = { username: "admin", password: ADMIN_TOKEN };
const API = "/api/assay/v1/orgs/default";

interface Run {
  state: string;
  started: number;
  underWay: boolean;
  copied: number;
  present: number;
  failed: number;
  problem: string | null;
}

const code = (body: unknown): unknown => (body as { error?: { code?: string } }).error?.code;

/** The newest run after `before`, when its job has ended or waits to be tried again. */
async function settled(read: () => Promise<Run | null>, before?: Run | null): Promise<Run> {
  return await vi.waitFor(
    async () => {
      const run = await read();
      if (
        run === null ||
        run.state === "running" ||
        (run.state === "done" && run.underWay) ||
        run.started === before?.started
      ) {
        throw new Error(`not yet: ${JSON.stringify(run)}`);
      }
      return run;
    },
    { timeout: 25_000, interval: 50 },
  );
}

/** Pushes something about a manifest, as a referrer. */
async function attach(server: Instance, repository: string, subject: string, what: string): Promise<string> {
  const layer = Buffer.from(what);
  const config = Buffer.from("{}");
  await pushBlob(server.url, repository, layer);
  await pushBlob(server.url, repository, config);
  const manifest = imageOf(config, [layer], {
    artifactType: "application/vnd.example.sbom",
    subject: { mediaType: OCI_MANIFEST, digest: subject, size: 10 },
  });
  const path = `${repository}/manifests/${manifest.digest}`;
  const put = await v2(server, "PUT", path, { body: manifest.bytes, type: manifest.type });
  expect(put.status, put.problem).toBe(201);
  return manifest.digest;
}

describe("replication by pushing", () => {
  let here: Instance;
  let there: Instance;
  let plain: PlainRegistry;

  beforeAll(async () => {
    there = await startMirror([]);
    plain = await plainRegistry();
    here = await startMirror([hostOf(there), plain.host]);
  }, 60_000);

  afterAll(async () => {
    await here.stop();
    await there.stop();
    await plain.close();
  });

  const set = async (name: string, more: object) => {
    const { status, body } = await here.api("PUT", `${API}/replications/${name}`, {
      direction: "push",
      repositories: ["default/**"],
      url: `${there.url}/default/copy`,
      credential: LOGIN,
      ...more,
    });
    return { status, body: body as Record<string, unknown> };
  };
  const run = async (name: string, which: "all" | "new" = "all"): Promise<Run | null> => {
    const { body } = await here.api("GET", `${API}/replications/${name}`);
    return (body as Record<"all" | "new", Run | null>)[which];
  };
  const runNow = async (name: string): Promise<Run> => {
    const before = await run(name);
    const asked = await here.api("POST", `${API}/replications/${name}/run`);
    expect(asked.status).toBe(202);
    return await settled(() => run(name), before);
  };

  it("copies tags that the filters name, whole, with indexes and evidence, and passes over what is there", async () => {
    const image = await pushImage(here.url, "default/team/app", "1.0.0", randomBytes(200_000));
    const other = await pushImage(here.url, "default/team/app", "2.0.0-dev", randomBytes(100));
    await pushImage(here.url, "default/else", "1.0.0", randomBytes(100));
    const members = [image.manifest, other.manifest];
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_INDEX,
        manifests: await Promise.all(
          members.map(async (digest) => {
            const { bytes } = await v2(here, "GET", `default/team/app/manifests/${digest}`);
            return { mediaType: OCI_MANIFEST, digest, size: bytes.length };
          }),
        ),
      }),
    );
    await v2(here, "PUT", "default/team/app/manifests/3.0.0", { body: index, type: OCI_INDEX });
    const about = await attach(here, "default/team/app", image.manifest, "about the image");
    const aboutThat = await attach(here, "default/team/app", about, "about what is about the image");
    const repositories = ["default/team/*"];
    expect((await set("first", { repositories, tags: ["1.*", "3.0.0"] })).status).toBe(200);
    expect(await runNow("first")).toMatchObject({ state: "done", copied: 2, present: 0, failed: 0, underWay: false });
    const copied = await v2(there, "GET", "default/copy/team/app/manifests/1.0.0");
    expect(copied.headers.get("docker-content-digest")).toBe(image.manifest);
    const layer = await v2(there, "GET", `default/copy/team/app/blobs/${image.layer}`);
    expect(sha256(layer.bytes)).toBe(image.layer);
    expect((await v2(there, "GET", "default/copy/team/app/manifests/3.0.0")).bytes).toEqual(index);
    expect((await v2(there, "GET", `default/copy/team/app/manifests/${other.manifest}`)).status).toBe(200);
    expect((await v2(there, "GET", "default/copy/team/app/manifests/2.0.0-dev")).status).toBe(404);
    expect((await v2(there, "GET", "default/copy/else/manifests/1.0.0")).status).toBe(404);
    for (const [subject, referrer] of [
      [image.manifest, about],
      [about, aboutThat],
    ]) {
      const { bytes } = await v2(there, "GET", `default/copy/team/app/referrers/${subject}`);
      const { manifests } = JSON.parse(bytes.toString()) as { manifests: { digest: string }[] };
      expect(manifests.map(({ digest }) => digest)).toEqual([referrer]);
    }
    expect(await runNow("first")).toMatchObject({ state: "done", copied: 0, present: 2, failed: 0 });
  });

  it("mounts there what another repository that is copied has there already", async () => {
    const layer = randomBytes(10_000);
    for (const name of ["one", "two"]) await pushImage(here.url, `default/shared/${name}`, "1.0.0", layer);
    await set("shared", { repositories: ["default/shared/*"], url: `${plain.url}/mounted`, credential: null });
    plain.asked.splice(0);
    expect(await runNow("shared")).toMatchObject({ state: "done", copied: 2 });
    const mounts = plain.asked.filter((question) => question.includes(`mount=${sha256(layer)}`));
    expect(mounts).toHaveLength(2);
    expect(plain.asked.filter((question) => question.includes(`?digest=${sha256(layer)}`))).toHaveLength(1);
    await set("shared", { repositories: ["default/shared/*"] });
    expect(await runNow("shared")).toMatchObject({ state: "done", copied: 2 });
    expect(sha256((await v2(there, "GET", `default/copy/shared/two/blobs/${sha256(layer)}`)).bytes)).toBe(
      sha256(layer),
    );
  });

  it("goes along with what is pushed, evidence too, without anybody asking", async () => {
    expect((await set("along", { repositories: ["default/live"], onEvents: true })).status).toBe(200);
    const image = await pushImage(here.url, "default/live", "1.0.0", randomBytes(100));
    await vi.waitFor(
      async () => {
        const answer = await v2(there, "HEAD", "default/copy/live/manifests/1.0.0");
        expect(answer.headers.get("docker-content-digest")).toBe(image.manifest);
      },
      { timeout: 25_000, interval: 100 },
    );
    await settled(() => run("along", "new"));
    const about = await attach(here, "default/live", image.manifest, "comes later");
    await vi.waitFor(
      async () => expect((await v2(there, "HEAD", `default/copy/live/manifests/${about}`)).status).toBe(200),
      { timeout: 25_000, interval: 100 },
    );
    await here.api("DELETE", `${API}/replications/along`);
  });

  it("goes on where it was when the other registry was away, and says what is wrong meanwhile", async () => {
    for (const tag of ["1.0.0", "1.0.1"]) await pushImage(here.url, "default/away", tag, randomBytes(100));
    expect((await set("away", { repositories: ["default/away"], onEvents: false })).status).toBe(200);
    await there.halt();
    const failed = await runNow("away");
    expect(failed).toMatchObject({ state: "failed", copied: 0, failed: 2, underWay: true });
    expect(failed.problem).toContain("default/away:1.0.0");
    expect(failed.problem).not.toContain(LOGIN.password);
    await there.restart();
    const done = await settled(() => run("away"), failed);
    expect(done).toMatchObject({ failed: 0, state: "done" });
    expect((await v2(there, "HEAD", "default/copy/away/manifests/1.0.1")).status).toBe(200);
  }, 60_000);

  it("counts what the other registry refuses, and copies the rest", async () => {
    await pushImage(there.url, "default/copy/clash", "1.0.0", randomBytes(100));
    for (const tag of ["1.0.0", "1.0.1"]) await pushImage(here.url, "default/clash", tag, randomBytes(100));
    await set("clash", { repositories: ["default/clash"] });
    const run_ = await runNow("clash");
    expect(run_).toMatchObject({ state: "failed", copied: 1, failed: 1 });
    expect(run_.problem).toContain("answers 403");
    await here.api("DELETE", `${API}/replications/clash`);
  });

  it("keeps a registry that knows no referrers in the picture by the fallback tag", async () => {
    const image = await pushImage(here.url, "default/plain", "1.0.0", randomBytes(3_000));
    const first = await attach(here, "default/plain", image.manifest, "first");
    const second = await attach(here, "default/plain", image.manifest, "second");
    await set("plain", { repositories: ["default/plain"], url: `${plain.url}/backup`, credential: null });
    expect(await runNow("plain")).toMatchObject({ state: "done", copied: 1, failed: 0, problem: null });
    const index = plain.manifests.get(`backup/plain ${image.manifest.replace(":", "-")}`);
    const { manifests } = JSON.parse(index?.toString() ?? "{}") as { manifests: { digest: string }[] };
    expect(manifests.map(({ digest }) => digest).toSorted()).toEqual([first, second].toSorted());
    expect(plain.blobs.get(`backup/plain ${image.layer}`)).toHaveLength(3_000);
  });

  it("is sent to no other place by an upload's location, and never with the credential", async () => {
    await pushImage(here.url, "default/led", "1.0.0", randomBytes(100));
    await set("led", { repositories: ["default/led"], url: `${plain.url}/led`, credential: LOGIN });
    plain.location = `${there.url}/v2/default/stolen/blobs/uploads/x`;
    const led = await runNow("led");
    plain.location = undefined;
    expect(led).toMatchObject({ state: "failed", failed: 1 });
    expect(led.problem).toContain("is not asked");
    await here.api("DELETE", `${API}/replications/led`);
  });

  it("leaves a mirror's tag alone that was never pulled whole, and says so", async () => {
    const source = await pushImage(there.url, "default/source", "1.0.0", randomBytes(100));
    await setMirror(here, "default/lazy", `${there.url}/default/source`, { credential: LOGIN });
    expect((await v2(here, "GET", "default/lazy/manifests/1.0.0")).status).toBe(200);
    await set("lazy", { repositories: ["default/lazy"] });
    const lazy = await runNow("lazy");
    expect(lazy).toMatchObject({ state: "failed", failed: 1 });
    expect(lazy.problem).toContain("fill it first");
    expect((await v2(there, "HEAD", `default/copy/lazy/manifests/${source.manifest}`)).status).toBe(404);
    await here.api("DELETE", `${API}/replications/lazy`);
  });

  it("is set by admins, within their organisation, and kept without its password", async () => {
    const elsewhere = await set("bad", { repositories: ["rival/**"] });
    expect([elsewhere.status, code(elsewhere.body)]).toEqual([400, "repository-elsewhere"]);
    const nowhere = await set("bad", { url: null });
    expect([nowhere.status, code(nowhere.body)]).toEqual([400, "replication-invalid"]);
    const pulls = await set("bad", { direction: "pull" });
    expect([pulls.status, code(pulls.body)]).toEqual([400, "replication-invalid"]);
    await set("kept", { repositories: ["default/none"] });
    const moved = await set("kept", {
      repositories: ["default/none"],
      url: "https://evil.example.com/x",
      credential: undefined,
    });
    expect([moved.status, code(moved.body)]).toEqual([409, "credential-needed"]);
    expect(JSON.stringify(await recorded(here, "replications."))).not.toContain(LOGIN.password);
    const { body } = await here.api("GET", `${API}/replications`);
    expect(JSON.stringify(body)).not.toContain(LOGIN.password);
    expect((await here.api("DELETE", `${API}/replications/kept`)).status).toBe(200);
    expect((await here.api("GET", `${API}/replications/kept`)).status).toBe(404);
  });
});

describe("filling a mirror ahead of time", () => {
  let upstream: Instance;
  let mirror: Instance;

  beforeAll(async () => {
    upstream = await startMirror([]);
    mirror = await startMirror([hostOf(upstream)]);
  }, 60_000);

  afterAll(async () => {
    await mirror.stop();
    await upstream.stop();
  });

  it("brings all tags whole and with their evidence; what is here is passed over", async () => {
    const images = [];
    for (const tag of ["1.0.0", "1.1.0"]) {
      images.push(await pushImage(upstream.url, "default/app", tag, randomBytes(50_000)));
    }
    const about = await attach(upstream, "default/app", images[0]?.manifest ?? "", "about");
    await setMirror(mirror, "default/app", `${upstream.url}/default/app`, { credential: LOGIN });
    const read = async () => {
      const { body } = await mirror.api("GET", `${API}/mirror?repository=default/app`);
      return (body as { fill: Run | null }).fill;
    };
    const asked = await mirror.api("POST", `${API}/mirror/fill`, { repository: "default/app" });
    expect(asked.status).toBe(202);
    const first = await settled(read);
    expect(first).toMatchObject({ state: "done", copied: 2, failed: 0 });
    await upstream.halt();
    for (const { manifest, layer } of images) {
      expect((await v2(mirror, "GET", `default/app/manifests/${manifest}`)).status).toBe(200);
      expect(sha256((await v2(mirror, "GET", `default/app/blobs/${layer}`)).bytes)).toBe(layer);
    }
    expect((await v2(mirror, "GET", `default/app/manifests/${about}`)).status).toBe(200);
    await upstream.restart();
    const again = await mirror.api("POST", `${API}/mirror/fill`, { repository: "default/app", tags: ["1.0.0"] });
    expect(again.status).toBe(202);
    expect(await settled(read, first)).toMatchObject({ state: "done", copied: 0, present: 1, failed: 0 });
  });

  it("is done by a replication that pulls, for the mirrors and tags it names", async () => {
    const image = await pushImage(upstream.url, "default/lib", "2.0.0", randomBytes(100));
    await pushImage(upstream.url, "default/lib", "nightly", randomBytes(100));
    await setMirror(mirror, "default/mirrors/lib", `${upstream.url}/default/lib`, { credential: LOGIN });
    const put = await mirror.api("PUT", `${API}/replications/in`, {
      direction: "pull",
      repositories: ["default/mirrors/**"],
      tags: ["2.*"],
      everyMs: 60_000,
    });
    expect(put.status).toBe(200);
    expect((await mirror.api("POST", `${API}/replications/in/run`)).status).toBe(202);
    const read = async () => {
      const { body } = await mirror.api("GET", `${API}/replications/in`);
      return (body as { all: Run | null }).all;
    };
    expect(await settled(read)).toMatchObject({ state: "done", copied: 1, failed: 0 });
    await upstream.halt();
    expect((await v2(mirror, "GET", `default/mirrors/lib/blobs/${image.layer}`)).status).toBe(200);
    expect((await v2(mirror, "GET", "default/mirrors/lib/manifests/nightly")).status).toBe(502);
    await upstream.restart();
  });
});

describe("a pattern of tags", () => {
  it.each([
    ["*", "anything", true],
    ["1.0.0", "1.0.0", true],
    ["1.0.0", "1.0.00", false],
    ["v1.*", "v1.2", true],
    ["v1.*", "v2.1.", false],
    ["*-rc", "1.0-rc", true],
    ["*-rc", "1.0-rc1", false],
    ["a*b*c", "axxbyyc", true],
    ["a*b*c", "abc", true],
    ["a*b*c", "ac", false],
    ["a*a", "a", false],
    ["a*ab*b", "aab", false],
    ["**", "", true],
  ])("%j names %j: %s", (pattern, tag, is) => {
    expect(matchesTag(pattern, tag)).toBe(is);
  });
});
