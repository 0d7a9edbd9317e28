import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OciError } from "../src/registry/errors.ts";
import { OCI_MANIFEST, parseManifest } from "../src/registry/manifest.ts";
import { parseRegistryPath } from "../src/registry/path.ts";
import { parseContentRange, parseRange, uploadRange } from "../src/registry/range.ts";
import { isEvidenceTag, isReleaseTag, isTag } from "../src/registry/tag-rules.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

/** Names whose components are often the words of the API itself. */
const component = fc.oneof(
  fc.constantFrom("blobs", "uploads", "manifests", "tags", "list", "referrers", "a", "a__b", "x.y", "a--b"),
  fc.stringMatching(/^[a-z0-9]{1,8}$/),
);
const name = fc.array(component, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("/"));

describe("paths", () => {
  test("every kind of path gives back its name, whatever words the name is made of", () => {
    fc.assert(
      fc.property(name, (it) => {
        expect(parseRegistryPath(`/v2/${it}/manifests/latest`)).toEqual({
          kind: "manifest",
          name: it,
          reference: "latest",
        });
        expect(parseRegistryPath(`/v2/${it}/tags/list`)).toEqual({ kind: "tags", name: it });
        expect(parseRegistryPath(`/v2/${it}/blobs/${DIGEST}`)).toEqual({ kind: "blob", name: it, digest: DIGEST });
        expect(parseRegistryPath(`/v2/${it}/referrers/${DIGEST}`)).toEqual({
          kind: "referrers",
          name: it,
          digest: DIGEST,
        });
        expect(parseRegistryPath(`/v2/${it}/blobs/uploads/`)).toEqual({ kind: "uploads", name: it });
        expect(parseRegistryPath(`/v2/${it}/blobs/uploads`)).toEqual({ kind: "uploads", name: it });
        expect(parseRegistryPath(`/v2/${it}/blobs/uploads/5`)).toEqual({ kind: "upload", name: it, id: "5" });
      }),
    );
  });

  test("an encoded path means what the plain one means", () => {
    fc.assert(
      fc.property(name, (it) => {
        const plain = `/v2/${it}/blobs/${DIGEST}`;
        expect(parseRegistryPath(`/v2/${encodeURIComponent(`${it}/blobs/${DIGEST}`)}`)).toEqual(
          parseRegistryPath(plain),
        );
      }),
    );
  });

  test("no text makes it throw, and it never invents a name", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => {
        const path = parseRegistryPath(`/v2/${text}`);
        const told = "name" in path ? `/v2/${path.name}/` : "";
        expect(told === "" || decodeURIComponent(`/v2/${text}`).startsWith(told)).toBe(true);
      }),
    );
  });

  test.each([
    "/",
    "/v2x",
    "/v2/%",
    "/v2/%ff/tags/list",
    "/v2/a",
    "/v2/a/b",
    "/v2/a/tags/other",
    "/v2//x",
    `/v2/${"a".repeat(3000)}/tags/list`,
  ])("%s is nothing", (path) => {
    expect(parseRegistryPath(path).kind).toBe("unknown");
  });
});

describe("Range of a download", () => {
  test("a satisfiable range lies within the blob and is what was asked for", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.nat(10_000), fc.nat(10_000), (first, length, size) => {
        const last = first + length;
        const range = parseRange(`bytes=${first}-${last}`, size);
        const inside = { kind: "part", range: { start: first, end: Math.min(last + 1, size) } };
        expect(range).toEqual(first >= size ? { kind: "unsatisfiable" } : inside);
      }),
    );
  });

  test("no header makes it throw or reach outside the blob", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `bytes=${text}`),
        ),
        fc.nat(1000),
        (header, size) => {
          const range = parseRange(header, size);
          if (range.kind !== "part") return;
          expect(range.range.start).toBeGreaterThanOrEqual(0);
          expect(range.range.end).toBeGreaterThan(range.range.start);
          expect(range.range.end).toBeLessThanOrEqual(size);
        },
      ),
    );
  });

  test.each([
    ["bytes=500-0", 1000, "unsatisfiable"],
    ["bytes=-0", 1000, "unsatisfiable"],
    ["bytes=-", 1000, "unsatisfiable"],
    ["bytes=0-", 0, "unsatisfiable"],
    ["bytes=-5", 0, "unsatisfiable"],
    ["bytes=99999999999999999999-", 10, "unsatisfiable"],
    ["bytes=a-b", 10, "unsatisfiable"],
    ["lines=1-2", 10, "whole"],
    ["bytes=0-1,3-4", 10, "whole"],
    ["bytes=0-99999999999999999999", 10, "part"],
    ["bytes=-99999999999999999999", 10, "part"],
    ["BYTES=0-0", 10, "part"],
  ] as const)("%s of %d bytes is %s", (header, size, kind) => {
    expect(parseRange(header, size).kind).toBe(kind);
  });
});

