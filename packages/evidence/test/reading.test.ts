/** The text around every JSON form of evidence is held to the same rules, whatever it holds. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { BLOB_SIGNATURE_MEDIA_TYPE } from "../src/blob-signature.ts";
import { COSIGN_SIGNATURE_MEDIA_TYPE } from "../src/cosign.ts";
import { BUNDLE_MEDIA_TYPE, LIMITS, OPENPGP_SIGNATURE_MEDIA_TYPE, readEvidence, utf8Encode } from "../src/index.ts";
import { code } from "./failure.ts";

const typed = (mediaType: string): string => `"mediaType":${JSON.stringify(mediaType)}`;

describe.each([
  ["a bundle", typed(BUNDLE_MEDIA_TYPE)],
  ["cosign's container", typed(COSIGN_SIGNATURE_MEDIA_TYPE)],
  ["a signature file's container", typed(BLOB_SIGNATURE_MEDIA_TYPE)],
  ["the container of an OpenPGP signature", typed(OPENPGP_SIGNATURE_MEDIA_TYPE)],
  ["a bare envelope", `"payloadType":"application/vnd.in-toto+json"`],
  ["a Notary Project envelope", `"protected":"","signature":""`],
])("%s", (_, head) => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

  test.each([
    ["with a member twice", `{${head},"signature":"A","signature":"B"}`, "json-duplicate-key"],
    ["with a member twice deep inside", `{${head},"x":[{"a":1,"a":1}]}`, "json-duplicate-key"],
    ["nested too deeply", `{${head},"x":${nested(LIMITS.jsonDepth)}}`, "json-too-deep"],
    ["with a member named __proto__", `{${head},"__proto__":{}}`, "json-invalid"],
    ["that does not end", `{${head}`, "json-invalid"],
    ["with something after it", `{${head}} {}`, "json-invalid"],
    ["with a lone surrogate", `{${head},"x":"\\ud800"}`, "json-invalid"],
  ] as const)("%s is refused for that", (_fault, text, expected) => {
    expect(() => readEvidence(nodeCrypto, utf8Encode(text))).toThrow(code(expected));
  });

  test("larger than evidence may be is refused before it is read", () => {
    const bytes = new Uint8Array(LIMITS.bundleBytes + 1).fill(0x20);
    bytes.set(utf8Encode(`{${head}}`));
    expect(() => readEvidence(nodeCrypto, bytes)).toThrow(code("too-large"));
  });
});
