import { utf8Encode } from "@assay/evidence";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { claimIn, claimOf, hasOutcome } from "../src/judging/claim.ts";

const TESTS = "https://in-toto.io/attestation/test-result/v0.1";
const SUMMARY = "https://slsa.dev/verification_summary/v1";
const OTHER = "https://slsa.dev/provenance/v1";

describe("what a piece of evidence says came out", () => {
  it("is the result of a test result and of a verification summary, of any version", () => {
    expect(claimOf(TESTS, { result: "PASSED" })).toEqual({ says: "PASSED", isPass: true });
    expect(claimOf(TESTS, { result: "WARNED" })).toEqual({ says: "WARNED", isPass: false });
    expect(claimOf(TESTS, { result: "FAILED" })).toEqual({ says: "FAILED", isPass: false });
    expect(claimOf(TESTS.replace("v0.1", "v2"), { result: "FAILED" })?.says).toBe("FAILED");
    expect(claimOf(SUMMARY, { verificationResult: "FAILED" })).toEqual({ says: "FAILED", isPass: false });
    expect(claimOf(SUMMARY, { verificationResult: "PASSED" })).toEqual({ says: "PASSED", isPass: true });
  });

  it("is nothing for a type that says no such thing", () => {
    expect(claimOf(OTHER, { result: "FAILED" })).toBeUndefined();
    expect(hasOutcome(OTHER)).toBe(false);
    expect(hasOutcome(null)).toBe(false);
    expect(hasOutcome(`${TESTS}/evil`)).toBe(false);
  });

  it("is no pass where failed tests are listed under PASSED", () => {
    const claim = claimOf(TESTS, { result: "PASSED", failedTests: ["a"] });
    expect(claim).toEqual({ says: "PASSED, but lists 1 failed test", isPass: false });
  });

  it("is a pass for nothing but the own text PASSED, whatever the predicate is", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const claim = claimOf(TESTS, { result: value });
        expect(claim?.isPass).toBe(value === "PASSED");
        expect(claimOf(SUMMARY, value)?.isPass).toBe(false);
      }),
    );
    expect(claimOf(TESTS, Object.create({ result: "PASSED" }))?.isPass).toBe(false);
  });

  it("is read from an unsigned report's bytes, and from damaged bytes is nothing", () => {
    const subject = [{ digest: { sha256: "0".repeat(64) } }];
    const report = { _type: "https://in-toto.io/Statement/v1", subject, predicateType: TESTS };
    const bytes = utf8Encode(JSON.stringify({ ...report, predicate: { result: "FAILED" } }));
    expect(claimIn(bytes)?.says).toBe("FAILED");
    expect(claimIn(bytes.subarray(0, bytes.length - 2))).toBeUndefined();
    expect(claimIn(new Uint8Array())).toBeUndefined();
  });
});
