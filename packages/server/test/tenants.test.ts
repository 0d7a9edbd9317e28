/**
 * Two tenants at every door: whoever asks for another's thing gets the answer of a thing that is not there, and gives the database no more
 * work. The doors are in doors.ts.
 */
import { randomBytes } from "node:crypto";
import { StatementSync } from "node:sqlite";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { generateApiKey } from "../src/access/api-key.ts";
import { HANDLERS } from "../src/registry/routes.ts";
import { ENGINE } from "./database.ts";
import { type Asked, type Door, DOORS, type Place, REGISTRY_DOORS } from "./doors.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";

let instance: Instance;
/** Admin of acme; and somebody with a role in acme/app only, who is a member there. */
let alice: string;
let bob: string;
/** Another tenant's things; those of a repository that bob does not see; and nobody's. All names are of one length. */
let theirs: Place;
let hidden: Place;
let nobodys: Place;

const hex = (): string => `sha256:${randomBytes(32).toString("hex")}`;

async function call(method: string, path: string, body?: unknown, token?: string): Promise<Record<string, unknown>> {
  const answer = await instance.api(method, path, body, token);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
  return (answer.body ?? {}) as Record<string, unknown>;
}

/** Everything a tenant can have, in one repository of an organisation. */
async function furnish(org: string, repository: string, account: string, policy: string): Promise<Place> {
  const api = "/api/assay/v1";
  const image = await pushImage(instance.url, `${org}/${repository}`, "1.0.0", randomBytes(64));
  await call("POST", `${api}/orgs/${org}/service-accounts`, { name: account });
  const key = await call("POST", `${api}/orgs/${org}/service-accounts/${account}/keys`, { label: "x" });
  await call("POST", `${api}/people`, { name: account });
  const workload = `${account}-wl`;
  await call("PUT", `${api}/orgs/${org}/workload-identities/${workload}`, {
    issuer: "https://ci.example.com",
    audience: "a",
    conditions: [{ claim: "sub", value: "x" }],
    serviceAccount: account,
  });
  const webhook = `${account}-wh`;
  await call("POST", `${api}/orgs/${org}/webhooks`, {
    name: webhook,
    url: "https://hooks.invalid/x",
    kinds: ["decision"],
    repositories: [`${org}/none`],
  });
  const mirror = `${account}-mi`;
  await call("PUT", `${api}/orgs/${org}/mirror`, {
    repository: `${org}/${mirror}`,
    url: "https://registry.invalid/x",
    evidence: false,
  });
  const replication = `${account}-re`;
  await call("PUT", `${api}/orgs/${org}/replications/${replication}`, {
    direction: "pull",
    repositories: [`${org}/none`],
  });
  const report = await call("POST", `${api}/orgs/${org}/reports`, {
    subject: image.manifest,
    predicateType: "https://example.com/r",
    predicate: { secret: org, repository },
    repository,
  });
  await call("PUT", `${api}/orgs/${org}/policies/${policy}`, {
    yaml: `version: 1\nname: ${policy}\nrules:\n  - id: a\n    evidence: { predicateType: 'https://example.com/r', identities: [release] }\n`,
  });
  const decision = await call("POST", `${api}/decisions`, {
    org,
    digest: image.manifest,
    repository,
    policy: { name: policy },
  });
  const opened = await fetch(`${instance.url}/v2/${org}/${repository}/blobs/uploads/`, {
    method: "POST",
    headers: { authorization: `Bearer ${instance.adminToken}` },
  });
  return {
    org,
    repository,
    tag: "1.0.0",
    manifest: image.manifest,
    layer: image.layer,
    evidence: String(report["evidence"]),
    decision: String(decision["id"]),
    sequence: String(report["sequence"]),
    upload: opened.headers.get("docker-upload-uuid") ?? "",
    account,
    key: String(key["id"]),
    entry: "entry-11",
    root: "rootx",
    policy,
    workload,
    webhook,
    mirror,
    replication,
  };
}

