/**
 * Pieces of evidence as an organisation collects them: builds of a few builders from thousands of repositories, some far busier than
 * others; test results, signatures, bills of materials, and scans that nobody signed. What they are found by is read out of real predicates
 * by the server's own code. The bytes of those about some artifacts are real and in the store; of all others only what the index holds.
 */
import {
  buildStatement,
  type Digest,
  formatPublicKeyPem,
  type JsonObject,
  signStatement,
  STATEMENT_V1,
} from "@assay/evidence";
import { generateKeyPair, type PrivateKey } from "@assay/evidence/node";
import { readFields } from "../../src/attestations/fields.ts";
import { readAttached, readReport, type ReadPiece } from "../../src/attestations/reading.ts";
import type { DirectoryBlobs } from "../../src/storage/directory-blobs.ts";
import { type Draft, learnDrafts, ORG, randomDigest } from "../storage/fill.ts";
import type { LearntProjection } from "../storage/learnt-projection.ts";

export const TYPES = {
  provenance: "https://slsa.dev/provenance/v1",
  test: "https://in-toto.io/attestation/test-result/v0.1",
  signature: "https://sigstore.dev/cosign/sign/v1",
  bill: "https://spdx.dev/Document/v2.3",
  scan: "https://in-toto.io/attestation/vulns/v0.2",
} as const;

/** Of ten artifacts, how many pieces each has: ten in the mean. */
const SIZES = [1, 2, 3, 5, 8, 10, 10, 12, 20, 29];
const PIECES_OF_ROUND = 100;

/** Rounds whose evidence has its bytes in the store. */
const REAL_ROUNDS = 30;

const REPOSITORIES = 4_000;

/** The busiest first: each next one makes half as much. */
const BUILDERS = [
  "https://github.com/actions/runner/github-hosted",
  "https://ci.example.com/builders/linux/v2",
  "https://tekton.example.com/chains/v2",
  "https://ci.example.com/builders/macos/v1",
];

/** Whole number below `count`; `steep` makes small ones likelier. */
function drawn(count: number, steep = 1): number {
  return Math.floor(count * Math.random() ** steep);
}

/** A signer: its private key and the key id that the index lists it under. */
export interface Signer {
  readonly name: string;
  readonly key: PrivateKey;
  readonly keyId: string;
}

function makeSigner(name: string): Signer {
  const key = generateKeyPair("ecdsa-p256-sha256");
  return { name, key, keyId: key.publicKey.keyId };
}

/** An artifact that has real evidence. */
export interface Artifact {
  readonly digest: Digest;
  readonly pieces: number;
}

interface Drawn {
  readonly type: string;
  readonly predicate: JsonObject;
  /** Undefined: nobody signed it. */
  readonly signer: Signer | undefined;
  readonly repository: string;
}

/** Makes the evidence, and knows what of it reads can be about. */
export class Pieces {
  /** Whose signatures there are, the busiest builder's first. */
  readonly signers: readonly Signer[];
  readonly builders: readonly string[] = BUILDERS;
  readonly artifacts: Artifact[] = [];
  readonly learnt = new Map<string, LearntProjection>();
  readonly #every: number;
  #round = 0;
  #waiting: { digest: Digest; real: boolean }[] = [];

  /** @param count how many pieces there will be. */
  constructor(count: number) {
    this.signers = [...BUILDERS.map((_, index) => `builder-${index}`), "tests", "release", "bills"].map(makeSigner);
    this.#every = Math.max(1, Math.floor(count / PIECES_OF_ROUND / REAL_ROUNDS));
  }

  /** The trust entries of the signers, as the API takes them. */
  entries(): JsonObject[] {
    return this.signers.map(({ name, key }) => ({
      name,
      publicKeyPem: formatPublicKeyPem(key.publicKey),
      scope: { repositories: ["**"], predicateTypes: ["*"] },
    }));
  }

  /** A source repository, the busy ones oftener. */
  source(): string {
    return `https://github.com/example/service-${drawn(REPOSITORIES, 3)}`;
  }

  /** The events of the next pieces. */
  async drafts(blobs: DirectoryBlobs, count: number): Promise<Draft[]> {
    const drafts: Draft[] = [];
    while (drafts.length < count) {
      const about = this.#next();
      const piece = this.#draw();
      drafts.push(about.real ? await real(blobs, piece, about.digest) : await this.#indexed(piece, about.digest));
    }
    return drafts;
  }

  /** What the next piece is about: the evidence of ten artifacts comes mixed. */
  #next(): { digest: Digest; real: boolean } {
    if (this.#waiting.length === 0) {
      const isReal = this.#round % this.#every === 0;
      this.#round += 1;
      for (const pieces of SIZES) {
        const digest = randomDigest();
        if (isReal) this.artifacts.push({ digest, pieces });
        for (let count = 0; count < pieces; count += 1) this.#waiting.push({ digest, real: isReal });
      }
    }
    const [about] = this.#waiting.splice(drawn(this.#waiting.length), 1);
    if (about === undefined) throw new Error("no artifact is left");
    return about;
  }

