import { describe, expect, it } from "vitest";
import { SIGNATURE_TYPES } from "../src/index.ts";
import { ARTIFACT, COSIGN, decide, outcome, refused, reported, said } from "./world.ts";

const one = `
  - id: signed
    signature: { identities: [release-key] }`;

/** A payload of the form that the type demands. */
function signature(type: string, by = "release-key") {
  const predicate =
    type === "https://assay.dev/cosign/simple-signing/v1"
      ? {
          critical: {
            identity: { "docker-reference": "" },
            image: { "docker-manifest-digest": ARTIFACT },
            type: "cosign container image signature",
          },
          optional: null,
        }
      : type === "application/vnd.cncf.notary.payload.v1+json"
        ? { targetArtifact: { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: ARTIFACT, size: 7 } }
        : {};
  return said({ type, predicate, by });
}

describe("a signature", () => {
  it.each(SIGNATURE_TYPES)("of type %s counts, by the identity and by nobody else", (type) => {
    expect(outcome(decide(one, [signature(type)]))).toEqual(["satisfied"]);
    expect(outcome(decide(one, [signature(type, "somebody")]))).toEqual(["unsatisfied", "other-signer"]);
  });

  it("is not what a statement about something else is, by whomever", () => {
    for (const type of ["https://slsa.dev/provenance/v1", "https://example.com/approval/v1", `${COSIGN}/`]) {
      expect(outcome(decide(one, [said({ type })]))).toEqual(["unsatisfied", "other-predicate-type"]);
    }
  });

  it("is not what nobody signed, or what was refused", () => {
    expect(outcome(decide(one, [reported(COSIGN), refused("signature-invalid", COSIGN)]))).toEqual([
      "unsatisfied",
      "reported",
      "refused",
    ]);
  });

  it("counts once for one signer, however many tools it used", () => {
    const two = one.replace("[release-key] }", "[release-key, second-key], atLeast: 2 }");
    const all = SIGNATURE_TYPES.map((type) => signature(type));
    expect(outcome(decide(two, all))).toEqual(["unsatisfied"]);
    expect(outcome(decide(two, [...all, signature(COSIGN, "second-key")]))).toEqual(["satisfied"]);
  });

  it("says what is missing", () => {
    expect(decide(one, []).reasons).toEqual([
      "signed: not satisfied; missing: a signature by release-key. There is no evidence at all.",
    ]);
  });
});