beforeAll(async () => {
  instance = await startInstance();
  const api = "/api/assay/v1";
  for (const name of ["acme", "riva"]) await call("POST", `${api}/orgs`, { name });
  for (const name of ["alice", "bob", "carol"]) await call("POST", `${api}/people`, { name });
  alice = String((await call("POST", `${api}/people/alice/keys`, { label: "x" }))["key"]);
  bob = String((await call("POST", `${api}/people/bob/keys`, { label: "x" }))["key"]);
  await call("PUT", `${api}/orgs/acme/members/person/alice`, { role: "admin" });
  await call("PUT", `${api}/orgs/acme/repository-roles/person/bob`, { repository: "acme/app", role: "member" });
  await pushImage(instance.url, "acme/app", "2.0.0", randomBytes(64));
  theirs = await furnish("riva", "zoo", "rob", "pol-a");
  hidden = await furnish("acme", "zip", "rae", "pol-b");
  // The newest event of all, and a number of as many digits that no event will have while this runs.
  let sequence = 0;
  do {
    const made = await call("POST", `${api}/orgs/riva/service-accounts`, { name: `more-${sequence}` });
    sequence = (made["receipt"] as { sequence: number }).sequence;
  } while (String(sequence).length !== String(sequence + 60).length);
  theirs = { ...theirs, sequence: String(sequence) };
  nobodys = {
    org: "ghos",
    repository: "nul",
    tag: "9.0.0",
    manifest: hex(),
    layer: hex(),
    evidence: hex(),
    decision: hex(),
    sequence: String(sequence + 60),
    upload: `${theirs.upload.slice(0, -4)}0000`,
    account: "nil",
    key: generateApiKey().id,
    entry: "entry-99",
    root: "rooty",
    policy: "pol-z",
    workload: "nil-wl",
    webhook: "nil-wh",
    mirror: "nil-mi",
    replication: "nil-re",
  };
}, 120_000);

afterAll(async () => {
  await instance.stop();
});

afterEach(() => {
  vi.restoreAllMocks();
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

async function ask(method: string, { path, json, form, body }: Asked, token: string | undefined): Promise<Answer> {
  const payload =
    json !== undefined
      ? { type: "application/json", text: JSON.stringify(json) }
      : form !== undefined
        ? { type: "application/x-www-form-urlencoded", text: new URLSearchParams(form).toString() }
        : body;
  const response = await fetch(`${instance.url}${path}`, {
    method,
    redirect: "manual",
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(payload === undefined ? {} : { "content-type": payload.type }),
    },
    ...(payload === undefined || method === "GET" || method === "HEAD" ? {} : { body: payload.text }),
  });
  const text = await response.text();
  const headers: Record<string, string> = {};
  for (const [name, value] of response.headers) if (name !== "date") headers[name] = value;
  // All names are of one length, so that a length that differs tells something; where sequences are echoed it may.
  if (method !== "HEAD" && headers["content-length"] === String(Buffer.byteLength(text)))
    delete headers["content-length"];
  return { status: response.status, headers, body: text };
}

/** The answer with each of the place's names, as they are echoed, replaced by what it is a name of. */
function anonymous(answer: Answer, place: Place): unknown {
  const names = Object.entries<string>({ ...place }).toSorted(([, left], [, right]) => right.length - left.length);
  const replace = (text: string): string => {
    let result = text;
    for (const [kind, name] of names) {
      if (kind === "tag" || name === "") continue;
      // File names are made of the digest alone.
      if (name.startsWith("sha256:")) result = result.replaceAll(name.slice("sha256:".length), `<hex of ${kind}>`);
      result = result.replaceAll(
        new RegExp(`(?<![A-Za-z0-9])${name.replaceAll(/[.-]/g, "\\$&")}(?![A-Za-z0-9])`, "g"),
        `<${kind}>`,
      );
    }
    return result;
  };
  return {
    status: answer.status,
    headers: Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, replace(value)])),
    // The newest sequence of all is no tenant's.
    body: replace(answer.body.replaceAll(/"asOf":\d+/g, '"asOf":"now"')),
  };
}

async function expectSameAnswer(
  [method, door]: readonly [string, Extract<Door, { kind: "tenant" | "server" }>],
  token: string | undefined,
  place: Place,
  none: Place,
): Promise<[Answer, Answer]> {
  const there = await ask(method, door.ask(place), token);
  const nowhere = await ask(method, door.ask(none), token);
  expect(anonymous(there, place)).toEqual(anonymous(nowhere, none));
  return [there, nowhere];
}

