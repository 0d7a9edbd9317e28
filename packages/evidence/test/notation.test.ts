/** Notary Project signatures: whose they are, about what, and that every one that is wrong in some way is refused with a reason. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { nobleCrypto, webCrypto } from "../src/index.ts";
import { verifyNotation } from "../src/notation-verify.ts";
import type { TrustRoot } from "../src/trust-root.ts";
import { type NotationCase, notationCases } from "./notation-cases.ts";
import { authorityOf, type Holder, NOW } from "./virtual-ca.ts";
import { artifactOf, receivedAt } from "./virtual.ts";

const { digest: artifact, bytes: artifactBytes } = artifactOf();
const target = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: artifact,
  size: artifactBytes.length,
};

function rootOf(...anchors: Holder[]): TrustRoot {
  return {
    name: "acme",
    profile: "x509",
    certificateAuthorities: anchors.map((anchor) => authorityOf(anchor)),
    timestampAuthorities: [],
    tlogs: [],
    ctlogs: [],
  };
}

const cases = notationCases(target, NOW);

async function verdict({ envelope, anchor }: NotationCase, crypto: Parameters<typeof verifyNotation>[0] = nodeCrypto) {
  const root = rootOf(anchor);
  const result = await verifyNotation(crypto, { bytes: envelope, root, times: [receivedAt(NOW)], artifact });
  return result.ok ? "good" : result.code;
}

describe("a Notary Project signature", () => {
  test.each(cases.map((each) => [each.name, each] as const))("%s", async (_, each) => {
    expect(await verdict(each)).toBe(each.ours);
  });

  test("gets the same verdict through every crypto port", async () => {
    for (const each of cases) {
      expect([each.name, await verdict(each, webCrypto)]).toEqual([each.name, each.ours]);
      expect([each.name, await verdict(each, nobleCrypto)]).toEqual([each.name, each.ours]);
    }
  });
});