  #draw(): Drawn {
    const source = this.source();
    const repository = `${ORG}/service-${source.slice(source.lastIndexOf("-") + 1)}`;
    const share = Math.random();
    if (share < 0.3) return { ...this.#provenance(source), repository };
    const run = randomDigest().slice(7, 23);
    const signerOf = (name: string): Signer | undefined => this.signers.find((signer) => signer.name === name);
    if (share < 0.55) {
      const predicate = {
        result: share < 0.54 ? "PASSED" : "FAILED",
        configuration: [{ name: "unit.yml", digest: { sha256: randomDigest().slice(7) } }],
        url: `https://ci.example.com/runs/${run}`,
        passedTests: ["parses", "refuses damage"],
      };
      return { type: TYPES.test, predicate, signer: signerOf("tests"), repository };
    }
    if (share < 0.75) return { type: TYPES.signature, predicate: {}, signer: signerOf("release"), repository };
    const created = new Date(1_790_000_000_000 + drawn(2_592_000) * 1_000).toISOString();
    if (share < 0.9) {
      const predicate = {
        spdxVersion: "SPDX-2.3",
        name: repository,
        documentNamespace: `https://spdx.example.com/${run}`,
        creationInfo: { created, creators: ["Tool: syft-1.30.0", "Organization: Example"] },
        packages: [],
      };
      return { type: TYPES.bill, predicate, signer: signerOf("bills"), repository };
    }
    const predicate = {
      scanner: {
        uri: "pkg:github/aquasecurity/trivy@0.66.0",
        version: "0.66.0",
        db: { uri: "https://db.example.com", version: "2", lastUpdate: created },
        result: [{ id: `CVE-2026-${drawn(5_000, 2)}`, severity: [] }],
      },
      metadata: { scanStartedOn: created, scanFinishedOn: created },
    };
    return { type: TYPES.scan, predicate, signer: undefined, repository };
  }

  #provenance(source: string): Omit<Drawn, "repository"> {
    let builder = 0;
    while (builder < BUILDERS.length - 1 && Math.random() < 0.5) builder += 1;
    const ref = Math.random() < 0.8 ? "refs/heads/main" : `refs/tags/v1.${drawn(50)}.${drawn(20)}`;
    const commit = randomDigest().slice(7, 47);
    const predicate = {
      buildDefinition: {
        buildType: "https://actions.github.io/buildtypes/workflow/v1",
        externalParameters: { workflow: { ref, repository: source, path: ".github/workflows/release.yml" } },
        internalParameters: { github: { runner_environment: builder === 0 ? "github-hosted" : "self-hosted" } },
        resolvedDependencies: [{ uri: `git+${source}@${ref}`, digest: { gitCommit: commit } }],
      },
      runDetails: {
        builder: { id: BUILDERS[builder] ?? "" },
        metadata: { invocationId: `${source}/actions/runs/${drawn(1e10)}/attempts/1` },
      },
    };
    return { type: TYPES.provenance, predicate, signer: this.signers[builder] };
  }

  /** A piece of which there is only what the index holds. */
  async #indexed({ type, predicate, signer, repository }: Drawn, subject: Digest): Promise<Draft> {
    const fields = readFields(type, predicate);
    const names = fields.map(({ name }) => name);
    const shape = `${type} ${names.join(" ")}`;
    if (!this.learnt.has(shape)) {
      const example = (name: string): Draft => {
        const values = names.map((_, index) => `${name}-${index}`);
        const key = name.length.toString(16).padStart(2, "0").concat(randomDigest().slice(9));
        return indexedDraft(
          { type, signer: signer && key, repository: `${ORG}/${name}`, names, values },
          randomDigest(),
        );
      };
      this.learnt.set(shape, await learnDrafts(example));
    }
    const values = fields.map(({ value }) => value);
    return { ...indexedDraft({ type, signer: signer?.keyId, repository, names, values }, subject), shape };
  }
}

interface Indexed {
  readonly type: string;
  readonly signer: string | undefined;
  readonly repository: string;
  readonly names: readonly string[];
  readonly values: readonly string[];
}

function indexedDraft({ type, signer, repository, names, values }: Indexed, subject: Digest): Draft {
  const [evidence, payloadDigest, signature] = [randomDigest(), randomDigest(), randomDigest()];
  const signed = signer !== undefined;
  const hint = signed ? `hint:${signer}` : null;
  const body = {
    evidence,
    size: 3_000,
    form: signed ? "dsse" : "report",
    predicateType: type,
    subjects: [subject],
    payloadDigest: signed ? payloadDigest : null,
    signature: signed ? signature : null,
    hint,
    signers: signed ? [signer] : [],
    unreadable: null,
    step: null,
    wrapping: null,
    fields: names.map((name, index) => ({ name, value: values[index] ?? "" })),
    repository,
    source: { kind: "api" },
    earlier: null,
  };
  return {
    type: "attestations.evidence-added",
    body,
    values: [
      ["evidence", evidence],
      ["subject", subject],
      ["payload", payloadDigest],
      ["signature", signature],
      ["hint", hint],
      ["signer", signer],
      ["repository", repository],
      ...values.map((value, index) => [`field ${index}`, value] as const),
    ],
  };
}

/** A piece whose bytes are in the store and verify. */
async function real(blobs: DirectoryBlobs, drawnPiece: Drawn, subject: Digest): Promise<Draft> {
  const { type: predicateType, predicate, signer, repository } = drawnPiece;
  const subjects = [{ digest: { sha256: subject.slice("sha256:".length) } }];
  let piece: ReadPiece;
  if (signer === undefined) {
    // No two alike: the same bytes are one piece.
    const statement = {
      _type: STATEMENT_V1,
      subject: subjects,
      predicateType,
      predicate: { ...predicate, run: randomDigest() },
    };
    const report = readReport({ statement });
    await blobs.putSmall(report.bytes, 0);
    piece = report.piece;
  } else {
    const { key } = signer;
    const payloadBytes = buildStatement({ subjects, predicateType, predicate });
    const bytes = await signStatement({ payloadBytes, sign: (text) => key.sign(text), publicKey: key.publicKey });
    await blobs.putSmall(bytes, 0);
    piece = readAttached(bytes, subject);
  }
  const signers = signer === undefined ? [] : [signer.keyId];
  const given = { ...piece, signers, repository, source: { kind: "api" }, earlier: null };
  return { type: "attestations.evidence-added", body: given as unknown as JsonObject };
}