/** Every door that is asked: those of the table, HEAD where there is one, and the registry's. */
const asked: readonly (readonly [name: string, method: string, door: Door])[] = [
  ...Object.entries(DOORS).map(([name, door]) => [name, name.slice(0, name.indexOf(" ")), door] as const),
  ...Object.entries(REGISTRY_DOORS).map(
    ([name, door]) => [`registry ${name}`, name.slice(name.indexOf(" ") + 1), door] as const,
  ),
];
const tenantDoors = asked.flatMap(([name, method, door]) =>
  door.kind === "tenant" ? [[name, method, door] as const] : [],
);
const borrows = (method: string, door: { readonly borrowed?: boolean }): boolean =>
  door.borrowed ?? ["GET", "HEAD", "DELETE"].includes(method);

describe("the table of doors", () => {
  it("has every route of the application, and no other", () => {
    const routes = instance.routes
      .filter(({ url }) => !url.startsWith("/v2/*") && url !== "/v2/" && url !== "/v2")
      .map(({ method, url }) => `${method} ${url}`);
    const table = new Set(Object.keys(DOORS));
    const covered = (route: string): boolean =>
      table.has(route) || (route.startsWith("HEAD ") && table.has(`GET ${route.slice(5)}`));
    expect(
      [...new Set(routes)].filter((route) => !covered(route)).toSorted(),
      "routes that nobody asks as a stranger: add each to DOORS in packages/server/test/doors.ts, which says how",
    ).toEqual([]);
    const known = new Set(routes);
    expect(
      [...table].filter((route) => !known.has(route)),
      "doors of packages/server/test/doors.ts that are no routes any more",
    ).toEqual([]);
  });

  it("has every path and method of the registry, and no other", () => {
    const registry = Object.entries(HANDLERS).flatMap(([kind, methods]) =>
      Object.keys(methods).map((method) => `${kind} ${method}`),
    );
    expect(
      Object.keys(REGISTRY_DOORS).toSorted(),
      "REGISTRY_DOORS in packages/server/test/doors.ts and HANDLERS in packages/server/src/registry/routes.ts differ",
    ).toEqual(registry.toSorted());
  });
});

describe("what another tenant has is answered as what nobody has:", () => {
  it.each(tenantDoors)("%s", async (_name, method, door) => {
    const [there] = await expectSameAnswer([method, door], alice, theirs, nobodys);
    // 400 would mean that the request was wrong before anybody asked whose it is: give the door a better one in doors.ts.
    expect(there.status, there.body).toBe(404);
  });

  it.each(tenantDoors.filter(([, method, door]) => borrows(method, door)))(
    "%s, asked in one's own organisation",
    async (_name, method, door) => {
      const own = { org: "acme", repository: "app" };
      const [there] = await expectSameAnswer([method, door], alice, { ...theirs, ...own }, { ...nobodys, ...own });
      expect(there.status, there.body).toBeLessThan(500);
    },
  );

  it.each(tenantDoors)("%s, asked by nobody", async (_name, method, door) => {
    const [there] = await expectSameAnswer([method, door], undefined, theirs, nobodys);
    expect(there.status).toBe(401);
  });

  it.each(tenantDoors.filter(([name]) => name.startsWith("GET ")))("%s, by HEAD", async (_name, _method, door) => {
    const [there] = await expectSameAnswer(["HEAD", door], alice, theirs, nobodys);
    expect([there.status, there.body]).toEqual([404, ""]);
  });
});

describe("what lies in a repository that somebody has no role in is answered as what is nowhere:", () => {
  it.each(tenantDoors.filter(([, method, door]) => door.hidden ?? borrows(method, door)))(
    "%s",
    async (_name, method, door) => {
      const [there] = await expectSameAnswer([method, door], bob, hidden, { ...nobodys, org: "acme" });
      expect(there.status, there.body).toBeLessThan(500);
    },
  );
});

describe("what is the bootstrap admin's alone is refused to every other:", () => {
  const serverDoors = asked.flatMap(([name, method, door]) =>
    door.kind === "server" ? [[name, method, door] as const] : [],
  );

  it.each(serverDoors)("%s", async (_name, method, door) => {
    const [mine] = await expectSameAnswer([method, door], alice, theirs, nobodys);
    expect(mine.status, mine.body).toBe(403);
    expect((await ask(method, door.ask(theirs), undefined)).status).toBe(401);
  });
});

