/**
 * OCI distribution, requirement by requirement, over HTTP: 1.1 and what its main branch adds. Each test's name begins with the section of
 * the standard it is from, and the endpoint. What the standard leaves open is in the other registry suites.
 */
import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ALGORITHMS, Client, descriptor, digest, image, index, NOWHERE } from "./registry-conformance.ts";
import { ociCode, OCI_INDEX, OCI_MANIFEST, openRegistryRoom, type RegistryRoom, sha256 } from "./registry-room.ts";

let room: RegistryRoom;

beforeAll(async () => {
  room = await openRegistryRoom(["acme", "rival"]);
});

afterAll(async () => {
  await room.stop();
});

let repositories = 0;

/** A repository of the test's own. */
function fresh(org = "acme"): Client {
  repositories += 1;
  return new Client(room, `${org}/conformance-${repositories}`);
}

describe("Determining Support", () => {
  test("end-1: GET /v2/ is 200", async () => {
    expect((await room.call("GET", "/v2/")).status).toBe(200);
  });
});

describe.each(ALGORITHMS)("Pull, by %s", (algorithm) => {
  test("Pulling manifests, end-3: 200, the exact bytes, the type they were pushed as, Docker-Content-Digest", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    const name = digest(algorithm, manifest);
    const answer = await client.call("GET", `manifests/${name}`);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(manifest);
    expect(answer.headers["content-type"]).toBe(OCI_MANIFEST);
    expect(answer.headers["docker-content-digest"]).toBe(name);
  });

  test("Pulling manifests, end-3: what is not there is 404", async () => {
    const client = fresh();
    expect(ociCode(await client.call("GET", `manifests/${NOWHERE[algorithm]}`))).toBe("MANIFEST_UNKNOWN");
    await client.image(algorithm, "a");
    expect((await client.call("GET", `manifests/${NOWHERE[algorithm]}`)).status).toBe(404);
  });

  test("Pulling blobs, end-2: 200, the bytes, Docker-Content-Digest of the body", async () => {
    const client = fresh();
    await client.blobs(algorithm, "bytes");
    const answer = await client.call("GET", `blobs/${digest(algorithm, "bytes")}`);
    expect(answer.status).toBe(200);
    expect(answer.text).toBe("bytes");
    expect(answer.headers["docker-content-digest"]).toBe(digest(algorithm, "bytes"));
  });

  test("Pulling blobs, end-2: what is not there is 404", async () => {
    expect(ociCode(await fresh().call("GET", `blobs/${NOWHERE[algorithm]}`))).toBe("BLOB_UNKNOWN");
  });

  test("Pulling blobs, end-2: ranges (RFC 9110 §14)", async () => {
    const client = fresh();
    await client.blobs(algorithm, "0123456789");
    const path = `blobs/${digest(algorithm, "0123456789")}`;
    for (const [range, text, where] of [
      ["2-5", "2345", "bytes 2-5/10"],
      ["7-", "789", "bytes 7-9/10"],
      ["-3", "789", "bytes 7-9/10"],
      ["8-20", "89", "bytes 8-9/10"],
    ] as const) {
      const answer = await client.call("GET", path, { headers: { range: `bytes=${range}` } });
      expect([answer.status, answer.text, answer.headers["content-range"]]).toEqual([206, text, where]);
    }
    for (const range of ["5-0", "10-20"]) {
      expect((await client.call("GET", path, { headers: { range: `bytes=${range}` } })).status).toBe(416);
    }
  });

  test("Checking if content exists, end-2 and end-3: HEAD is 200 with digest and length; 404 without", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    for (const [path, bytes] of [
      [`manifests/${digest(algorithm, manifest)}`, manifest],
      [`blobs/${digest(algorithm, "layer of a")}`, "layer of a"],
    ] as const) {
      const answer = await client.call("HEAD", path);
      expect(answer.status).toBe(200);
      expect(answer.headers["docker-content-digest"]).toBe(digest(algorithm, bytes));
      expect(answer.headers["content-length"]).toBe(String(bytes.length));
      expect(answer.text).toBe("");
    }
    for (const kind of ["manifests", "blobs"]) {
      expect((await client.call("HEAD", `${kind}/${NOWHERE[algorithm]}`)).status).toBe(404);
    }
  });
});

