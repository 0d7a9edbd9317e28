/** Pulls that are sent to S3 itself: a whole server with its blobs there. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readConfig } from "../src/config.ts";
import { type GatedRoom, openGatedRoom } from "./gated-room.ts";
import { type S3Place, s3Place } from "./s3-place.ts";
import { startS3rver } from "./s3-server.ts";
import { sha256 } from "./pushing.ts";

let place: S3Place;
let room: GatedRoom;
const layer = randomBytes(200_000).toString("latin1");

beforeAll(async () => {
  const server = await startS3rver();
  place = await s3Place(server.location, () => server.stop());
  room = await openGatedRoom({ s3: place.location, blobRedirects: true });
});
afterAll(async () => {
  await room.stop();
  await place.dispose();
});

describe("a pull of a blob that is in S3", () => {
  it("is sent there by a URL that ends soon, names one digest, and makes a download of it", async () => {
    const image = await room.pushImage("acme/far", "1.0.0", layer);
    const sent = await room.pull(`acme/far/blobs/${image.layer}`);
    expect(sent.status).toBe(307);
    expect(sent.bytes.length).toBe(0);
    expect(sent.headers).toMatchObject({ "cache-control": "no-store", "docker-content-digest": image.layer });
    const url = new URL(sent.headers["location"] ?? "");
    const hex = image.layer.slice("sha256:".length);
    expect(url.pathname).toBe(
      `/${place.location.bucket}/${place.location.prefix}/blobs/sha256/${hex.slice(0, 2)}/${hex}`,
    );
    expect(url.origin).toBe(place.location.endpoint);
    const asked = Object.fromEntries(url.searchParams);
    expect(asked).toMatchObject({
      "X-Amz-Expires": "60",
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-SignedHeaders": "host",
      "response-content-type": "application/octet-stream",
      "response-content-disposition": "attachment",
    });
    expect(asked["X-Amz-Signature"]).toMatch(/^[0-9a-f]{64}$/);
    const got = await fetch(url);
    expect(got.status).toBe(200);
    expect(got.headers.get("content-type")).toBe("application/octet-stream");
    expect(got.headers.get("content-disposition")).toBe("attachment");
    expect(sha256(Buffer.from(await got.arrayBuffer()))).toBe(image.layer);
  });

  it("is sent to the generation that is there, after the first one was collected", async () => {
    const bytes = randomBytes(200_000).toString("latin1");
    const image = await room.pushImage("acme/renewed", "1.0.0", bytes);
    const store = await place.open();
    await store.putSmall(Buffer.from(bytes), 1);
    await store.remove(image.layer, 0);
    const sent = await room.pull(`acme/renewed/blobs/${image.layer}`);
    expect(sent.status).toBe(307);
    const url = new URL(sent.headers["location"] ?? "");
    expect(url.pathname.endsWith(`/${image.layer.slice("sha256:".length)}_1`), url.pathname).toBe(true);
    const got = await fetch(url);
    expect(got.status).toBe(200);
    expect(sha256(Buffer.from(await got.arrayBuffer()))).toBe(image.layer);
  });

  it.each<[string, { method?: string; headers?: Record<string, string> }, number]>([
    ["HEAD", { method: "HEAD" }, 200],
    ["a range", { headers: { range: "bytes=5-9" } }, 206],
    ["a range of another version", { headers: { range: "bytes=5-9", "if-range": '"sha256:other"' } }, 200],
    ["an If-Range alone", { headers: { "if-range": '"x"' } }, 200],
    ["what the client has", { headers: { "if-none-match": "*" } }, 304],
  ])("is answered here: %s", async (_what, options, status) => {
    const image = await room.pushImage("acme/near", "1.0.0", layer);
    const answer = await room.pull(`acme/near/blobs/${image.layer}`, options);
    expect([answer.status, answer.headers["location"]]).toEqual([status, undefined]);
  });

  it("is answered here when the blob is small", async () => {
    const image = await room.pushImage("acme/small", "1.0.0", "small");
    expect((await room.pull(`acme/small/blobs/${image.layer}`)).text).toBe("small");
  });

  it("is not sent anywhere before authorisation and gate", async () => {
    const image = await room.pushImage("acme/shut", "1.0.0", layer);
    await room.gate("acme/shut");
    const stranger = (await room.person("sue", "rival", "admin")).token;
    const path = `acme/shut/blobs/${image.layer}`;
    const answers = [
      await room.pull(path),
      await room.pull(path, { as: stranger }),
      await room.pull(path, { as: "x" }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([403, 404, 401]);
    for (const answer of answers) expect(answer.headers["location"]).toBeUndefined();
    await room.sign(image.digest);
    expect((await room.pull(path)).status).toBe(307);
  });
});

it("the setting is for blobs in S3 alone", () => {
  expect(() => readConfig({ ASSAY_BLOBS_REDIRECT: "1" }, [])).toThrow(/ASSAY_BLOBS_REDIRECT needs ASSAY_BLOBS_URL/);
  expect(() => readConfig({ ASSAY_BLOBS_REDIRECT: "yes" }, [])).toThrow(/the only value is 1/);
  expect(readConfig({}, []).blobRedirects).toBe(false);
});
