import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ReferrerPages } from "../src/registry/referrer-pages.ts";
import { ADMIN } from "./core.ts";
import {
  ADMIN_TOKEN,
  imageManifest,
  OCI_INDEX,
  OCI_MANIFEST,
  ociCode,
  openRegistryRoom,
  PUBLIC_URL,
  type RegistryRoom,
  rows,
  sha256,
} from "./registry-room.ts";
import { BLOB_STORE, withRawBlobs } from "./stored-blobs.ts";

let room: RegistryRoom;

beforeAll(async () => {
  room = await openRegistryRoom(["acme", "rival"]);
});

afterAll(async () => {
  await room.stop();
});

function put(repository: string, reference: string, body: string | Uint8Array, type = OCI_MANIFEST, as?: string) {
  return room.call("PUT", `/v2/${repository}/manifests/${reference}`, {
    body,
    headers: { "content-type": type },
    ...(as === undefined ? {} : { as }),
  });
}

describe("the door", () => {
  test("asks for authentication at /v2/, always, and says where tokens are", async () => {
    for (const path of ["/v2/", "/v2", "/v2/acme/app/tags/list", "/v2/nothing", "/v2/UPPER/tags/list"]) {
      const answer = await room.call("GET", path, { as: null });
      expect(answer.status).toBe(401);
      expect(ociCode(answer)).toBe("UNAUTHORIZED");
      expect(answer.headers["www-authenticate"]).toContain(`Bearer realm="${PUBLIC_URL}/v2/token"`);
    }
    const wrong = await room.call("GET", "/v2/", { as: "wrong-token-of-nobody" });
    expect(wrong.status).toBe(401);
    expect(wrong.headers["www-authenticate"]).toContain('error="invalid_token"');
    const good = await room.call("GET", "/v2/");
    expect(good.status).toBe(200);
    expect(good.headers["docker-distribution-api-version"]).toBe("registry/2.0");
  });

  test.each([
    ["GET", "/v2/acme/app/manifests/latest", "repository:acme/app:pull"],
    ["PUT", "/v2/acme/app/manifests/latest", "repository:acme/app:pull,push"],
    ["POST", "/v2/app/blobs/uploads/", "repository:app:pull,push"],
    ["DELETE", "/v2/acme/app/manifests/latest", "repository:acme/app:delete"],
    ["GET", "/v2/_catalog", "registry:catalog:*"],
  ])("a 401 to %s %s asks for the scope %s", async (method, path, scope) => {
    const answer = await room.call(method, path, { as: null });
    expect(answer.headers["www-authenticate"]).toContain(`scope="${scope}"`);
  });

  test("a registry token does what it was asked for, and is told the scope it lacks", async () => {
    await room.pushImage("acme/tokens", "latest");
    const issued = await room.call("GET", "/v2/token?service=registry.test%3A8443&scope=repository:acme/tokens:pull");
    const { token } = issued.json as { token: string };
    expect((await room.call("GET", "/v2/acme/tokens/manifests/latest", { as: token })).status).toBe(200);
    const push = await room.call("POST", "/v2/acme/tokens/blobs/uploads/", { as: token });
    expect(push.status).toBe(401);
    expect(push.headers["www-authenticate"]).toContain(
      'scope="repository:acme/tokens:pull,push",error="insufficient_scope"',
    );
    expect((await room.call("GET", "/v2/acme/other/tags/list", { as: token })).status).toBe(401);
  });

  test.each([
    ["GET", "/v2/acme/app", 404, "UNSUPPORTED"],
    ["POST", "/v2/", 405, "UNSUPPORTED"],
    ["POST", "/v2/acme/app/manifests/latest", 405, "UNSUPPORTED"],
    ["PUT", `/v2/acme/app/blobs/${sha256("x")}`, 405, "UNSUPPORTED"],
    ["OPTIONS", "/v2/acme/app/tags/list", 404, "UNSUPPORTED"],
    ["GET", "/v2/Acme/app/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/acme//app/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/acme/app-/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/acme/../rival/tags/list", 400, "NAME_INVALID"],
    ["GET", `/v2/acme/${"a".repeat(300)}/tags/list`, 400, "NAME_INVALID"],
    ["GET", "/v2/nobody/app/tags/list", 404, "NAME_UNKNOWN"],
    ["GET", "/v2/acme/none/tags/list", 404, "NAME_UNKNOWN"],
    ["GET", "/v2/acme/app/tags/list?n=-1", 400, "UNSUPPORTED"],
    ["GET", "/v2/acme/app/tags/list?n=x", 400, "UNSUPPORTED"],
    ["GET", "/v2/acme/app/referrers/sha256:x", 400, "DIGEST_INVALID"],
    ["GET", "/v2/acme/app/manifests/none", 404, "MANIFEST_UNKNOWN"],
    ["GET", `/v2/acme/app/manifests/${sha256("none")}`, 404, "MANIFEST_UNKNOWN"],
    ["GET", "/v2/acme/app/manifests/sha256:x", 400, "DIGEST_INVALID"],
    ["GET", `/v2/acme/app/manifests/${"a".repeat(200)}`, 404, "MANIFEST_UNKNOWN"],
    ["GET", `/v2/acme/app/blobs/${sha256("none")}`, 404, "BLOB_UNKNOWN"],
    ["GET", "/v2/acme/app/blobs/sha256:x", 400, "DIGEST_INVALID"],
    ["DELETE", `/v2/acme/app/blobs/${sha256("none")}`, 404, "BLOB_UNKNOWN"],
    ["DELETE", "/v2/acme/app/manifests/none", 404, "MANIFEST_UNKNOWN"],
    ["POST", "/v2/acme/app/blobs/uploads/?mount=nonsense", 400, "DIGEST_INVALID"],
  ])("%s %s is %d %s", async (method, path, status, code) => {
    const answer = await room.call(method, path);
    expect(answer.status).toBe(status);
    expect(ociCode(answer)).toBe(code);
    expect(answer.headers["content-type"]).toBe("application/json");
  });

  test("a path that is no valid percent-encoding is refused in the door's form", async () => {
    const answer = await room.call("GET", "/v2/acme/%ff/tags/list");
    expect(answer.status).toBe(400);
    expect(ociCode(answer)).toBe("UNSUPPORTED");
  });

  test("HEAD of what is not there is 404 without a body", async () => {
    const answer = await room.call("HEAD", "/v2/acme/app/manifests/none");
    expect(answer.status).toBe(404);
    expect(answer.bytes).toHaveLength(0);
  });

  test("a content type out of grammar is refused in the door's form", async () => {
    const answer = await put("acme/app", "latest", "{}", "///;;nonsense");
    expect(answer.status).toBe(415);
    expect(ociCode(answer)).toBe("UNSUPPORTED");
  });
});