describe.each(ALGORITHMS)("Pushing blobs, by %s", (algorithm) => {
  test.each(["", "{}", "some bytes"])("POST then PUT, end-4a and end-6: %j is stored and pullable", async (bytes) => {
    const client = fresh();
    const name = digest(algorithm, bytes);
    const location = await client.open();
    expect(location).toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/);
    const closed = await client.close(location, name, bytes);
    expect(closed.status).toBe(201);
    expect(closed.headers["docker-content-digest"]).toBe(name);
    expect((await room.call("GET", String(closed.headers["location"]))).text).toBe(bytes);
  });

  test("Single POST, end-4b: 201, a pullable Location, Docker-Content-Digest", async () => {
    const client = fresh();
    const name = digest(algorithm, "one request");
    const answer = await client.call("POST", `blobs/uploads/?digest=${name}`, { body: "one request" });
    expect(answer.status).toBe(201);
    expect(answer.headers["docker-content-digest"]).toBe(name);
    expect((await room.call("GET", String(answer.headers["location"]))).text).toBe("one request");
  });

  test.each(["", "?digest-algorithm=sha256", "?digest-algorithm=sha512"])(
    "Pushing a blob in chunks, end-4a%s, end-5, end-6: in order, the last by PATCH or in the closing PUT",
    async (query) => {
      for (const inPut of [false, true]) {
        const client = fresh();
        const bytes = randomBytes(3000);
        let location = await client.open(query);
        for (const start of inPut ? [0, 1000] : [0, 1000, 2000]) {
          const answer = await client.patch(location, bytes.subarray(start, start + 1000), start);
          expect(answer.status).toBe(202);
          expect(answer.headers["range"]).toBe(`0-${start + 999}`);
          location = String(answer.headers["location"]);
        }
        const name = digest(algorithm, bytes);
        const closed = inPut
          ? await client.close(location, name, bytes.subarray(2000), 2000)
          : await client.close(location, name);
        expect(closed.status).toBe(201);
        expect(closed.headers["docker-content-digest"]).toBe(name);
        expect((await client.call("GET", `blobs/${name}`)).bytes.equals(bytes)).toBe(true);
      }
    },
  );

  test("Pushing a blob in chunks, end-4c: a session goes on after a restart, whatever was said at its start", async () => {
    const client = fresh();
    const location = await client.open(`?digest-algorithm=${algorithm}`);
    expect((await client.patch(location, "before ", 0)).status).toBe(202);
    await room.restart();
    expect((await client.patch(location, "after", 7)).status).toBe(202);
    expect((await client.close(location, digest(algorithm, "before after"))).status).toBe(201);
  });

  test("Pushing a blob in chunks, end-5, end-6, end-13: out of order is 416; GET says where to go on", async () => {
    const client = fresh();
    const location = await client.open();
    expect((await client.patch(location, "0123", 0)).status).toBe(202);
    expect((await client.patch(location, "89", 8)).status).toBe(416);
    expect((await client.patch(location, "0123", 0)).status).toBe(416);
    expect((await client.close(location, digest(algorithm, "0123456789"), "89", 8)).status).toBe(416);
    const status = await room.call("GET", location);
    expect([status.status, status.headers["range"]]).toEqual([204, "0-3"]);
    const next = String(status.headers["location"]);
    expect((await client.patch(next, "456789", 4)).status).toBe(202);
    expect((await client.close(next, digest(algorithm, "0123456789"))).status).toBe(201);
  });

  test("Pushing blobs: one long chunk of unknown length, as clients stream", async () => {
    const client = fresh();
    const location = await client.open();
    const body = Readable.from([Buffer.from("streamed "), Buffer.from("bytes")]);
    expect((await room.call("PATCH", location, { body })).status).toBe(202);
    expect((await client.close(location, digest(algorithm, "streamed bytes"))).status).toBe(201);
  });

  test("Pushing blobs: a digest that is not the content's is 400, in every way of pushing, and nothing is stored", async () => {
    const client = fresh();
    const name = digest(algorithm, "what was promised");
    const answers = [
      await client.call("POST", `blobs/uploads/?digest=${name}`, { body: "what came" }),
      await client.close(await client.open(), name, "what came"),
    ];
    const location = await client.open();
    await client.patch(location, "what ", 0);
    answers.push(await client.close(location, name, "came", 5));
    for (const answer of answers) expect([answer.status, ociCode(answer)]).toEqual([400, "DIGEST_INVALID"]);
    for (const bytes of ["what was promised", "what came"]) {
      expect((await client.call("HEAD", `blobs/${digest(algorithm, bytes)}`)).status).toBe(404);
    }
  });

  test("Cancel a blob upload, end-14: 204, and the session is gone", async () => {
    const client = fresh();
    const location = await client.open(`?digest-algorithm=${algorithm}`);
    await client.patch(location, "bytes", 0);
    expect((await room.call("DELETE", location)).status).toBe(204);
    expect((await room.call("GET", location)).status).toBe(404);
    expect((await client.close(location, digest(algorithm, "bytes"))).status).toBe(404);
  });

  test("Mounting a blob, end-11: 201 and a pullable Location; what is not there is 202, to be uploaded", async () => {
    const source = fresh();
    const target = fresh();
    await source.blobs(algorithm, "mounted");
    const name = digest(algorithm, "mounted");
    const query = (what: string) => `blobs/uploads/?mount=${what}&from=${encodeURIComponent(source.repository)}`;
    const mounted = await target.call("POST", query(name));
    expect(mounted.status).toBe(201);
    expect(mounted.headers["docker-content-digest"]).toBe(name);
    expect((await room.call("GET", String(mounted.headers["location"]))).text).toBe("mounted");
    const missing = await target.call("POST", query(NOWHERE[algorithm]));
    expect(missing.status).toBe(202);
    const uploaded = await target.close(String(missing.headers["location"]), digest(algorithm, "then so"), "then so");
    expect(uploaded.status).toBe(201);
  });

  test("Mounting a blob, end-11, without from: found where the caller may pull; else the 202 of an unknown digest", async () => {
    const source = fresh();
    await source.blobs(algorithm, "somewhere");
    await fresh("rival").blobs(algorithm, "a rival's");
    const key = await room.person(`anonymous-${algorithm}`, { acme: "member" });
    const mount = (bytes: string) =>
      fresh().call("POST", `blobs/uploads/?mount=${digest(algorithm, bytes)}`, { as: key });
    const mounted = await mount("somewhere");
    expect(mounted.status).toBe(201);
    expect((await room.call("GET", String(mounted.headers["location"]))).text).toBe("somewhere");
    const theirs = await mount("a rival's");
    const unknown = await mount("nobody's");
    const shape = (answer: typeof theirs) => [answer.status, answer.text, Object.keys(answer.headers).toSorted()];
    expect(theirs.status).toBe(202);
    expect(shape(theirs)).toEqual(shape(unknown));
  });

  test("Deleting blobs, end-10: 202 and gone from that repository at once; again it is 404", async () => {
    const source = fresh();
    const target = fresh();
    await source.blobs(algorithm, "shared");
    const name = digest(algorithm, "shared");
    await target.call("POST", `blobs/uploads/?mount=${name}&from=${source.repository}`);
    expect((await target.call("DELETE", `blobs/${name}`)).status).toBe(202);
    expect((await target.call("HEAD", `blobs/${name}`)).status).toBe(404);
    expect((await target.call("DELETE", `blobs/${name}`)).status).toBe(404);
    expect((await source.call("HEAD", `blobs/${name}`)).status).toBe(200);
  });
});

