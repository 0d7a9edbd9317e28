/** Checks of signatures over a hash, which are slow for some keys: what is remembered of them, and that nobody waits for them. */
import { createHash } from "node:crypto";
import { type SignatureScheme, utf8Encode } from "@assay/evidence";
import { generateKeyPair, nodeCrypto } from "@assay/evidence/node";
import { expect, it } from "vitest";
import { RememberingCrypto } from "../src/attestations/proofs.ts";

const key = generateKeyPair("ecdsa-p521-sha512");
const signature = key.sign(utf8Encode("said"));

/** The answer, and whether others had their turn before it came. */
async function asked(crypto: RememberingCrypto, text: string, scheme: SignatureScheme = "ecdsa-sha512") {
  let turned = false;
  const turn = setImmediate(() => {
    turned = true;
  });
  const hashed = new Uint8Array(createHash("sha512").update(text).digest());
  const good = await crypto.verifyHashed(key.publicKey, scheme, signature, hashed);
  clearImmediate(turn);
  return { good, turned };
}

it("each is made once, after others had their turn, and known from then on, whichever way it went", async () => {
  const crypto = new RememberingCrypto(nodeCrypto);
  for (const turned of [true, false, false]) {
    expect(await asked(crypto, "said")).toEqual({ good: true, turned });
    expect(await asked(crypto, "not said")).toEqual({ good: false, turned });
    expect(await asked(crypto, "said", "ecdsa-sha256")).toEqual({ good: false, turned });
  }
});

it("no more of them are known than the limit", async () => {
  const crypto = new RememberingCrypto(nodeCrypto, 1);
  expect(await asked(crypto, "said")).toEqual({ good: true, turned: true });
  expect(await asked(crypto, "not said")).toEqual({ good: false, turned: true });
  expect(await asked(crypto, "said")).toEqual({ good: true, turned: true });
});