describe("blobs", () => {
  const bytes = randomBytes(5000);
  const path = `/v2/acme/blobs-room/blobs/${sha256(bytes)}`;

  beforeAll(async () => {
    await room.pushBlob("acme/blobs-room", bytes);
  });

  test("HEAD and GET say what they are, and that a browser must not run them", async () => {
    for (const method of ["HEAD", "GET"]) {
      const answer = await room.call(method, path);
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        "content-length": "5000",
        "docker-content-digest": sha256(bytes),
        etag: `"${sha256(bytes)}"`,
        "accept-ranges": "bytes",
        "content-type": "application/octet-stream",
        "x-content-type-options": "nosniff",
        "content-disposition": "attachment",
        "content-security-policy": "sandbox",
      });
      expect(answer.bytes.equals(method === "HEAD" ? Buffer.alloc(0) : bytes)).toBe(true);
    }
  });

  test("requests sent at once on a connection are answered in order, and hold one open file at a time", async () => {
    const large = randomBytes(8_000_000);
    const digest = await room.pushBlob("acme/blobs-room", large);
    const open = vi.spyOn(room.blobs, "open");
    const request = `GET /v2/acme/blobs-room/blobs/${digest} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${ADMIN_TOKEN}\r\n`;
    const socket = connect(room.port, "127.0.0.1", () => {
      socket.write(`${request}\r\n`.repeat(3) + `${request}connection: close\r\n\r\n`);
    });
    const chunks: Buffer[] = [];
    await new Promise((resolve) => socket.once("readable", resolve));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(open).toHaveBeenCalledTimes(1);
    for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString("latin1").split(large.toString("latin1"))).toHaveLength(5);
    open.mockRestore();
  });

  test("a blob that grew is not sent past what was announced, and nothing of one that shrank is sent", async () => {
    const pull = async (content: string, stored: string) => {
      const digest = await room.pushBlob("acme/blobs-room", content);
      await withRawBlobs(room.directory, (raw) => raw.write(digest, Buffer.from(stored)));
      const head = `GET /v2/acme/blobs-room/blobs/${digest} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${ADMIN_TOKEN}\r\n`;
      const socket = connect(room.port, "127.0.0.1", () => {
        // The connection would stay open for the second, and does when the first was sent whole.
        socket.write(`${head}\r\n`);
        setTimeout(() => socket.write(`${head}range: bytes=0-0\r\nconnection: close\r\n\r\n`), 200);
      });
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      socket.on("error", () => undefined);
      await new Promise((resolve) => socket.once("close", resolve));
      return text.split("\r\n\r\n").slice(1);
    };
    const grown = await pull("the blob", "the blobHTTP/1.1 200 OK\r\n\r\n");
    expect(grown[0]).toMatch(/^the blobHTTP\/1\.1 206 /);
    expect(grown.slice(1)).toEqual(["t"]);
    const shrunk = await pull("another blob", "ano");
    // A file is found short while it is sent, an object before: then there is an answer that says so.
    expect(shrunk[0] ?? "").toMatch(BLOB_STORE === "directory" ? /^$/ : /^\{"errors":/);
  });

  test.each([
    ["bytes=0-0", 0, 1],
    ["bytes=100-199", 100, 200],
    ["bytes=4990-", 4990, 5000],
    ["bytes=-10", 4990, 5000],
    ["bytes=4000-9999", 4000, 5000],
  ])("%s gives that part", async (range, start, end) => {
    const answer = await room.call("GET", path, { headers: { range } });
    expect(answer.status).toBe(206);
    expect(answer.headers["content-range"]).toBe(`bytes ${start}-${end - 1}/5000`);
    expect(answer.headers["content-length"]).toBe(String(end - start));
    expect(answer.bytes.equals(bytes.subarray(start, end))).toBe(true);
  });

  test.each(["bytes=500-0", "bytes=5000-", "bytes=-0", "bytes=x"])("%s is 416", async (range) => {
    const answer = await room.call("GET", path, { headers: { range } });
    expect(answer.status).toBe(416);
    expect(answer.headers["content-range"]).toBe("bytes */5000");
    expect(ociCode(answer)).toBe("SIZE_INVALID");
  });

  test("validators: the same bytes are not sent again, and a range of other bytes is not given", async () => {
    const etag = `"${sha256(bytes)}"`;
    expect((await room.call("GET", path, { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await room.call("GET", path, { headers: { "if-range": etag, range: "bytes=0-0" } })).status).toBe(206);
    expect((await room.call("GET", path, { headers: { "if-range": '"other"', range: "bytes=0-0" } })).status).toBe(200);
  });

  test("mounting takes a blob along without its bytes", async () => {
    const answer = await room.call(
      "POST",
      `/v2/acme/mounted/blobs/uploads/?mount=${sha256(bytes)}&from=acme%2Fblobs-room&origin=elsewhere.test`,
    );
    expect(answer.status).toBe(201);
    expect(answer.headers["location"]).toBe(`${PUBLIC_URL}/v2/acme/mounted/blobs/${sha256(bytes)}`);
    expect((await room.call("GET", `/v2/acme/mounted/blobs/${sha256(bytes)}`)).bytes.equals(bytes)).toBe(true);
  });

  test("what cannot be mounted is to be uploaded", async () => {
    for (const query of [
      `mount=${sha256("none")}&from=acme/blobs-room`,
      `mount=${sha256(bytes)}&from=acme/none`,
      `mount=${sha256(bytes)}&from=nobody/x`,
      `mount=${sha256(bytes)}&from=NOT%20A%20NAME`,
      `mount=${sha256("none")}`,
    ]) {
      const answer = await room.call("POST", `/v2/acme/mounted-2/blobs/uploads/?${query}`);
      expect(answer.status, query).toBe(202);
      expect(answer.headers["location"]).toContain("/v2/acme/mounted-2/blobs/uploads/");
    }
  });

  test("deleting takes a blob out of one repository at once, and out of no other", async () => {
    const digest = await room.pushBlob("acme/delete-a", "to be deleted");
    await room.call("POST", `/v2/acme/delete-b/blobs/uploads/?mount=${digest}&from=acme/delete-a`);
    expect((await room.call("DELETE", `/v2/acme/delete-a/blobs/${digest}`)).status).toBe(202);
    expect((await room.call("GET", `/v2/acme/delete-a/blobs/${digest}`)).status).toBe(404);
    expect((await room.call("GET", `/v2/acme/delete-b/blobs/${digest}`)).status).toBe(200);
  });

  test("what a manifest needs is not deleted; without the manifest it is", async () => {
    const image = await room.pushImage("acme/delete-c", "latest");
    const refused = await room.call("DELETE", `/v2/acme/delete-c/blobs/${image.layer}`);
    expect(refused.status).toBe(405);
    expect(ociCode(refused)).toBe("UNSUPPORTED");
    expect((await room.call("DELETE", `/v2/acme/delete-c/manifests/${image.digest}`)).status).toBe(202);
    expect((await room.call("DELETE", `/v2/acme/delete-c/blobs/${image.layer}`)).status).toBe(202);
    expect((await room.call("HEAD", `/v2/acme/delete-c/blobs/${image.layer}`)).status).toBe(404);
  });
});

describe("manifests", () => {
  test("come back byte for byte, by tag and by digest, as the type they were pushed as", async () => {
    await room.pushBlob("acme/exact", "{}");
    const bytes = `  ${imageManifest("{}", [], { "org.example.unknown": { n: 1.0e2 }, layers: [] })}\n\n`;
    const pushed = await put("acme/exact", "latest", bytes, `${OCI_MANIFEST}; charset=utf-8`);
    expect(pushed.status).toBe(201);
    const digest = sha256(bytes);
    expect(pushed.headers["location"]).toBe(`${PUBLIC_URL}/v2/acme/exact/manifests/${digest}`);
    expect(pushed.headers["docker-content-digest"]).toBe(digest);
    expect(Number(pushed.headers["assay-sequence"])).toBeGreaterThan(0);
    for (const reference of ["latest", digest]) {
      for (const method of ["GET", "HEAD"]) {
        const answer = await room.call(method, `/v2/acme/exact/manifests/${reference}`);
        expect(answer.status).toBe(200);
        expect(answer.headers).toMatchObject({
          "content-type": OCI_MANIFEST,
          "docker-content-digest": digest,
          "content-length": String(Buffer.byteLength(bytes)),
          "x-content-type-options": "nosniff",
        });
        expect(answer.text).toBe(method === "GET" ? bytes : "");
      }
    }
  });

  test("by digest must have that digest", async () => {
    await room.pushBlob("acme/by-digest", "{}");
    const bytes = imageManifest("{}", []);
    const wrong = await put("acme/by-digest", sha256("other"), bytes);
    expect(wrong.status).toBe(400);
    expect(ociCode(wrong)).toBe("DIGEST_INVALID");
    expect((await put("acme/by-digest", "sha256:baddigeststring", bytes)).status).toBe(400);
    expect((await put("acme/by-digest", sha256(bytes), bytes)).status).toBe(201);
    const tagged = await room.call("PUT", `/v2/acme/by-digest/manifests/${sha256(bytes)}?tag=a&tag=b`, {
      body: bytes,
      headers: { "content-type": OCI_MANIFEST },
    });
    expect(tagged.headers["oci-tag"]).toBe("a, b");
    expect((await room.call("GET", "/v2/acme/by-digest/tags/list")).json["tags"]).toEqual(["a", "b"]);
  });

  test("need what they name in their own repository", async () => {
    await room.pushBlob("acme/needs", "{}");
    await room.pushBlob("acme/elsewhere", "far layer");
    const bytes = imageManifest("{}", ["far layer"]);
    const refused = await put("acme/needs", "latest", bytes);
    expect(refused.status).toBe(404);
    expect(ociCode(refused)).toBe("MANIFEST_BLOB_UNKNOWN");
    expect(await room.blobs.size(sha256(bytes) as never)).toBeUndefined();
    await room.pushBlob("acme/needs", "far layer");
    expect((await put("acme/needs", "latest", bytes)).status).toBe(201);
  });

  test("must state the sizes of what they name", async () => {
    await room.pushBlob("acme/sizes", "{}");
    const bytes = imageManifest("{}", []).replace('"size":2', '"size":3');
    const answer = await put("acme/sizes", "latest", bytes);
    expect(ociCode(answer)).toBe("MANIFEST_INVALID");
  });

  test("may lack layers from elsewhere and their subject, but naming bytes makes them nobody's", async () => {
    const secret = await room.pushBlob("rival/secret", "secret of rival");
    await room.pushBlob("acme/foreign", "{}");
    const layer = { mediaType: "application/x", digest: secret, size: 15, urls: ["https://example.test/layer"] };
    const subject = { mediaType: OCI_MANIFEST, digest: sha256("no such manifest"), size: 7 };
    const bytes = imageManifest("{}", [], { layers: [layer], subject });
    const pushed = await put("acme/foreign", "latest", bytes);
    expect(pushed.status).toBe(201);
    expect(pushed.headers["oci-subject"]).toBe(subject.digest);
    expect((await room.call("GET", `/v2/acme/foreign/blobs/${secret}`)).status).toBe(404);
    expect(room.pushed.at(-1)?.layers).toEqual([]);
    const plain = imageManifest("{}", ["secret of rival"]);
    expect(ociCode(await put("acme/foreign", "plain", plain))).toBe("MANIFEST_BLOB_UNKNOWN");
  });

  test("an index lists manifests of its repository", async () => {
    const image = await room.pushImage("acme/index", "child");
    const entry = { mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.length };
    const index = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] });
    expect((await put("acme/index", "all", index, OCI_INDEX)).status).toBe(201);
    const broken = index.replace(image.digest, sha256("none"));
    expect(ociCode(await put("acme/index", "broken", broken, OCI_INDEX))).toBe("MANIFEST_BLOB_UNKNOWN");
    expect((await room.call("GET", `/v2/acme/index/blobs/${image.digest}`)).status).toBe(404);
  });

  test("the same push again is a success, and no event", async () => {
    const first = await room.pushImage("acme/again", "latest");
    const before = (await room.events()).length;
    const again = await put("acme/again", "latest", first.bytes);
    expect(again.status).toBe(201);
    expect(Number(again.headers["assay-sequence"])).toBeGreaterThan(0);
    expect(await room.events()).toHaveLength(before);
    const other = await put(
      "acme/again",
      "latest",
      first.bytes,
      "application/vnd.docker.distribution.manifest.v2+json",
    );
    expect(ociCode(other)).toBe("MANIFEST_INVALID");
  });

  test("too large is 413, whether announced or streamed, and nothing is stored", async () => {
    const body = Buffer.alloc(5 * 1024 * 1024, 0x20);
    const answer = await put("acme/large", "latest", body);
    expect(answer.status).toBe(413);
    expect(ociCode(answer)).toBe("SIZE_INVALID");
    const { Readable } = await import("node:stream");
    const streamed = await room.call("PUT", "/v2/acme/large/manifests/latest", {
      body: Readable.from([body.subarray(0, 3_000_000), body.subarray(3_000_000)]),
      headers: { "content-type": OCI_MANIFEST },
    });
    expect(streamed.status).toBe(413);
    expect((await room.call("GET", "/v2/acme/large/tags/list")).status).toBe(404);
  });

  test.each([
    ["deep JSON", `${"[".repeat(100)}${"]".repeat(100)}`, OCI_MANIFEST],
    ["__proto__", '{"schemaVersion":2,"__proto__":{"x":1}}', OCI_MANIFEST],
    ["no JSON", "hello", OCI_MANIFEST],
    ["an empty body", "", OCI_MANIFEST],
    ["a type that is none of a manifest", "<html></html>", "text/html"],
    [
      "schema 1",
      '{"schemaVersion":1,"name":"x","tag":"y","fsLayers":[]}',
      "application/vnd.docker.distribution.manifest.v1+json",
    ],
  ])("%s is refused, and nothing is stored", async (_what, body, type) => {
    const before = (await room.events()).length;
    const answer = await put("acme/bad", "latest", body, type);
    expect(answer.status).toBe(400);
    expect(ociCode(answer)).toBe("MANIFEST_INVALID");
    expect(await room.blobs.size(sha256(body) as never)).toBeUndefined();
    expect(await room.events()).toHaveLength(before);
  });

  test("deleting by tag takes the tag, by digest the manifest and all its tags", async () => {
    const image = await room.pushImage("acme/delete", "one");
    await put("acme/delete", "two", image.bytes);
    const untag = await room.call("DELETE", "/v2/acme/delete/manifests/one");
    expect(untag.status).toBe(202);
    expect(Number(untag.headers["assay-sequence"])).toBeGreaterThan(0);
    expect((await room.call("GET", "/v2/acme/delete/manifests/one")).status).toBe(404);
    expect((await room.call("GET", "/v2/acme/delete/manifests/two")).status).toBe(200);
    expect((await room.call("DELETE", `/v2/acme/delete/manifests/${image.digest}`)).status).toBe(202);
    expect((await room.call("GET", "/v2/acme/delete/manifests/two")).status).toBe(404);
    expect((await room.call("GET", `/v2/acme/delete/manifests/${image.digest}`)).status).toBe(404);
    expect((await room.call("GET", "/v2/acme/delete/tags/list")).json["tags"]).toEqual([]);
    await room.pushImage("acme/delete", "one", "layer of one");
    expect((await room.call("GET", "/v2/acme/delete/manifests/one")).status).toBe(200);
  });

  test("what comes with a push is recorded with it or not at all", async () => {
    await room.pushBlob("acme/companions", "{}");
    const bytes = imageManifest("{}", []);
    room.companions = async (push) => [
      {
        type: "registry.delete-tag",
        org: push.org,
        actor: push.actor,
        body: { repository: push.repository, tag: "none" },
      },
    ];
    const refused = await put("acme/companions", "latest", bytes);
    expect(refused.status).toBe(404);
    room.companions = async () => [];
    expect((await room.call("GET", "/v2/acme/companions/manifests/latest")).status).toBe(404);
    expect((await put("acme/companions", "latest", bytes)).status).toBe(201);
    expect(room.pushed.at(-1)).toMatchObject({
      repository: "acme/companions",
      digest: sha256(bytes),
      tags: ["latest"],
    });
  });
});

