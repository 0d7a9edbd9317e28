import type { Command } from "../src/record/command.ts";
import { ORG, randomDigest } from "./storage/seed.ts";

/** A report as evidence: decided under authorisation, with three rows of projection. */
export function reportCommand(): Command {
  const digest = randomDigest();
  return {
    type: "attestations.add",
    org: ORG,
    actor: { id: "admin", credential: { kind: "admin-token" } },
    body: {
      evidence: digest,
      form: "report",
      size: 500,
      predicateType: "https://example.com/bench/v1",
      payloadDigest: null,
      signature: null,
      subjects: [digest],
      hint: null,
      unreadable: null,
      signers: [],
      repository: "default/bench",
      source: { kind: "api" },
      provenUnder: 0,
    },
  };
}