describe("the database has no more work with another's than with nobody's", () => {
  /** Statements this process makes while `work` runs. */
  async function statementsOf(work: () => Promise<unknown>): Promise<number> {
    let count = 0;
    const add = (): void => {
      count += 1;
    };
    if (ENGINE === "sqlite") {
      for (const name of ["all", "get", "run", "iterate"] as const) {
        const original = Object.getOwnPropertyDescriptor(StatementSync.prototype, name)?.value as (
          ...given: unknown[]
        ) => unknown;
        vi.spyOn(StatementSync.prototype, name).mockImplementation(function (this: StatementSync, ...given: unknown[]) {
          add();
          return original.apply(this, given);
        } as never);
      }
    } else {
      const original = Object.getOwnPropertyDescriptor(Client.prototype, "query")?.value as (
        ...given: unknown[]
      ) => unknown;
      vi.spyOn(Client.prototype, "query").mockImplementation(function (this: Client, ...given: unknown[]) {
        add();
        return original.apply(this, given);
      } as never);
    }
    await work();
    vi.restoreAllMocks();
    return count;
  }

  /** The least statements each of two requests took in some tries, made in turns: what else the process does meanwhile only adds. */
  async function leastWork(method: string, left: Asked, right: Asked): Promise<[number, number]> {
    let least: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let turn = 0; turn < 3 || (turn < 30 && least[0] !== least[1]); turn += 1) {
      least = [
        Math.min(least[0], await statementsOf(() => ask(method, left, alice))),
        Math.min(least[1], await statementsOf(() => ask(method, right, alice))),
      ];
    }
    return least;
  }

  it("tells what takes more from what takes less", async () => {
    const more = { path: "/api/assay/v1/orgs/acme/members" };
    const [found, absent] = await leastWork("GET", more, { path: "/api/assay/v1/orgs/ghos/members" });
    expect(absent).toBeGreaterThan(1);
    expect(found).toBeGreaterThan(absent);
  });

  it.each(tenantDoors)("%s", async (_name, method, door) => {
    const [another, nobody] = await leastWork(method, door.ask(theirs), door.ask(nobodys));
    expect(another).toBe(nobody);
  });
});

describe("lists", () => {
  it("of organisations show one's own", async () => {
    const { items } = await call("GET", "/api/assay/v1/orgs", undefined, alice);
    expect((items as { name: string }[]).map(({ name }) => name)).toEqual(["acme"]);
  });

  it("of repositories show those one may read, page by page, and say nothing of the others", async () => {
    const pages = async (token: string): Promise<string[]> => {
      const found: string[] = [];
      let next: string | undefined = "/v2/_catalog?n=1";
      while (next !== undefined) {
        const answer: Answer = await ask("GET", { path: next }, token);
        expect(answer.status).toBe(200);
        found.push(...(JSON.parse(answer.body) as { repositories: string[] }).repositories);
        next = /^<([^>]+)>/.exec(answer.headers["link"] ?? "")?.[1];
      }
      return found;
    };
    expect(await pages(alice)).toEqual(["acme/app", "acme/zip"]);
    expect(await pages(bob)).toEqual(["acme/app"]);
    const past = await ask("GET", { path: "/v2/_catalog?last=riva/aaa" }, alice);
    const nowhere = await ask("GET", { path: "/v2/_catalog?last=ghos/aaa" }, alice);
    expect([past.status, JSON.parse(past.body), JSON.parse(nowhere.body)]).toEqual([
      200,
      { repositories: [] },
      { repositories: [] },
    ]);
  });

  it("of decisions and evidence leave out, and do not count, what lies in repositories one has no role in", async () => {
    for (const path of [
      "/api/assay/v1/orgs/acme/decisions?limit=1",
      "/api/assay/v1/orgs/acme/evidence?limit=1&predicateType=https%3A%2F%2Fexample.com%2Fr",
    ]) {
      const seen = await call("GET", path, undefined, bob);
      expect([seen["items"], seen["next"]], path).toEqual([[], null]);
      expect((await call("GET", path, undefined, alice))["items"], path).toHaveLength(1);
    }
  });
});

