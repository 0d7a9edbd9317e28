import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { parseBlobsUrl } from "../src/storage/s3-location.ts";
import { backOffMs, DEFAULT_RETRY, retryAfterMs } from "../src/storage/s3-retry.ts";
import {
  chainOf,
  chainSize,
  MAX_PARTS,
  MIN_PART_BYTES,
  parseSegment,
  planParts,
  SEGMENT_BYTES,
  type Segment,
  segmentName,
} from "../src/storage/s3-segments.ts";
import { parseXml, requiredText, textOf } from "../src/storage/s3-xml.ts";

const MIB = 1024 * 1024;
const SHA = "ab".repeat(32);

describe("ASSAY_BLOBS_URL", () => {
  test("says where, in Amazon's cloud or elsewhere", () => {
    expect(parseBlobsUrl("s3://my-bucket")).toEqual({
      endpoint: "https://s3.us-east-1.amazonaws.com",
      region: "us-east-1",
      bucket: "my-bucket",
      prefix: "",
      pathStyle: false,
    });
    expect(parseBlobsUrl("s3://b.ucket/some/prefix/?endpoint=http://127.0.0.1:9000&region=eu-central-1")).toEqual({
      endpoint: "http://127.0.0.1:9000",
      region: "eu-central-1",
      bucket: "b.ucket",
      prefix: "some/prefix",
      pathStyle: true,
    });
    expect(parseBlobsUrl("s3://bucket/?endpoint=https://s3.example.com&path-style=0").pathStyle).toBe(false);
  });

  test.each([
    ["https://bucket", /begin with s3/],
    ["nonsense", /must be a URL/],
    ["s3://B", /no bucket name/],
    ["s3://key:secret@bucket", /must not hold credentials/],
    ["s3://bucket:9000", /belongs in endpoint/],
    ["s3://bucket/a//b", /prefix/],
    ["s3://bucket/a/%2e%2e/b%00", /prefix/],
    ["s3://bucket?endpoit=http://x", /parameter endpoit/],
    ["s3://bucket?region=a&region=b", /region twice/],
    ["s3://bucket?endpoint=http://host/path", /endpoint is/],
    ["s3://bucket?endpoint=ftp://host", /endpoint is/],
    ["s3://bucket?path-style=yes", /0 or 1/],
    ["s3://bucket?region=EU!", /no region/],
  ])("%s is refused in words", (text, why) => {
    expect(() => parseBlobsUrl(text)).toThrow(why);
    expect(() => readConfig({ ASSAY_BLOBS_URL: text }, [])).toThrow(/^ASSAY_BLOBS_URL: /);
  });

  test("credentials come from Amazon's variables or our own, never mixed", () => {
    const url = { ASSAY_BLOBS_URL: "s3://bucket" };
    const amazon = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_SESSION_TOKEN: "c" };
    expect(readConfig({ ...url, ...amazon }, []).s3?.credentials).toEqual({
      accessKeyId: "a",
      secretAccessKey: "b",
      sessionToken: "c",
    });
    const own = { ASSAY_BLOBS_ACCESS_KEY: "x", ASSAY_BLOBS_SECRET_KEY: "y" };
    expect(readConfig({ ...url, ...amazon, ...own }, []).s3?.credentials).toEqual({
      accessKeyId: "x",
      secretAccessKey: "y",
      sessionToken: undefined,
    });
    expect(() => readConfig(url, [])).toThrow(/credentials are not/);
    expect(() => readConfig({ ...url, ...amazon, ASSAY_BLOBS_ACCESS_KEY: "x" }, [])).toThrow(/not whole/);
    expect(() => readConfig(own, [])).toThrow(/need ASSAY_BLOBS_URL/);
    expect(readConfig(amazon, []).s3).toBeUndefined();
    expect(readConfig({ ...amazon }, ["--blobs-url", "s3://bucket/p"]).s3?.prefix).toBe("p");
  });
});

