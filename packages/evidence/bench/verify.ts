/** verify() on one core, by algorithm: a DSSE bundle over an in-toto statement, beside the bare signature check of node:crypto. */
import { performance } from "node:perf_hooks";
import { generateKeyPair, nodeCrypto } from "../node/index.ts";
import {
  digestOf,
  formatPublicKeyPem,
  IN_TOTO_PAYLOAD_TYPE,
  type KeyAlgorithm,
  pae,
  signStatement,
  buildStatement,
  type TrustVersion,
  utf8Encode,
  verify,
} from "../src/index.ts";

/** verify() per second and core. */
const TARGET = 500;
const SECONDS = 1;
const ALGORITHMS: readonly KeyAlgorithm[] = ["ecdsa-p256-sha256", "ed25519", "rsa-pkcs1-sha256", "ecdsa-p384-sha384"];

/** Calls per second of `work`, over about a second, after a warm-up. */
async function rate(work: () => unknown): Promise<number> {
  for (let count = 0; count < 100; count += 1) await work();
  const started = performance.now();
  let calls = 0;
  while (performance.now() - started < SECONDS * 1000) {
    for (let count = 0; count < 20; count += 1) await work();
    calls += 20;
  }
  return calls / ((performance.now() - started) / 1000);
}

let missed = false;
for (const algorithm of ALGORITHMS) {
  const key = generateKeyPair(algorithm);
  const artifact = digestOf(nodeCrypto, utf8Encode("artifact"));
  const payload = buildStatement({
    subjects: [{ name: "artifact", digest: { sha256: artifact.slice("sha256:".length) } }],
    predicateType: "https://example.com/bench/v1",
    predicate: { steps: Array.from({ length: 40 }, (_, index) => ({ name: `step ${index}`, passed: true })) },
  });
  const signer = (bytes: Uint8Array): Uint8Array => key.sign(bytes);
  const bundle = await signStatement({ payloadBytes: payload, sign: signer, publicKey: key.publicKey });
  const trust: TrustVersion = {
    org: "default",
    version: 1,
    entries: [
      {
        id: "bench",
        name: "bench",
        publicKeyPem: formatPublicKeyPem(key.publicKey),
        keyId: key.publicKey.keyId,
        scope: { repositories: ["**"], predicateTypes: ["*"] },
        validFrom: null,
        validUntil: null,
        primary: false,
      },
    ],
    logs: [],
  };
  const once = async (): Promise<void> => {
    const verdict = await verify(nodeCrypto, { bundle, artifact, trust, times: [] });
    if (verdict.status !== "verified") throw new Error(verdict.message);
  };
  const signed = pae(IN_TOTO_PAYLOAD_TYPE, payload);
  const signature = key.sign(signed);
  const whole = await rate(once);
  const bare = await rate(() => nodeCrypto.verify(key.publicKey, signature, signed));
  if (whole < TARGET) missed = true;
  process.stdout.write(
    `${algorithm.padEnd(20)} verify() ${whole.toFixed(0).padStart(7)}/s   bare signature ${bare.toFixed(0).padStart(7)}/s   ratio ${(whole / bare).toFixed(2)}${whole < TARGET ? "   MISSED" : ""}\n`,
  );
}
process.exitCode = missed ? 1 : 0;
