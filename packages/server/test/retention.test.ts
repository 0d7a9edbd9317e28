import { afterAll, beforeAll, describe, expect, it } from "vitest";
import fc from "fast-check";
import type { RecordTables } from "../src/record/schema.ts";
import { currentRetention, lastPulls } from "../src/registry/retention-queries.ts";
import {
  judge,
  matchesTag,
  type RetentionRule,
  retentionRulesSchema,
  ruleOfTag,
} from "../src/registry/retention-rules.ts";
import { applyAllRetention } from "../src/registry/retention-run.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";

const DAY = 86_400_000;
const NOW = Date.parse("2026-11-23T12:00:00Z");
const FACTS = { time: NOW - 10 * DAY, pulled: undefined, amongLast: false, immutable: undefined, inUse: undefined };
const RELEASE = { ...FACTS, immutable: "release" } as const;

describe("a rule", () => {
  const rule: RetentionRule = { name: "dev", tags: ["*-dev"], keepPushedDays: 7, keepPulledDays: 3 };

  it.each([
    ["goes when nothing keeps it", rule, FACTS, true, "older than 7 days, never pulled"],
    ["stays when it came lately", rule, { ...FACTS, time: NOW - 6 * DAY }, false, "it came within 7 days"],
    ["stays when it was pulled lately", rule, { ...FACTS, pulled: "2026-11-20" }, false, "it was pulled on"],
    ["goes when the last pull is long ago", rule, { ...FACTS, pulled: "2026-11-18" }, true, "last pulled on"],
    [
      "stays when it is one of the newest",
      { ...rule, keepLast: 5 },
      { ...FACTS, amongLast: true },
      false,
      "one of the newest 5",
    ],
    ["stays when it runs", rule, { ...FACTS, inUse: "it runs in production" }, false, "it runs in production"],
    ["stays when it is a release", rule, RELEASE, false, "release tag"],
    ["goes as a release where the rule says so", { ...rule, releases: true as const }, RELEASE, true, "older"],
    [
      "stays when it never moves in its repository",
      rule,
      { ...FACTS, immutable: "setting" },
      false,
      "a tag that never moves here",
    ],
    ["stays when no rule is about it", undefined, FACTS, false, "no rule"],
  ] as const)("%s", (_name, given, facts, goes, why) => {
    const verdict = judge(given === undefined ? undefined : { ...given, tags: [...(given.tags ?? [])] }, facts, NOW);
    expect(verdict.goes).toBe(goes);
    expect(verdict.why).toContain(why);
  });

  it("is about tags by pattern, the first that fits", () => {
    expect(matchesTag("*-dev", "1-dev")).toBe(true);
    expect(matchesTag("*-dev", "dev")).toBe(false);
    expect(matchesTag("v?.*", "v1.2")).toBe(true);
    expect(matchesTag("*", "")).toBe(true);
    const rules: RetentionRule[] = [
      { name: "first", tags: ["1-*"], keepLast: 1 },
      { name: "second", tags: ["*"], keepLast: 1 },
    ];
    expect(ruleOfTag(rules, "1-dev")?.name).toBe("first");
    expect(ruleOfTag(rules, "2-dev")?.name).toBe("second");
  });

  it("matches as a regular expression would, and quickly whatever the pattern", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 12 });
    const glob = fc.string({ unit: fc.constantFrom("a", "b", ".", "*", "?"), maxLength: 8 });
    fc.assert(
      fc.property(glob, text, (pattern, tag) => {
        const source = pattern.replaceAll(".", "\\.").replaceAll(/\*+/g, ".*").replaceAll("?", ".");
        expect(matchesTag(pattern, tag)).toBe(new RegExp(`^${source}$`).test(tag));
      }),
    );
    const began = performance.now();
    expect(matchesTag(`${"*a".repeat(60)}b`, "a".repeat(128))).toBe(false);
    expect(performance.now() - began).toBeLessThan(100);
  });

  it.each([
    ["that keeps nothing in particular", [{ name: "a", tags: ["*"] }]],
    ["about tags and about what has none", [{ name: "a", tags: ["*"], untagged: true, keepPushedDays: 1 }]],
    ["about nothing", [{ name: "a", keepPushedDays: 1 }]],
    [
      "with the name of another",
      [
        { name: "a", tags: ["x"], keepLast: 1 },
        { name: "a", tags: ["y"], keepLast: 1 },
      ],
    ],
    ["with a pattern no tag can match", [{ name: "a", tags: ["a/b"], keepLast: 1 }]],
    ["with a member nobody knows", [{ name: "a", tags: ["*"], keepLast: 1, keepFirst: 1 }]],
  ])("%s is refused", (_name, rules) => {
    expect(retentionRulesSchema.safeParse(rules).success).toBe(false);
  });
});