describe("Pushing blobs", () => {
  test("an algorithm that is not supported is 400, in every way of pushing", async () => {
    const client = fresh();
    const name = `sha384:${"a".repeat(96)}`;
    const answers = [
      await client.call("POST", `blobs/uploads/?digest=${name}`, { body: "x" }),
      await client.call("POST", "blobs/uploads/?digest-algorithm=sha384"),
      await client.call("POST", `blobs/uploads/?mount=${name}`),
      await client.close(await client.open(), name, "x"),
    ];
    for (const answer of answers) expect([answer.status, ociCode(answer)]).toEqual([400, "UNSUPPORTED"]);
  });

  test.each(["sha256:baddigeststring", `sha512:${"a".repeat(64)}`, `sha512:${"A".repeat(128)}`, "sha512", ":"])(
    "%s is no digest: 400",
    async (name) => {
      const client = fresh();
      expect((await client.call("POST", `blobs/uploads/?digest=${name}`, { body: "x" })).status).toBe(400);
      expect((await client.call("GET", `blobs/${name}`)).status).toBe(400);
    },
  );
});

describe.each(ALGORITHMS)("Pushing manifests, by %s", (algorithm) => {
  test("end-7a: 201, a pullable Location, Docker-Content-Digest as the client named it", async () => {
    const client = fresh();
    await client.blobs(algorithm, "c", "l");
    const manifest = image(algorithm, "c", ["l"], { "org.example.unknown": { kept: ["as", "it", "is"] } });
    const name = digest(algorithm, manifest);
    const pushed = await client.put(name, manifest);
    expect(pushed.status).toBe(201);
    expect(pushed.headers["docker-content-digest"]).toBe(name);
    expect((await room.call("GET", String(pushed.headers["location"]))).text).toBe(manifest);
  });

  test("end-7a: a digest that is not the content's is 400", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    const answer = await client.put(digest(algorithm, manifest), `${manifest} `);
    expect([answer.status, ociCode(answer)]).toEqual([400, "DIGEST_INVALID"]);
  });

  test("end-7b: ten tags in one push, each in OCI-Tag, each pulled under the digest it was set by", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    const name = digest(algorithm, manifest);
    const tags = Array.from({ length: 10 }, (_, at) => `tag-${at}`);
    const pushed = await client.put(`${name}?${tags.map((tag) => `tag=${tag}`).join("&")}`, manifest);
    expect(pushed.status).toBe(201);
    expect(pushed.headers["oci-tag"]?.split(", ").toSorted()).toEqual(tags);
    for (const tag of tags) {
      const pulled = await client.call("HEAD", `manifests/${tag}`);
      expect([pulled.status, pulled.headers["docker-content-digest"]]).toEqual([200, name]);
    }
  });

  test("end-7b: more tags than are taken is 414, and sets none", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    const query = Array.from({ length: 100 }, (_, at) => `tag=t${at}`).join("&");
    expect((await client.put(`${digest(algorithm, manifest)}?${query}`, manifest)).status).toBe(414);
    expect((await client.call("GET", "tags/list")).json["tags"]).toEqual([]);
  });

  test("an index of indexes of images, everything named by one algorithm, comes back whole", async () => {
    const client = fresh();
    const manifests = [await client.image(algorithm, "a"), await client.image(algorithm, "b")];
    const inner = index(algorithm, manifests);
    expect((await client.put(digest(algorithm, inner), inner, OCI_INDEX)).status).toBe(201);
    const entry = descriptor(algorithm, inner, OCI_INDEX);
    const outer = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] });
    expect((await client.put(digest(algorithm, outer), outer, OCI_INDEX)).status).toBe(201);
    for (const [bytes, type] of [
      [outer, OCI_INDEX],
      [inner, OCI_INDEX],
      [manifests[0] ?? "", OCI_MANIFEST],
    ] as const) {
      const answer = await client.call("GET", `manifests/${digest(algorithm, bytes)}`);
      expect([answer.text, answer.headers["content-type"]]).toEqual([bytes, type]);
    }
  });

  test("a descriptor that names nothing here is MANIFEST_BLOB_UNKNOWN", async () => {
    const client = fresh();
    await client.blobs(algorithm, "c");
    const answer = await client.put("latest", image(algorithm, "c", ["not pushed"]));
    expect(ociCode(answer)).toBe("MANIFEST_BLOB_UNKNOWN");
    const over = await client.put("latest", index(algorithm, ["not pushed"]), OCI_INDEX);
    expect(ociCode(over)).toBe("MANIFEST_BLOB_UNKNOWN");
  });

  test("embedded data must be what the digest says", async () => {
    const client = fresh();
    await client.blobs(algorithm, "{}", "[]");
    const data = (text: string) => ({ ...descriptor(algorithm, "{}", "application/json"), data: btoa(text) });
    const manifest = (text: string) => image(algorithm, "{}", [], { config: data(text) });
    expect((await client.put("good", manifest("{}"))).status).toBe(201);
    expect(ociCode(await client.put("bad", manifest("[]")))).toBe("MANIFEST_INVALID");
  });

  test("4 MiB of manifest are taken, more is 413", async () => {
    const client = fresh();
    await client.blobs(algorithm, "c");
    const sized = (bytes: number) => {
      const bare = image(algorithm, "c", [], { annotations: { a: "" } });
      return image(algorithm, "c", [], { annotations: { a: "x".repeat(bytes - bare.length) } });
    };
    const most = sized(4 * 1024 * 1024);
    expect((await client.put(digest(algorithm, most), most)).status).toBe(201);
    expect((await client.call("GET", `manifests/${digest(algorithm, most)}`)).text).toBe(most);
    const more = sized(4 * 1024 * 1024 + 1);
    expect((await client.put(digest(algorithm, more), more)).status).toBe(413);
  });

  test("Deleting tags, end-9: 202, the tag is 404, the manifest stays", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    const name = digest(algorithm, manifest);
    await client.put(`${name}?tag=gone`, manifest);
    expect((await client.call("DELETE", "manifests/gone")).status).toBe(202);
    expect((await client.call("GET", "manifests/gone")).status).toBe(404);
    expect((await client.call("GET", `manifests/${name}`)).status).toBe(200);
  });

  test("Deleting manifests, end-9: 202, the digest and every tag on it are 404; again it is 404", async () => {
    const client = fresh();
    const manifest = await client.image(algorithm, "a");
    const name = digest(algorithm, manifest);
    await client.put(`${name}?tag=one&tag=two`, manifest);
    expect((await client.call("DELETE", `manifests/${name}`)).status).toBe(202);
    for (const reference of [name, "one", "two"]) {
      expect((await client.call("HEAD", `manifests/${reference}`)).status).toBe(404);
    }
    expect((await client.call("DELETE", `manifests/${name}`)).status).toBe(404);
    expect((await client.call("DELETE", `blobs/${digest(algorithm, "layer of a")}`)).status).toBe(202);
    expect((await client.put(name, manifest)).status).toBe(404);
  });

  test("Pushing Manifests with Subject: OCI-Subject, whether the subject is there or not", async () => {
    const client = fresh();
    const about = await client.image(algorithm, "subject");
    for (const subject of [descriptor(algorithm, about, OCI_MANIFEST), descriptor(algorithm, "none", OCI_MANIFEST)]) {
      await client.blobs(algorithm, "{}");
      const manifest = image(algorithm, "{}", [], { subject });
      const pushed = await client.put(digest(algorithm, manifest), manifest);
      expect(pushed.status).toBe(201);
      expect(pushed.headers["oci-subject"]).toBe(subject["digest"]);
    }
  });

  test("Listing Referrers, end-12: found by the subject's digest, in either order of pushing, with type and annotations", async () => {
    for (const subjectFirst of [true, false]) {
      const client = fresh();
      const about = image(algorithm, "config of s", ["layer of s"]);
      if (subjectFirst) await client.image(algorithm, "s");
      await client.blobs(algorithm, "{}");
      const annotations = { "org.example.note": "n" };
      const subject = descriptor(algorithm, about, OCI_MANIFEST);
      const manifest = image(algorithm, "{}", [], { subject, annotations, artifactType: "application/x.sbom" });
      await client.put(digest(algorithm, manifest), manifest);
      if (!subjectFirst) await client.image(algorithm, "s");
      const answer = await client.call("GET", `referrers/${digest(algorithm, about)}`);
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toBe(OCI_INDEX);
      expect(answer.json["manifests"]).toEqual([
        {
          mediaType: OCI_MANIFEST,
          digest: sha256(manifest),
          size: manifest.length,
          artifactType: "application/x.sbom",
          annotations,
        },
      ]);
      // Under its own name it is the same manifest.
      expect(await client.referrers(sha256(about))).toEqual([sha256(manifest)]);
      const filtered = await client.call(
        "GET",
        `referrers/${digest(algorithm, about)}?artifactType=application/x.other`,
      );
      expect(filtered.headers["oci-filters-applied"]).toBe("artifactType");
      expect(filtered.json["manifests"]).toEqual([]);
      expect(await client.referrers(digest(algorithm, about), "?artifactType=application/x.sbom")).toHaveLength(1);
    }
  });

  test("Listing Referrers, end-12: 200 with an empty index for what nobody is about; 400 for what is no digest", async () => {
    const client = fresh();
    expect(await client.referrers(NOWHERE[algorithm])).toEqual([]);
    expect((await client.call("GET", `referrers/${algorithm}:nothex`)).status).toBe(400);
  });
});

