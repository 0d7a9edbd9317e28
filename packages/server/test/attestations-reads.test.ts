/** Evidence as others read it: GitHub's shape, files beside a file, and everything about a digest in one file. */
import {
  digestOf,
  nobleCrypto,
  parseReceipt,
  parseTrustFile,
  parseVkey,
  receiptTime,
  utf8Encode,
  verify,
  verifyReceipt,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { artifact, attest, makeKey, opened, openRoom, PROVENANCE, type Room, signBytes } from "./evidence-room.ts";

let room: Room;
const key = makeKey();
let outsider: { token: string };

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
  outsider = await room.person("rita", "rival", "admin");
});
afterAll(() => room.stop());

async function get(path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(new URL(path, room.instance.url), {
    headers: { authorization: `Bearer ${room.instance.adminToken}`, ...headers },
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

async function json<T>(
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: T }> {
  const { text, ...rest } = await get(path, headers);
  return { ...rest, body: JSON.parse(text) as T };
}

const as = (token: string, scheme = "Bearer"): Record<string, string> => ({ authorization: `${scheme} ${token}` });

async function bare(subject: ReturnType<typeof artifact>): Promise<string> {
  return JSON.stringify(opened(await attest(key, subject))["dsseEnvelope"]);
}

interface GithubAnswer {
  readonly attestations: { bundle: unknown; repository_id: number; bundle_url: string; initiator: string }[];
  readonly message?: string;
}

function linked(headers: Headers, rel: string): string | undefined {
  return new RegExp(`<([^>]*)>; rel="${rel}"`).exec(headers.get("link") ?? "")?.[1];
}

describe("GitHub's attestations", () => {
  it("are the bundles about a digest, newest first, and say how much is left out", async () => {
    const subject = artifact("github");
    const [first, second] = [await attest(key, subject), await attest(key, subject, PROVENANCE)];
    await room.post("acme", first, "app");
    await room.post("acme", second, "lib");
    await room.call("POST", "/orgs/acme/attestations", { bundle: await bare(subject) });
    const { status, headers, body } = await json<GithubAnswer>(`/orgs/acme/attestations/${subject}`);
    expect(status).toBe(200);
    expect(body.attestations).toMatchObject([
      { bundle: opened(second), bundle_url: "", initiator: "admin" },
      { bundle: opened(first) },
    ]);
    expect(new Set(body.attestations.map(({ repository_id }) => repository_id)).size).toBe(2);
    expect(headers.get("assay-left-out")).toBe("1");
    const ofOne = await json<GithubAnswer>(`/repos/acme/app/attestations/${subject}`);
    expect(ofOne.body.attestations).toMatchObject([{ bundle: opened(first) }]);
    const ofType = await json<GithubAnswer>(`/orgs/acme/attestations/${subject}?predicate_type=provenance`);
    expect(ofType.body.attestations).toMatchObject([{ bundle: opened(second) }]);
    const ofNone = await json<GithubAnswer>(`/orgs/acme/attestations/${subject}?predicate_type=https://x.example/none`);
    expect(ofNone.body.attestations).toEqual([]);
  });

  it("go on by links, both ways", async () => {
    const subject = artifact("github pages");
    for (let n = 0; n < 5; n++) await room.post("acme", await attest(key, subject, `https://example.com/${n}`));
    const types = (body: GithubAnswer): string[] =>
      body.attestations.map(({ bundle }) => {
        const { payload } = (bundle as { dsseEnvelope: { payload: string } }).dsseEnvelope;
        return (JSON.parse(Buffer.from(payload, "base64").toString()) as { predicateType: string }).predicateType.slice(
          -1,
        );
      });
    const first = await json<GithubAnswer>(`/orgs/acme/attestations/${subject}?per_page=2`);
    expect([types(first.body), linked(first.headers, "prev")]).toEqual([["4", "3"], undefined]);
    const second = await json<GithubAnswer>(pathOf(linked(first.headers, "next")));
    expect(types(second.body)).toEqual(["2", "1"]);
    const third = await json<GithubAnswer>(pathOf(linked(second.headers, "next")));
    expect([types(third.body), linked(third.headers, "next")]).toEqual([["0"], undefined]);
    const back = await json<GithubAnswer>(pathOf(linked(third.headers, "prev")));
    expect(types(back.body)).toEqual(["2", "1"]);
    const start = await json<GithubAnswer>(pathOf(linked(back.headers, "prev")));
    expect([types(start.body), linked(start.headers, "prev")]).toEqual([["4", "3"], undefined]);
  });

  function pathOf(url: string | undefined): string {
    if (url === undefined) throw new Error("no link");
    const { pathname, search } = new URL(url);
    return `${pathname}${search}`;
  }

  it("answer GitHub's own scheme of authentication, and errors in GitHub's form", async () => {
    const subject = artifact("github scheme");
    const path = `/orgs/acme/attestations/${subject}`;
    expect((await json(path, as(room.instance.adminToken, "token"))).status).toBe(200);
    const nobody = await json<GithubAnswer>(path, { authorization: "token wrong" });
    expect([nobody.status, typeof nobody.body.message]).toEqual([401, "string"]);
    const both = await json<GithubAnswer>(`${path}?after=a&before=b`);
    expect([both.status, typeof both.body.message]).toEqual([400, "string"]);
    for (const wrong of [`${path}?per_page=0`, `${path}?after=zzz`, "/orgs/acme/attestations/latest"]) {
      const answer = await json<GithubAnswer>(wrong);
      expect([answer.status, typeof answer.body.message]).toEqual([400, "string"]);
    }
  });
});

describe("files beside a file", () => {
  it(".intoto.jsonl has every signed statement as it was given", async () => {
    const file = utf8Encode("a file with statements");
    const subject = digestOf(nodeCrypto, file);
    const bundle = await attest(key, subject, PROVENANCE);
    const envelope = await bare(subject);
    await room.post("acme", bundle);
    await room.call("POST", "/orgs/acme/attestations", { bundle: envelope });
    await room.post("acme", await signBytes(key, file));
    const { status, headers, text } = await get(`/api/assay/v1/orgs/acme/artifacts/${subject}/app.tar.gz.intoto.jsonl`);
    expect(status).toBe(200);
    expect(text).toBe(`${Buffer.from(bundle).toString()}\n${envelope}\n`);
    expect(headers.get("content-disposition")).toContain("app.tar.gz.intoto.jsonl");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });

  it(".sigstore.json is the newest bundle that signs the file, else the newest", async () => {
    const file = utf8Encode("a file with a signature");
    const subject = digestOf(nodeCrypto, file);
    const path = `/api/assay/v1/orgs/acme/artifacts/${subject}/app.sigstore.json`;
    expect((await get(path)).status).toBe(404);
    const statement = await attest(key, subject, PROVENANCE);
    await room.post("acme", statement);
    expect((await get(path)).text).toBe(Buffer.from(statement).toString());
    const signature = await signBytes(key, file);
    await room.post("acme", signature);
    await room.post("acme", await attest(key, subject, "https://example.com/later"));
    expect((await get(path)).text).toBe(Buffer.from(signature).toString());
  });

  it("have no other names, and lead nowhere else", async () => {
    const subject = artifact("names");
    for (const name of [
      "app.json",
      "..%2Fapp.sigstore.json",
      "a%00.sigstore.json",
      `${"x".repeat(5_000)}.sigstore.json`,
    ]) {
      const { status } = await get(`/api/assay/v1/orgs/acme/artifacts/${subject}/${name}`);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
    }
  });
});

describe("everything about a digest in one file", () => {
  it("verifies elsewhere, with nothing but what is in it", async () => {
    const subject = artifact("everything");
    await room.post("acme", await attest(key, subject));
    await room.call("POST", "/orgs/acme/attestations", { bundle: await bare(subject) });
    await room.call("POST", "/orgs/acme/reports", { subject, predicateType: "https://example.com/r", predicate: {} });
    await room.instance.published();
    interface Export {
      readonly subject: string;
      readonly trust: unknown;
      readonly pieces: { evidence: string; form: string; bytes: string; receipt: unknown; sequence: number }[];
      readonly next: null;
    }
    const { status, body } = await json<Export>(`/api/assay/v1/orgs/acme/artifacts/${subject}/export`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ subject, next: null, mediaType: "application/vnd.assay.artifact-export.v1+json" });
    expect(body.pieces.map(({ form }) => form)).toEqual(["dsse", "dsse", "report"]);
    const trust = parseTrustFile(utf8Encode(JSON.stringify(body.trust)));
    for (const piece of body.pieces) {
      const bytes = new Uint8Array(Buffer.from(piece.bytes, "base64"));
      expect(digestOf(nodeCrypto, bytes)).toBe(piece.evidence);
      const receipt = await verifyReceipt(nobleCrypto, parseReceipt(piece.receipt as never), trust.logs.map(parseVkey));
      expect(receipt.sequence).toBe(piece.sequence);
      if (piece.form === "report") continue;
      const time = receiptTime(receipt, digestOf(nodeCrypto, bytes));
      const verdict = await verify(nobleCrypto, {
        bundle: bytes,
        artifact: subject,
        trust,
        times: time === undefined ? [] : [time],
      });
      expect(verdict).toMatchObject({ status: "verified", signer: { name: "release" } });
    }
  });
});

it("two tenants see nothing of each other's through any of these doors", async () => {
  const subject = artifact("tenants read");
  await room.post("acme", await attest(key, subject), "app");
  for (const org of ["acme", "nowhere"]) {
    for (const path of [
      `/orgs/${org}/attestations/${subject}`,
      `/repos/${org}/app/attestations/${subject}`,
      `/api/assay/v1/orgs/${org}/artifacts/${subject}/a.intoto.jsonl`,
      `/api/assay/v1/orgs/${org}/artifacts/${subject}/a.sigstore.json`,
      `/api/assay/v1/orgs/${org}/artifacts/${subject}/export`,
    ]) {
      const answer = await json<{ error?: { code: string }; code?: string }>(path, as(outsider.token));
      expect([path, answer.status, answer.body.error?.code ?? answer.body.code]).toEqual([path, 404, "org-unknown"]);
    }
  }
  const own = await json<GithubAnswer>(`/orgs/rival/attestations/${subject}`, as(outsider.token));
  expect(own.body.attestations).toEqual([]);
});

it("somebody with a role in one repository sees what was given to it, and nothing else", async () => {
  const subject = artifact("one repository");
  const [seen, hidden] = [
    await attest(key, subject, "https://example.com/seen"),
    await attest(key, subject, "https://example.com/hidden"),
  ];
  await room.post("acme", seen, "open");
  await room.post("acme", hidden, "closed");
  const someone = await room.person("sam", "rival", "reader");
  const granted = await room.call("PUT", "/orgs/acme/repository-roles/person/sam", {
    repository: "acme/open",
    role: "reader",
  });
  if (granted.status >= 300) throw new Error(JSON.stringify(granted.body));
  const list = await room.call("GET", `/orgs/acme/attestations/${subject}`, undefined, someone.token);
  expect(list.body.items.map(({ predicateType }) => predicateType)).toEqual(["https://example.com/seen"]);
  const search = await room.call("GET", `/orgs/acme/evidence?subject=${subject}`, undefined, someone.token);
  expect(search.body.items).toHaveLength(1);
  const github = await json<GithubAnswer>(`/orgs/acme/attestations/${subject}`, as(someone.token));
  expect([github.body.attestations.length, github.headers.get("assay-left-out")]).toEqual([1, null]);
  const unseen = digestOf(nodeCrypto, hidden);
  expect(await room.refusal("GET", `/orgs/acme/evidence/${unseen}`, undefined, someone.token)).toBe(
    "404 evidence-unknown",
  );
  expect((await get(`/api/assay/v1/orgs/acme/attestations.jsonl`, as(someone.token))).text).not.toContain("hidden");
});
