import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { makeHome } from "./harness.ts";
import { makeImage } from "./image.ts";
import { tar } from "./tar.ts";

describe("images made for the tests", () => {
  const home = makeHome();
  afterAll(() => home.remove());
  const packages = ["commander", "yaml"];

  it("are the same bytes each time, and others when one byte of content is altered", () => {
    const first = makeImage({ layout: home.path("first"), packages });
    expect(makeImage({ layout: home.path("second"), packages })).toEqual({ ...first, layout: home.path("second") });
    const altered = makeImage({ layout: home.path("altered"), packages, altered: true });
    expect(altered.layers[0]).toBe(first.layers[0]);
    expect(altered.layers[1]).not.toBe(first.layers[1]);
    expect(altered.digest).not.toBe(first.digest);
  });

  it("hold archives that tar reads", async () => {
    const image = makeImage({ layout: home.path("readable"), packages });
    for (const digest of [image.digest, image.config, ...image.layers]) {
      const blob = readFileSync(join(image.layout, "blobs", "sha256", digest.slice("sha256:".length)));
      expect(`sha256:${createHash("sha256").update(blob).digest("hex")}`).toBe(digest);
    }
    const layer = readFileSync(join(image.layout, "blobs", "sha256", (image.layers[0] ?? "").slice("sha256:".length)));
    const listed = await home.must("tar", ["tf", "-"], { input: gunzipSync(layer) });
    expect(listed.split("\n")).toContain("app/node_modules/commander/package.json");
  });

  it("keep long paths whole", async () => {
    const path = `${"folder/".repeat(20)}${"name".repeat(20)}.txt`;
    const listed = await home.must("tar", ["xOf", "-", path], { input: tar([{ path, content: Buffer.from("here") }]) });
    expect(listed).toBe("here");
    expect(() => tar([{ path: "x".repeat(300), content: Buffer.alloc(0) }])).toThrow(/too long/);
  });
});