describe("Content-Range of a chunk", () => {
  test("what is written is read back", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (start, length) => {
        expect(parseContentRange(`${start}-${start + length}`)).toEqual({ start, end: start + length + 1 });
      }),
    );
  });

  test("an upload's Range names its last byte", () => {
    expect(uploadRange(0)).toBe("0-0");
    expect(uploadRange(1)).toBe("0-0");
    expect(uploadRange(10)).toBe("0-9");
  });

  test.each([
    "",
    "-",
    "5",
    "5-4",
    "-1-4",
    "bytes 0-4/5",
    "bytes=0-4",
    "0-4/5",
    "0x1-4",
    "1e3-2e3",
    "0-9999999999999999",
  ])("%j is malformed", (header) => {
    expect(parseContentRange(header)).toBe("malformed");
  });
});

describe("tags", () => {
  test.each([
    "1.2.3",
    "v1.2.3",
    "0.0.0",
    "1.2.3-rc.1",
    "v10.20.30-alpha-1",
    "a".repeat(40),
    "0".repeat(64),
    "F".repeat(40),
  ])("%s is a release tag", (tag) => expect(isReleaseTag(tag)).toBe(true));
  test.each([
    "latest",
    "1.2",
    "1.2.3.4",
    "1.2.3-SNAPSHOT",
    "v1.2.3-dev",
    "1.2.3-rc.1-dev",
    "vv1.2.3",
    "a".repeat(41),
    "1.2.3-",
  ])("%s may move", (tag) => expect(isReleaseTag(tag)).toBe(false));
  test.each([`sha256-${"a".repeat(64)}`, `sha256-${"0".repeat(64)}.sig`, `sha256-${"0".repeat(64)}.att`])(
    "%s is an evidence tag, and none of a release",
    (tag) => {
      expect(isEvidenceTag(tag)).toBe(true);
      expect(isReleaseTag(tag)).toBe(false);
    },
  );
  test.each(["", ".a", "-a", "a".repeat(129), "a/b", "a:b", "ä", "a\n"])("%j is no tag", (tag) => {
    expect(isTag(tag)).toBe(false);
  });
});

/** A valid manifest as a plain value, to be damaged. */
function sound(): Record<string, unknown> {
  return {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: DIGEST, size: 2 },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 2 }],
    annotations: { a: "b" },
  };
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof OciError) return `${error.status} ${error.code}`;
    throw error;
  }
  return "accepted";
}

function parse(value: unknown, contentType: string | undefined = OCI_MANIFEST): ReturnType<typeof parseManifest> {
  return parseManifest(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)), contentType);
}

const HUGE = { a: "b".repeat(300 * 1024) };

