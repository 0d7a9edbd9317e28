/** A signature that says when it ends has ended then, for whoever asks at that moment: `verify`'s `now`. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  type CertificateIdentity,
  certificateKeyId,
  digestOf,
  type TrustVersion,
  verify,
  x509Root,
} from "../src/index.ts";
import { parseNotation } from "../src/notation.ts";
import { fixtureBytes } from "./fixtures.ts";
import { receivedAt } from "./virtual.ts";

const artifact = digestOf(nodeCrypto, fixtureBytes("notation/manifest.oci"));
const identity: CertificateIdentity = { root: "house", issuer: null, subject: { kind: "pattern", value: "**" } };
const trust: TrustVersion = {
  org: "acme",
  version: 1,
  entries: [
    {
      ...identity,
      kind: "certificate",
      id: "entry-1",
      name: "builds",
      keyId: certificateKeyId(identity),
      scope: { repositories: ["**"], predicateTypes: ["*"] },
      validFrom: null,
      validUntil: null,
      primary: false,
    },
  ],
  logs: [],
  roots: [x509Root("house", [new TextDecoder().decode(fixtureBytes("notation/root.pem"))])],
};

describe.each(["p256.jws", "p256.cose"])("a Notary Project signature with an end (%s)", (name) => {
  const bundle = fixtureBytes(`notation/${name}`);
  const { signingTime, expiry } = parseNotation(bundle);
  const ask = async (now: number | undefined): Promise<string> => {
    const times = [receivedAt(signingTime + 1000)];
    const verdict = await verify(nodeCrypto, { bundle, artifact, trust, times, ...(now === undefined ? {} : { now }) });
    return verdict.status === "refused" ? verdict.code : verdict.status;
  };

  test("counts until then, and not after", async () => {
    expect(expiry).not.toBeNull();
    expect(await ask(signingTime + 2000)).toBe("verified");
    expect(await ask((expiry ?? 0) + 1000)).toBe("outside-validity");
  });

  test("counts for who names no moment, as long as nothing proves that it has ended", async () => {
    expect(await ask(undefined)).toBe("verified");
  });
});