describe("XML answers", () => {
  test("are read with XML's own entities", () => {
    const root = parseXml('<?xml version="1.0"?><a xmlns="x"><Key>&lt;&amp;&#65;</Key><b><![CDATA[<]]></b></a>');
    expect(requiredText(root, "Key")).toBe("<&A");
    expect(textOf(root, "b")).toBe("<");
    expect(textOf(root, "c")).toBeUndefined();
    expect(() => requiredText(root, "c")).toThrow("lacks c");
  });

  test.each([
    ["", /empty|document must/],
    ["<a>", /unclosed|end/i],
    ["<a></b>", /unexpected|unmatched|close/i],
    ["<a>&x;</a>", /entity/],
    ['<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', /document type/],
    ["<?php x?><a/>", /processing instruction/],
    ["<a/><a/>", /root|document/],
    ["<a>".repeat(9) + "</a>".repeat(9), /nested deeper/],
    [`<a>${"<b/>".repeat(20_001)}</a>`, /more than 20000/],
    ["not xml", /.*/],
  ])("%.30s is refused", (text, why) => {
    expect(() => parseXml(text)).toThrow(why);
  });

  test("an element that should stand once and stands twice is refused", () => {
    expect(() => textOf(parseXml("<a><Key>x</Key><Key>y</Key></a>"), "Key")).toThrow("2 Key");
  });
});

describe("retries", () => {
  test("Retry-After is seconds, bounded; anything else is nothing", () => {
    expect(retryAfterMs("2")).toBe(2000);
    expect(retryAfterMs("99999")).toBe(20_000);
    for (const header of [undefined, "", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", ["1", "2"]]) {
      expect(retryAfterMs(header)).toBe(0);
    }
  });

  test("waits grow, jittered, up to the cap", () => {
    expect(backOffMs(DEFAULT_RETRY, 1, 0.5)).toBe(100);
    expect(backOffMs(DEFAULT_RETRY, 3, 1)).toBe(800);
    expect(backOffMs(DEFAULT_RETRY, 20, 1)).toBe(5_000);
    expect(backOffMs(DEFAULT_RETRY, 20, 0)).toBe(0);
  });
});

describe("segments", () => {
  const segment = (start: number, length: number, sha = SHA): Segment => ({ start, length, sha256: sha });

  test("names are read back; what is torn or no segment is not", () => {
    const one = segment(123_456_789_012, 4096);
    expect(parseSegment(segmentName(one), 4096)).toEqual(one);
    expect(parseSegment(segmentName(one), 4095)).toBeUndefined();
    for (const name of [
      "x",
      "000000000000000-0-" + SHA,
      `000000000000000-${SEGMENT_BYTES + 1}-${SHA}`,
      "multipart-61",
    ]) {
      expect(parseSegment(name, Number(/-(\d+)-/.exec(name)?.[1] ?? 0))).toBeUndefined();
    }
  });

  test("an upload is what follows from byte 0 without a gap or a doubt", () => {
    expect(chainOf([])).toEqual([]);
    expect(chainOf([segment(10, 5)])).toEqual([]);
    expect(chainSize(chainOf([segment(10, 5), segment(0, 10)]))).toBe(15);
    // A truncation under way: the longer one still counts.
    expect(chainSize(chainOf([segment(0, 10), segment(0, 4), segment(10, 1)]))).toBe(11);
    // Two hosts wrote different bytes to one place.
    expect(chainSize(chainOf([segment(0, 10), segment(10, 3), segment(10, 3, "cd".repeat(32))]))).toBe(10);
  });

  test("parts cover the chain, in order, in sizes that S3 takes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.integer({ min: 1, max: SEGMENT_BYTES }), fc.constant(SEGMENT_BYTES)), {
          minLength: 1,
          maxLength: 60,
        }),
        fc.boolean(),
        (lengths, canCopy) => {
          let at = 0;
          const chain = lengths.map((length) => {
            const next = segment(at, length);
            at += length;
            return next;
          });
          const parts = planParts(chain, canCopy);
          const covered = parts.flatMap((part) => (part.kind === "copy" ? [part.segment] : part.segments));
          expect(covered).toEqual(chain);
          const sizes = parts.map((part) =>
            part.kind === "copy" ? part.segment.length : part.segments.reduce((total, { length }) => total + length, 0),
          );
          expect(sizes.slice(0, -1).filter((size) => size < MIN_PART_BYTES)).toEqual([]);
          expect(Math.max(...sizes)).toBeLessThanOrEqual(16 * MIB);
          expect(parts.filter((part) => part.kind === "copy" && !canCopy)).toEqual([]);
        },
      ),
    );
  });

  test("an upload of very many small segments still fits into the parts S3 allows", () => {
    const chain = Array.from({ length: 15_000 }, (_, index) => segment(index * MIN_PART_BYTES, MIN_PART_BYTES));
    expect(planParts(chain, true).length).toBeLessThanOrEqual(MAX_PARTS);
  });
});