describe("lists", () => {
  test("tags come in byte order and by pages", async () => {
    const image = await room.pushImage("acme/tags", "b");
    for (const tag of ["a", "B", "c", "_x"]) await put("acme/tags", tag, image.bytes);
    const whole = await room.call("GET", "/v2/acme/tags/tags/list");
    expect(whole.json).toEqual({ name: "acme/tags", tags: ["B", "_x", "a", "b", "c"] });
    const seen: unknown[] = [];
    let path: string | undefined = "/v2/acme/tags/tags/list?n=2";
    while (path !== undefined) {
      const page = await room.call("GET", path);
      seen.push(...(page.json["tags"] as unknown[]));
      path = /^<(.*)>; rel="next"$/.exec(page.headers["link"] ?? "")?.[1];
    }
    expect(seen).toEqual(whole.json["tags"]);
    const none = await room.call("GET", "/v2/acme/tags/tags/list?n=0");
    expect(none.json["tags"]).toEqual([]);
    expect(none.headers["link"]).toBeUndefined();
    expect((await room.call("GET", "/v2/acme/tags/tags/list?last=a")).json["tags"]).toEqual(["b", "c"]);
    expect((await room.call("GET", "/v2/acme/tags/tags/list?n=5")).headers["link"]).toBeUndefined();
  });

  test("referrers show type and annotations, and can be filtered", async () => {
    const image = await room.pushImage("acme/refs", "latest");
    const empty = await room.call("GET", `/v2/acme/refs/referrers/${sha256("nothing")}`);
    expect(empty.status).toBe(200);
    expect(empty.headers["content-type"]).toBe(OCI_INDEX);
    expect(empty.json).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
    expect((await room.call("GET", `/v2/acme/never-pushed/referrers/${image.digest}`)).status).toBe(200);

    const subject = { mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.length };
    const signature = imageManifest("{}", [], {
      subject,
      artifactType: "application/x.sig",
      annotations: { k: "v", constructor: "c" },
    });
    const untyped = imageManifest("{}", [], { subject });
    const index = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], subject });
    const pushed = await put("acme/refs", sha256(signature), signature);
    expect(pushed.headers["oci-subject"]).toBe(image.digest);
    await put("acme/refs", sha256(untyped), untyped);
    await put("acme/refs", sha256(index), index, OCI_INDEX);

    const all = await room.call("GET", `/v2/acme/refs/referrers/${image.digest}`);
    expect(all.json["manifests"]).toHaveLength(3);
    expect(all.json["manifests"]).toContainEqual({
      mediaType: OCI_MANIFEST,
      digest: sha256(signature),
      size: signature.length,
      artifactType: "application/x.sig",
      annotations: { k: "v", constructor: "c" },
    });
    expect(all.json["manifests"]).toContainEqual({
      mediaType: OCI_MANIFEST,
      digest: sha256(untyped),
      size: untyped.length,
      artifactType: "application/vnd.oci.empty.v1+json",
    });
    expect(all.json["manifests"]).toContainEqual({ mediaType: OCI_INDEX, digest: sha256(index), size: index.length });
    const filtered = await room.call("GET", `/v2/acme/refs/referrers/${image.digest}?artifactType=application/x.sig`);
    expect(filtered.headers["oci-filters-applied"]).toBe("artifactType");
    expect(filtered.json["manifests"]).toHaveLength(1);

    expect((await room.call("DELETE", `/v2/acme/refs/manifests/${sha256(signature)}`)).status).toBe(202);
    expect((await room.call("GET", `/v2/acme/refs/referrers/${image.digest}`)).json["manifests"]).toHaveLength(2);
  });

  test("many referrers come by pages, none twice and none left out", async () => {
    const image = await room.pushImage("acme/many", "latest");
    const subject = { mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.length };
    const expected: string[] = [];
    for (let n = 0; n < 12; n += 1) {
      const bytes = imageManifest("{}", [], { subject, annotations: { n: String(n), big: "x".repeat(250_000) } });
      expected.push(sha256(bytes));
      expect((await put("acme/many", sha256(bytes), bytes)).status).toBe(201);
    }
    const seen: string[] = [];
    let path: string | undefined = `/v2/acme/many/referrers/${image.digest}`;
    let pages = 0;
    while (path !== undefined) {
      const page = await room.call("GET", path);
      seen.push(...(page.json["manifests"] as { digest: string }[]).map((entry) => entry.digest));
      path = /^<(.*)>; rel="next"$/.exec(page.headers["link"] ?? "")?.[1];
      pages += 1;
    }
    expect(pages).toBeGreaterThan(1);
    expect(seen).toEqual(expected.toSorted());
  });

  test("a page of referrers is made once while the record does not grow, and shows what comes and goes at once", async () => {
    const image = await room.pushImage("acme/kept", "latest");
    const subject = { mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.length };
    const about = (n: number) =>
      imageManifest("{}", [], { subject, artifactType: "application/x.sig", annotations: { n: `${n}` } });
    // Two processes, of which neither hears of the other.
    const pages = [new ReferrerPages(room.reader), new ReferrerPages(room.reader)];
    const place = { repository: "acme/kept", subject: image.digest, artifactType: undefined, last: "" };
    const listed = async (): Promise<string[][]> =>
      await Promise.all(
        pages.map(async (kept) => {
          const { bytes } = await kept.read(place);
          const { manifests } = JSON.parse(bytes.toString()) as { manifests: { digest: string }[] };
          return manifests.map(({ digest }) => digest);
        }),
      );
    const there: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      const bytes = about(n);
      expect((await put("acme/kept", sha256(bytes), bytes)).status).toBe(201);
      there.push(sha256(bytes));
      expect(await listed()).toEqual([there.toSorted(), there.toSorted()]);
    }
    const [first] = pages;
    const kept = await first?.read(place);
    expect((await first?.read(place))?.bytes).toBe(kept?.bytes);
    // Another list is another page: nothing of this type, nothing after the last, nothing of a repository with the same manifests.
    for (const other of [
      { ...place, artifactType: "application/x.other" },
      { ...place, last: there.toSorted().at(-1) ?? "" },
      { ...place, repository: "acme/kept-not" },
    ]) {
      expect((await first?.read(other))?.bytes.toString()).toContain('"manifests":[]');
    }
    expect((await room.call("DELETE", `/v2/acme/kept/manifests/${there[1]}`)).status).toBe(202);
    const left = there.filter((digest) => digest !== there[1]).toSorted();
    expect(await listed()).toEqual([left, left]);
    // Many who ask for a page that is not made yet wait for one making.
    const fresh = new ReferrerPages(room.reader);
    const same = await Promise.all(Array.from({ length: 8 }, () => fresh.read(place)));
    expect(new Set(same.map(({ bytes }) => bytes)).size).toBe(1);
  });

  test("a page of referrers that is kept is shown to nobody who may not pull any more", async () => {
    const image = await room.pushImage("acme/shown", "latest");
    const key = await room.person("reader-of-referrers", { acme: "reader" });
    const path = `/v2/acme/shown/referrers/${image.digest}`;
    const about = imageManifest("{}", [], {
      subject: { mediaType: OCI_MANIFEST, digest: image.digest, size: image.bytes.length },
    });
    await put("acme/shown", sha256(about), about);
    for (let twice = 0; twice < 2; twice += 1) {
      expect((await room.call("GET", path, { as: key })).json["manifests"]).toHaveLength(1);
    }
    const gone = await room.writer.append({
      type: "access.revoke-role",
      org: "acme",
      actor: ADMIN,
      body: { principal: "person:reader-of-referrers" },
    });
    expect(gone.ok).toBe(true);
    const refused = await room.call("GET", path, { as: key });
    expect(refused.status).toBe(404);
    expect(refused.text).not.toContain("schemaVersion");
    expect((await room.call("GET", path)).json["manifests"]).toHaveLength(1);
  });

  test("the catalog shows what the caller may pull, by pages", async () => {
    await room.pushImage("rival/hidden", "latest");
    await room.pushImage("single", "latest");
    const bob = await room.person("bob", { acme: "reader" });
    const seen: string[] = [];
    let path: string | undefined = "/v2/_catalog?n=3";
    while (path !== undefined) {
      const page = await room.call("GET", path, { as: bob });
      expect(page.status).toBe(200);
      seen.push(...(page.json["repositories"] as string[]));
      path = /^<(.*)>; rel="next"$/.exec(page.headers["link"] ?? "")?.[1];
    }
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.every((name) => name.startsWith("acme/"))).toBe(true);
    expect(new Set(seen).size).toBe(seen.length);
    const all = (await room.call("GET", "/v2/_catalog")).json["repositories"];
    expect(all).toEqual(expect.arrayContaining(["rival/hidden", "default/single", ...seen]));
  });
});