describe("a repository's rules", () => {
  let instance: Instance;
  const digests = new Map<string, string>();
  const path = "/api/assay/v1/orgs/default/retention";
  const rules = [
    { name: "dev", tags: ["*-dev"], keepLast: 2 },
    { name: "loose", untagged: true, keepPushedDays: 0 },
  ];

  beforeAll(async () => {
    instance = await startInstance();
    for (const tag of ["1-dev", "2-dev", "3-dev", "4-dev", "1.0.0", "latest"]) {
      const { manifest } = await pushImage(instance.url, "default/app", tag, Buffer.from(`layer of ${tag}`));
      digests.set(tag, manifest);
    }
  });

  afterAll(async () => {
    await instance.stop();
  });

  async function ask(method: string, of: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await instance.api(method, `${path}${of}`, body);
    if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body as Record<string, unknown>;
  }

  async function tags(): Promise<string[]> {
    const answer = await fetch(`${instance.url}/v2/default/app/tags/list`, {
      headers: { authorization: `Bearer ${instance.adminToken}` },
    });
    return ((await answer.json()) as { tags: string[] }).tags;
  }

  interface Planned {
    readonly tag: string | null;
    readonly goes: boolean;
    readonly why: string;
  }

  /** All pages of a preview. */
  async function planned(repository: string, given: readonly object[], limit?: number): Promise<Planned[]> {
    const pages: Planned[] = [];
    let from: unknown;
    do {
      const page = await ask("POST", "/preview", {
        repository,
        rules: given,
        ...(limit === undefined ? {} : { limit }),
        ...(from === undefined ? {} : { from }),
      });
      pages.push(...(page["items"] as Planned[]));
      from = page["next"] ?? undefined;
    } while (from !== undefined);
    return pages;
  }

  it("are previewed before they are set: what goes, what stays, and why, page by page", async () => {
    const whole = await planned("app", rules);
    const verdicts = new Map(whole.map((one) => [one.tag, one]));
    // Two tags, and what only they name: it is what the run does.
    expect(whole.flatMap(({ tag, goes }) => (goes ? [tag] : []))).toEqual(["1-dev", "2-dev", null, null]);
    expect(verdicts.get("1-dev")?.why).toBe("not one of the newest 2");
    expect(verdicts.get("4-dev")?.why).toBe("it is one of the newest 2");
    expect(verdicts.get("latest")?.why).toBe("no rule is about it");
    expect(await planned("app", rules, 2)).toEqual(whole);
    expect(await tags()).toHaveLength(6);
    expect(await ask("GET", "?repository=app")).toMatchObject({ version: 0, rules: [] });
  });

  it("are versions, applied by the server under its own name, each deletion with its rule", async () => {
    expect(await ask("PUT", "", { repository: "app", rules })).toMatchObject({ version: 1, setBy: "admin" });
    expect(await ask("PUT", "", { repository: "default/app", rules })).toMatchObject({ version: 1, receipt: null });
    const stale = await instance.api("POST", `${path}/run`, { repository: "app", version: 2 });
    expect(stale).toMatchObject({ status: 409, body: { error: { code: "retention-changed" } } });
    expect(await ask("POST", "/run", { repository: "app", version: 1 })).toEqual({ tags: 2, manifests: 2, next: null });
    expect(await tags()).toEqual(["1.0.0", "3-dev", "4-dev", "latest"]);
    const rows = await instance.reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select(["actor", "bytes"])
      .where("type", "in", ["registry.tag-deleted", "registry.manifest-deleted"])
      .orderBy("sequence")
      .execute();
    expect(rows).toHaveLength(4);
    for (const { actor } of rows) expect(actor).toBe("system:retention");
    const first = JSON.parse(Buffer.from(rows[0]?.bytes ?? []).toString()) as { body: unknown };
    expect(first.body).toMatchObject({
      tag: "1-dev",
      reason: "retention rule dev (version 1): not one of the newest 2",
    });
    expect(await ask("POST", "/run", { repository: "app", version: 1 })).toEqual({ tags: 0, manifests: 0, next: null });
  });

  it("are applied to what is there in the moment of the deletion, by nobody else, and not where it is in use", async () => {
    const apply = (credential: "system" | "admin-token", names: string[]) =>
      instance.record.append({
        type: "registry.apply-retention",
        org: "default",
        actor: { id: "system:retention", credential: { kind: credential } },
        body: { repository: "default/app", version: 1, tags: names, manifests: [digests.get("latest") ?? ""] },
      });
    expect(await apply("admin-token", ["3-dev"])).toMatchObject({ ok: false, refusal: { code: "forbidden" } });
    // A plan that is out of date deletes nothing that the rules keep now.
    const applied = await apply("system", ["3-dev", "4-dev", "1.0.0", "latest", "gone-dev"]);
    expect(applied).toMatchObject({ ok: true, results: [{ tags: 0, manifests: 0 }] });
    await ask("PUT", "", { repository: "app", rules: [{ name: "dev", tags: ["*-dev"], keepLast: 0 }] });
    const { record, reader } = instance;
    const running = digests.get("3-dev") ?? "";
    const inUse = async () => new Map([[running, "it runs in production"]]);
    await applyAllRetention({ record, reader, inUse }, async () => undefined);
    expect(await tags()).toEqual(["1.0.0", "3-dev", "latest"]);
    expect((await currentRetention(reader, "default/app"))?.version).toBe(2);
  });

  it("keep tags that never move in their repository, go along to its other name, and come back with it; what they delete can come back", async () => {
    const push = (repository: string, tag: string) =>
      pushImage(instance.url, `default/${repository}`, tag, Buffer.from(`layer of ${repository} ${tag}`));
    const own = "/api/assay/v1/orgs/default";
    const named = async (repository: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${instance.adminToken}` };
      const answer = await fetch(`${instance.url}/v2/default/${repository}/tags/list`, { headers });
      return ((await answer.json()) as { tags?: unknown }).tags;
    };
    for (const tag of ["stable", "lts-1", "7-dev"]) await push("fixed", tag);
    await instance.api("PATCH", `${own}/repositories/fixed`, { immutableTags: ["stable", "lts-*"] });
    await ask("PUT", "", { repository: "ahead", rules: [{ name: "none", tags: ["*"], keepLast: 0, releases: true }] });
    await ask("PUT", "", { repository: "fixed", rules: [{ name: "all", tags: ["*"], keepLast: 0 }] });
    const { body } = await instance.api("POST", `${own}/repositories/fixed/rename`, { to: "ahead" });
    expect(body).toMatchObject({ name: "default/ahead" });
    expect(await ask("GET", "?repository=ahead")).toMatchObject({ version: 1, rules: [{ name: "all" }] });
    expect(await ask("GET", "?repository=fixed")).toMatchObject({ version: 0, rules: [] });
    const held = await instance.api("PUT", path, { repository: "fixed", rules });
    expect(held).toMatchObject({ status: 403, body: { error: { code: "repository-name-held" } } });
    const { items } = await ask("POST", "/preview", { repository: "ahead" });
    expect((items as { tag: string; why: string }[]).map(({ tag, why }) => `${tag}: ${why}`)).toEqual([
      "7-dev: not one of the newest 0",
      "lts-1: it is a tag that never moves here",
      "stable: it is a tag that never moves here",
    ]);
    expect(await ask("POST", "/run", { repository: "ahead", version: 1 })).toMatchObject({ tags: 1 });
    const whole = { whole: true, reason: "for a while" };
    const gone = (await instance.api("POST", `${own}/repositories/ahead/deletions`, whole)).body as {
      sequence: number;
    };
    expect(await ask("GET", "?repository=ahead")).toMatchObject({ version: 0 });
    const back = (sequence: number) => instance.api("POST", `${own}/deletions/${sequence}/restore`);
    expect((await back(gone.sequence)).status).toBe(200);
    expect(await ask("GET", "?repository=ahead")).toMatchObject({ version: 1, rules: [{ name: "all" }] });
    const deletions = await instance.api("GET", `${own}/deletions?repository=ahead`);
    const deleted = (deletions.body as { items: { sequence: number; tag: string; reason: string }[] }).items;
    expect(deleted).toMatchObject([
      { tag: "7-dev", reason: "retention rule all (version 1): not one of the newest 0" },
    ]);
    expect((await back(deleted[0]?.sequence ?? 0)).status).toBe(200);
    expect(await named("ahead")).toEqual(["7-dev", "lts-1", "stable"]);
  });

  it("keep what lies under an evidence tag as long as what it is about, and count it among no newest", async () => {
    const other = "/api/assay/v1/orgs/default/retention";
    const images = new Map<string, string>();
    for (const tag of ["a-dev", "b-dev", "c-dev"]) {
      const { manifest } = await pushImage(instance.url, "default/signed", tag, Buffer.from(`layer of ${tag}`));
      images.set(tag, manifest);
      const signature = `${manifest.replace(":", "-")}.sig`;
      await pushImage(instance.url, "default/signed", signature, Buffer.from(`signature of ${tag}`));
    }
    const names = async (): Promise<string[]> => {
      const headers = { authorization: `Bearer ${instance.adminToken}` };
      const answer = await fetch(`${instance.url}/v2/default/signed/tags/list`, { headers });
      const { tags } = (await answer.json()) as { tags: string[] };
      return tags.map(
        (tag) => [...images].find(([, digest]) => tag.startsWith(digest.replace(":", "-")))?.[0] ?? `${tag}!`,
      );
    };
    const rules = [
      { name: "all", tags: ["*"], keepLast: 2 },
      { name: "loose", untagged: true, keepPushedDays: 0 },
    ];
    const items = await planned("signed", rules);
    expect(items.filter(({ goes }) => goes).map(({ tag }) => tag)).toEqual(["a-dev", null]);
    const signed = items.filter(({ tag }) => tag?.endsWith(".sig"));
    expect(signed.map(({ why }) => why.startsWith("it is evidence about sha256:"))).toEqual([true, true, true]);
    await instance.api("PUT", other, { repository: "signed", rules });
    const run = async (): Promise<unknown> =>
      (await instance.api("POST", `${other}/run`, { repository: "signed", version: 1 })).body;
    expect(await run()).toMatchObject({ tags: 1, manifests: 1 });
    expect((await names()).toSorted()).toEqual(["a-dev", "b-dev", "b-dev!", "c-dev", "c-dev!"]);
    // When what it is about is gone, it goes as the rules have it.
    await run();
    await run();
    expect((await names()).toSorted()).toEqual(["b-dev", "b-dev!", "c-dev", "c-dev!"]);
  });

  it("keep what clients ask for and have already: that it has not changed is an answer to a pull", async () => {
    const { manifest } = await pushImage(instance.url, "default/cached", "1-dev", Buffer.from("cached everywhere"));
    const headers = { authorization: `Bearer ${instance.adminToken}`, "if-none-match": `"${manifest}"` };
    const answer = await fetch(`${instance.url}/v2/default/cached/manifests/1-dev`, { headers });
    expect(answer.status).toBe(304);
    await instance.restart();
    const pulls = await lastPulls(instance.reader, "default/cached", [manifest]);
    expect([...pulls.keys()]).toEqual([manifest]);
  });

  it("keep what is listed by an index or about a manifest that is here", async () => {
    const other = "/api/assay/v1/orgs/default/retention";
    const image = await pushImage(instance.url, "default/parts", "keep-me", Buffer.from("a part"));
    const headers = { authorization: `Bearer ${instance.adminToken}` };
    const type = "application/vnd.oci.image.index.v1+json";
    const child = await pushImage(instance.url, "default/parts", "child", Buffer.from("a child"));
    const got = await fetch(`${instance.url}/v2/default/parts/manifests/child`, { headers });
    const size = (await got.arrayBuffer()).byteLength;
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      manifests: [{ mediaType: got.headers.get("content-type"), digest: child.manifest, size }],
    });
    const put = await fetch(`${instance.url}/v2/default/parts/manifests/index`, {
      method: "PUT",
      body: index,
      headers: { ...headers, "content-type": type },
    });
    expect(put.status).toBe(201);
    await fetch(`${instance.url}/v2/default/parts/manifests/child`, { method: "DELETE", headers });
    await instance.api("PUT", other, {
      repository: "parts",
      rules: [{ name: "loose", untagged: true, keepPushedDays: 0 }],
    });
    const run = await instance.api("POST", `${other}/run`, { repository: "parts", version: 1 });
    expect(run.body).toEqual({ tags: 0, manifests: 0, next: null });
    expect((await fetch(`${instance.url}/v2/default/parts/manifests/${child.manifest}`, { headers })).status).toBe(200);
    expect((await fetch(`${instance.url}/v2/default/parts/manifests/${image.manifest}`, { headers })).status).toBe(200);
  });
});
