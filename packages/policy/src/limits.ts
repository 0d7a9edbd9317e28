import { LIMITS as EVIDENCE_LIMITS } from "@assay/evidence";

/** Upper bounds on everything that comes from outside. Each is checked before the work it bounds is done. */
export const LIMITS = {
  /** Bytes of a policy file in UTF-8. */
  policyBytes: 256 * 1024,
  /** Nested lists and maps in a policy file; the language itself needs 6. */
  yamlDepth: 16,
  /** Entries of one list or map in a policy file. The YAML library compares every key with every other one. */
  yamlItems: 256,
  /** Lists, maps and entries in a policy file, all together. */
  yamlNodes: 20_000,
  /** Problems reported about one policy file; the rest are left for the next attempt. */
  policyErrors: 50,
  /** Rules of a policy. */
  rules: 64,
  /** Names in any one list of a rule: identities, builders, references, tests. */
  listed: 64,
  /** Characters of a free text: name, description. */
  textLength: 1_000,
  /** Characters of an identity, a test's name, a parameter's name. */
  nameLength: 255,
  /** Characters of a URI. */
  uriLength: 1_024,
  /** Candidates of one decision. More is an error, because looking at only some would let order decide. */
  candidates: 10_000,
  /** Names, ids and key ids of a trust version: three for each entry it may have. */
  trustNames: 3 * EVIDENCE_LIMITS.trustEntries,
  /** Rejections written out per rule, the nearest misses first; the rest are counted. */
  rejectionsListed: 200,
  /** Pieces of evidence written out per rule as satisfying it; the rest are counted. */
  satisfiedListed: 200,
  /** Entries of a provenance's `resolvedDependencies` or `materials` that are read. More makes its source unknown. */
  dependencies: 4_096,
  /** Tests or parameters in one predicate that are read. More makes it unknown. */
  predicateItems: 100_000,
  /** Characters of an observed value shown in a rejection. */
  shownLength: 200,
  /** Milliseconds by which a proven time may lie after the time of the decision: clocks differ a little. */
  clockSkew: 5 * 60 * 1000,
} as const;