describe("Content Discovery", () => {
  test("Listing Tags, end-8a and end-8b: in order, by pages, n=0 is empty without a Link, last is exclusive", async () => {
    const client = fresh();
    const manifest = await client.image("sha256", "a");
    const tags = ["a", "b", "c", "d"];
    await client.put(`${sha256(manifest)}?${tags.map((tag) => `tag=${tag}`).join("&")}`, manifest);
    const list = async (query: string) => {
      const answer = await client.call("GET", `tags/list${query}`);
      expect(answer.status).toBe(200);
      return [answer.json["tags"], answer.headers["link"] !== undefined];
    };
    expect(await list("")).toEqual([tags, false]);
    expect(await list("?n=2")).toEqual([["a", "b"], true]);
    expect(await list("?n=2&last=b")).toEqual([["c", "d"], false]);
    expect(await list("?last=a")).toEqual([["b", "c", "d"], false]);
    expect(await list("?n=0")).toEqual([[], false]);
  });

  test("Listing Tags, end-8a: of a repository that does not exist is 404", async () => {
    expect(ociCode(await fresh().call("GET", "tags/list"))).toBe("NAME_UNKNOWN");
  });
});

describe("Registry Proxying", () => {
  test("a ns parameter changes nothing: this registry scopes no request by it", async () => {
    const client = fresh();
    const manifest = await client.image("sha256", "a");
    const answer = await client.call("GET", `manifests/${sha256(manifest)}?ns=docker.io`);
    expect([answer.status, answer.headers["oci-namespace"]]).toEqual([200, undefined]);
  });
});