describe("somebody with a role in one repository only", () => {
  it("works there as others do: pulls, gives evidence, reads it, asks for a decision and finds it", async () => {
    const api = "/api/assay/v1";
    const pulled = await ask("GET", { path: "/v2/acme/app/manifests/2.0.0" }, bob);
    expect(pulled.status).toBe(200);
    const digest = pulled.headers["docker-content-digest"] ?? "";
    const report = { subject: digest, predicateType: "https://example.com/mine", predicate: {}, repository: "app" };
    const given = await call("POST", `${api}/orgs/acme/reports`, report, bob);
    const listed = await call("GET", `${api}/orgs/acme/attestations/${digest}`, undefined, bob);
    expect(listed["items"]).toMatchObject([{ evidence: given["evidence"], repositories: ["acme/app"] }]);
    const asked = { org: "acme", digest, policy: { name: "pol-b" }, repository: "app" };
    const decision = await call("POST", `${api}/decisions`, asked, bob);
    expect(await call("GET", `${api}/decisions/${String(decision["id"])}`, undefined, bob)).toMatchObject({
      org: "acme",
    });
    const { items } = await call("GET", `${api}/orgs/acme/decisions`, undefined, bob);
    expect((items as { id: string }[]).map(({ id }) => id)).toEqual([decision["id"]]);
  });

  it("gives nothing, and decides nothing, for the whole organisation or another repository of it", async () => {
    const api = "/api/assay/v1";
    for (const repository of [undefined, "zip", "nul", "UPPER", "riva/zoo"]) {
      const report = { subject: hidden.manifest, predicateType: "https://example.com/r", predicate: {}, repository };
      const given = await ask("POST", { path: `${api}/orgs/acme/reports`, json: report }, bob);
      const asked = { org: "acme", digest: hidden.manifest, policy: { name: "pol-b" }, repository };
      const decided = await ask("POST", { path: `${api}/decisions`, json: asked }, bob);
      expect([given.status, decided.status], repository ?? "none").toEqual([404, 404]);
      expect(given.body).toContain("org-unknown");
    }
  });
});

describe("a blob's mount", () => {
  async function mount(token: string, into: string, from: string | undefined, digest: string): Promise<unknown> {
    const query = new URLSearchParams({ mount: digest, ...(from === undefined ? {} : { from }) });
    const answer = await ask("POST", { path: `/v2/${into}/blobs/uploads/?${query.toString()}` }, token);
    // The new upload's id is its own.
    const id = answer.headers["docker-upload-uuid"] ?? "no upload";
    return JSON.parse(JSON.stringify(answer).replaceAll(id, "<id>"));
  }

  it("from another tenant's repository is that of an unknown digest: an upload to be made", async () => {
    const unknown = await mount(alice, "acme/app", "acme/app", hex());
    expect(unknown).toMatchObject({ status: 202 });
    for (const [from, digest] of [
      ["riva/zoo", theirs.layer],
      ["riva/zoo", hex()],
      ["ghos/nul", theirs.layer],
      ["acme/app", theirs.layer],
      [undefined, theirs.layer],
      ["riva/../acme/app", theirs.layer],
    ] as const) {
      expect(await mount(alice, "acme/app", from, digest), `${from}`).toEqual(unknown);
    }
    expect(await mount(bob, "acme/app", "acme/zip", hidden.layer)).toEqual(unknown);
    expect(await mount(alice, "acme/app", "acme/zip", hidden.layer)).toMatchObject({ status: 201 });
  });
});

describe("a registry token", () => {
  it("is narrowed alike for another's repository and for nobody's", async () => {
    const access = async (scope: string): Promise<unknown> => {
      const path = `/v2/token?service=${new URL(instance.url).host}&scope=${encodeURIComponent(scope)}`;
      const { token } = JSON.parse((await ask("GET", { path }, alice)).body) as { token: string };
      return (JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { access: unknown }).access;
    };
    expect(await access("repository:riva/zoo:pull,push")).toEqual(await access("repository:ghos/nul:pull,push"));
    expect(await access("repository:acme/app:pull")).toHaveLength(1);
  });
});

describe("an answer to a path that no door takes", () => {
  it.each([
    "/v2/riva/zoo/unknown",
    "/v2/riva/zoo/blobs/sha999:x",
    "/api/assay/v1/orgs/riva/unknown",
    "/v2/riva/zoo/manifests/%zz",
  ])("%s is the same for another's name and for nobody's", async (path) => {
    for (const token of [alice, undefined]) {
      const there = await ask("GET", { path }, token);
      const nowhere = await ask("GET", { path: path.replace("riva/zoo", "ghos/nul").replace("riva", "ghos") }, token);
      expect(anonymous(there, theirs)).toEqual(anonymous(nowhere, nobodys));
    }
  });
});