describe("manifests", () => {
  test("a sound one is read, unknown members and all", () => {
    const facts = parse({ ...sound(), "org.example.custom": { deep: [1] } });
    expect(facts.mediaType).toBe(OCI_MANIFEST);
    expect(facts.artifactType).toBe("application/vnd.oci.image.config.v1+json");
    expect(facts.references.map((reference) => reference.kind)).toEqual(["config", "layer"]);
  });

  test("annotations that no referrers list will show may be as long as a manifest, and are left in its bytes", () => {
    expect(parse({ ...sound(), annotations: HUGE }).annotations).toBeUndefined();
  });

  test("its own artifactType comes before its config's; an empty one is none", () => {
    expect(parse({ ...sound(), artifactType: "application/x" }).artifactType).toBe("application/x");
    expect(parse({ ...sound(), artifactType: "" }).artifactType).toBe("application/vnd.oci.image.config.v1+json");
  });

  test("layers may be absent, and a layer from elsewhere may be missing", () => {
    const { layers: _, ...rest } = sound();
    expect(parse(rest).references).toHaveLength(1);
    const foreign = {
      mediaType: "application/x",
      digest: `sha256:${"b".repeat(64)}`,
      size: 1,
      urls: ["https://example.test/"],
    };
    expect(parse({ ...sound(), layers: [foreign] }).references[1]?.mayBeMissing).toBe(true);
  });

  test.each([
    ["not JSON", "{"],
    ["an array", "[]"],
    ["null", "null"],
    ["a number", "2"],
    ["empty", ""],
    ["invalid UTF-8", Buffer.from([0x7b, 0xff, 0x7d])],
    ["a repeated key", `{"schemaVersion":2,"schemaVersion":2,"config":${JSON.stringify(sound()["config"])}}`],
    ["__proto__", `{"__proto__":{"schemaVersion":2},"schemaVersion":2}`],
    ["nested __proto__", JSON.stringify({ ...sound(), x: 1 }).replace('"x":1', '"x":{"__proto__":{}}')],
    ["schemaVersion 1", { ...sound(), schemaVersion: 1 }],
    ["schemaVersion text", { ...sound(), schemaVersion: "2" }],
    ["no config", { ...sound(), config: undefined }],
    ["config null", { ...sound(), config: null }],
    ["config array", { ...sound(), config: [] }],
    ["layers object", { ...sound(), layers: {} }],
    ["layer text", { ...sound(), layers: [DIGEST] }],
    ["manifests in an image", { ...sound(), manifests: [] }],
    ["fsLayers", { ...sound(), fsLayers: [] }],
    ["wrong mediaType", { ...sound(), mediaType: "application/vnd.oci.image.index.v1+json" }],
    ["mediaType number", { ...sound(), mediaType: 3 }],
    ["subject text", { ...sound(), subject: DIGEST }],
    ["annotations number", { ...sound(), annotations: { a: 1 } }],
    ["annotations array", { ...sound(), annotations: ["a"] }],
    ["artifactType number", { ...sound(), artifactType: 1 }],
    ["artifactType no type", { ...sound(), artifactType: "nonsense" }],
    [
      "huge annotations of what is about something",
      { ...sound(), annotations: HUGE, subject: sound()["config"] ?? null },
    ],
    ["too many layers", { ...sound(), layers: Array.from({ length: 5000 }, () => sound()["config"]) }],
  ])("%s is refused", (_what, value) => {
    const bytes = Buffer.isBuffer(value)
      ? value
      : Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
    expect(codeOf(() => parseManifest(bytes, OCI_MANIFEST))).toBe("400 MANIFEST_INVALID");
  });

  test.each([
    ["no digest", { digest: undefined }],
    ["sha384", { digest: `sha384:${"a".repeat(96)}` }],
    ["sha512 too short", { digest: `sha512:${"a".repeat(64)}` }],
    ["sha512 in capitals", { digest: `sha512:${"A".repeat(128)}` }],
    ["short digest", { digest: "sha256:abc" }],
    ["upper case digest", { digest: `sha256:${"A".repeat(64)}` }],
    ["negative size", { size: -1 }],
    ["fractional size", { size: 1.5 }],
    ["unsafe size", { size: 2 ** 60 }],
    ["size as text", { size: "2" }],
    ["no mediaType", { mediaType: undefined }],
    ["mediaType with a line break", { mediaType: "application/x\r\nx: y" }],
    ["urls text", { urls: "https://example.test/" }],
    ["data not base64", { data: "%%%" }],
    ["data of other bytes", { data: "e30=" }],
    ["annotations null entry", { annotations: { a: null } }],
  ])("a descriptor with %s is refused, wherever it stands", (_what, damage) => {
    const descriptor = { ...(sound()["config"] as object), ...damage };
    for (const place of [{ config: descriptor }, { layers: [descriptor] }, { subject: descriptor }]) {
      expect(codeOf(() => parse({ ...sound(), ...place }))).toBe("400 MANIFEST_INVALID");
    }
    const index = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [descriptor] };
    expect(codeOf(() => parse(index, "application/vnd.oci.image.index.v1+json"))).toBe("400 MANIFEST_INVALID");
  });

  test("one digest with two sizes is refused", () => {
    const layer = (sound()["layers"] as object[])[0];
    expect(codeOf(() => parse({ ...sound(), layers: [layer, { ...layer, size: 3 }] }))).toBe("400 MANIFEST_INVALID");
  });

  test("the type must be said, once, and be one of a manifest", () => {
    const { mediaType: _, ...untyped } = sound();
    expect(parse(untyped, `${OCI_MANIFEST}; charset=utf-8`).mediaType).toBe(OCI_MANIFEST);
    expect(parseManifest(Buffer.from(JSON.stringify(sound())), undefined).mediaType).toBe(OCI_MANIFEST);
    expect(codeOf(() => parseManifest(Buffer.from(JSON.stringify(untyped)), undefined))).toBe("400 MANIFEST_INVALID");
    expect(codeOf(() => parse(untyped, "application/json"))).toBe("400 MANIFEST_INVALID");
    expect(codeOf(() => parse(sound(), "application/vnd.docker.distribution.manifest.v2+json"))).toBe(
      "400 MANIFEST_INVALID",
    );
  });

  test("nesting and size have a bound", () => {
    const deep = `${'{"a":'.repeat(65)}1${"}".repeat(65)}`;
    expect(codeOf(() => parse(JSON.stringify({ ...sound(), x: 0 }).replace('"x":0', `"x":${deep}`)))).toBe(
      "400 MANIFEST_INVALID",
    );
    expect(codeOf(() => parse({ ...sound(), x: "x".repeat(4 * 1024 * 1024) }))).toBe("413 SIZE_INVALID");
  });

  test("no JSON value makes it fail in any other way", () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.constantFrom("config", "layers", "subject", "annotations", "manifests", "mediaType"),
        (value, key) => {
          expect(["accepted", "400 MANIFEST_INVALID"]).toContain(codeOf(() => parse({ ...sound(), [key]: value })));
        },
      ),
      { numRuns: 500 },
    );
  });
});