describe("Referrers Tag Schema", () => {
  test("a client without the referrers API may keep its list under the fallback tag, of either algorithm, and move it", async () => {
    const client = fresh();
    const [first, second] = [await client.image("sha256", "a"), await client.image("sha256", "b")];
    for (const tag of [NOWHERE.sha256, NOWHERE.sha512].map((name) => name.replace(":", "-").slice(0, 7 + 64))) {
      for (const list of [index("sha256", [first]), index("sha256", [first, second])]) {
        expect((await client.put(tag, list, OCI_INDEX)).status).toBe(201);
        expect((await client.call("GET", `manifests/${tag}`)).text).toBe(list);
      }
    }
  });
});

describe("Error Codes", () => {
  test.each([
    ["GET", `blobs/${NOWHERE.sha256}`, 404, "BLOB_UNKNOWN"],
    ["PUT", "blobs/uploads/00000000-0000-4000-8000-000000000000?digest=sha256:a", 400, "DIGEST_INVALID"],
    ["GET", "blobs/uploads/00000000-0000-4000-8000-000000000000", 404, "BLOB_UPLOAD_UNKNOWN"],
    ["GET", "blobs/sha256:a", 400, "DIGEST_INVALID"],
    ["PUT", "manifests/latest", 400, "MANIFEST_INVALID"],
    ["GET", "manifests/latest", 404, "MANIFEST_UNKNOWN"],
    ["GET", "tags/list", 404, "NAME_UNKNOWN"],
    ["GET", "manifests/.no-tag", 404, "MANIFEST_UNKNOWN"],
    ["PUT", "manifests/.no-tag", 400, "MANIFEST_INVALID"],
    ["PATCH", "manifests/latest", 405, "UNSUPPORTED"],
    ["GET", "UPPER/tags/list", 400, "NAME_INVALID"],
  ])("%s %s is %i %s, in the standard's form", async (method, rest, status, code) => {
    const answer = await fresh().call(method, rest, method === "GET" ? {} : { body: "{}" });
    expect(answer.status).toBe(status);
    expect(answer.headers["content-type"]).toBe("application/json");
    const { errors } = answer.json as { errors: { code: string; message: string }[] };
    expect(errors.map((error) => error.code)).toEqual([code]);
    expect(errors[0]?.message).not.toBe("");
  });

  test("UNAUTHORIZED without credentials, DENIED without the right, NAME_UNKNOWN where nothing is to be seen", async () => {
    const client = fresh();
    await client.image("sha256", "a");
    const reader = await room.person("code-reader", { acme: "reader" });
    const stranger = await room.person("code-stranger", { rival: "admin" });
    const codes = [null, reader, stranger].map(async (as) => {
      const answer = await client.call("POST", "blobs/uploads/", { as });
      return [answer.status, ociCode(answer)];
    });
    expect(await Promise.all(codes)).toEqual([
      [401, "UNAUTHORIZED"],
      [403, "DENIED"],
      [404, "NAME_UNKNOWN"],
    ]);
  });
});

describe("Mounting with a registry token", () => {
  test("one that does not reach the source is told the scope it lacks; one for somebody who may not pull there is not", async () => {
    const source = fresh();
    const target = fresh();
    await source.blobs("sha256", "across");
    const key = await room.person("mounter", { acme: "member" });
    const token = async (scope: string): Promise<string> => {
      const basic = `Basic ${Buffer.from(`mounter:${key}`).toString("base64")}`;
      const query = `service=registry.test:8443&scope=${encodeURIComponent(scope)}`;
      const answer = await room.call("GET", `/v2/token?${query}`, { as: null, headers: { authorization: basic } });
      return (answer.json as { token: string }).token;
    };
    const own = `repository:${target.repository}:pull,push`;
    const mount = (from: string, as: string) =>
      target.call("POST", `blobs/uploads/?mount=${sha256("across")}&from=${from}`, { as });
    const refused = await mount(source.repository, await token(own));
    expect(refused.status).toBe(401);
    const wanted = `${own} repository:${source.repository}:pull`;
    expect(refused.headers["www-authenticate"]).toContain(`scope="${wanted}"`);
    expect((await mount(source.repository, await token(wanted))).status).toBe(201);
    expect((await mount("rival/anything", await token(own))).status).toBe(202);
  });
});