describe("names and tenants", () => {
  test("one component is a repository of the default organisation, under either name", async () => {
    const image = await room.pushImage("plain", "latest");
    const answer = await room.call("GET", "/v2/default/plain/manifests/latest");
    expect(answer.headers["docker-content-digest"]).toBe(image.digest);
    expect((await room.call("GET", "/v2/plain/tags/list")).json["name"]).toBe("plain");
  });

  test("not there and not yours are one answer", async () => {
    const image = await room.pushImage("rival/app", "latest");
    const eve = await room.person("eve", { acme: "admin" });
    for (const [method, rest] of [
      ["GET", "manifests/latest"],
      ["GET", `manifests/${image.digest}`],
      ["GET", `blobs/${image.layer}`],
      ["GET", "tags/list"],
      ["GET", `referrers/${image.digest}`],
      ["POST", "blobs/uploads/"],
      ["PUT", "manifests/latest"],
      ["DELETE", "manifests/latest"],
    ] as const) {
      const theirs = await room.call(method, `/v2/rival/app/${rest}`, { as: eve });
      const nobodys = await room.call(method, `/v2/nobody/app/${rest}`, { as: eve });
      expect(theirs.status, `${method} ${rest}`).toBe(404);
      expect(ociCode(theirs)).toBe("NAME_UNKNOWN");
      expect(theirs.text.replaceAll("rival", "nobody")).toBe(nobodys.text);
    }
    const mount = await room.call("POST", `/v2/acme/stolen/blobs/uploads/?mount=${image.layer}&from=rival/app`, {
      as: eve,
    });
    expect(mount.status).toBe(202);
    expect((await room.call("HEAD", `/v2/acme/stolen/blobs/${image.layer}`, { as: eve })).status).toBe(404);
  });

  test("roles: a reader pulls, a member pushes, an admin deletes", async () => {
    const image = await room.pushImage("acme/roles", "latest");
    const reader = await room.person("rita", { acme: "reader" });
    const member = await room.person("max", { acme: "member" });
    expect((await room.call("GET", "/v2/acme/roles/manifests/latest", { as: reader })).status).toBe(200);
    const push = await room.call("POST", "/v2/acme/roles/blobs/uploads/", { as: reader });
    expect(push.status).toBe(403);
    expect(ociCode(push)).toBe("DENIED");
    expect((await put("acme/roles", "other", image.bytes, OCI_MANIFEST, member)).status).toBe(201);
    const remove = await room.call("DELETE", "/v2/acme/roles/manifests/latest", { as: member });
    expect(remove.status).toBe(403);
  });

  test("locations never come from the request's host", async () => {
    const answer = await room.call("POST", "/v2/acme/host/blobs/uploads/", {
      headers: { host: "evil.test", "x-forwarded-host": "evil.test", "x-forwarded-proto": "http" },
    });
    expect(answer.headers["location"]).toMatch(new RegExp(`^${PUBLIC_URL}/`));
  });
});

describe("pulls", () => {
  test("are counted per digest, identity and day", async () => {
    const image = await room.pushImage("acme/counted", "latest");
    for (let n = 0; n < 3; n += 1) await room.call("GET", "/v2/acme/counted/manifests/latest");
    await room.call("HEAD", "/v2/acme/counted/manifests/latest");
    await room.restart();
    const counted = (await rows(room, "pull_count")) as { repository: string }[];
    expect(counted.filter((row) => row.repository === "acme/counted")).toEqual([
      expect.objectContaining({
        actor: "admin",
        count: 3,
        day: new Date().toISOString().slice(0, 10),
        digest: image.digest,
      }),
    ]);
  });
});
