/**
 * A record of many events, quickly ({@link fill}).
 *
 * What they are: per thousand events one repository with a pushed manifest and a piece of evidence, whose blobs are in the store; then
 * tags being set and the evidence being attached to further artifacts, in turn. Digests are random, as digests are.
 */
import type { Digest, JsonObject } from "@assay/evidence";
import { readReport } from "../../src/attestations/reading.ts";
import type { DirectoryBlobs } from "../../src/storage/directory-blobs.ts";
import { type Draft, fill, learnDrafts, ORG, randomDigest } from "./fill.ts";
import type { LearntProjection } from "./learnt-projection.ts";

export { ORG, randomDigest } from "./fill.ts";

const PREDICATE = "https://example.com/bench/v1";

/** Events that share a repository. */
export const BLOCK = 1000;

const LAYER = new Uint8Array(1024).fill(0x61);
const CONFIG = new TextEncoder().encode("{}");

/** What the events of one block are about. */
export interface Block {
  readonly repository: string;
  readonly manifest: Digest;
  readonly report: Digest;
}

/** The repository of the block that begins at a sequence. */
export function repositoryAt(sequence: number): string {
  return `${ORG}/app-${Math.floor(sequence / BLOCK)}`;
}

function tagSet(block: Block, tag: string): Draft {
  const { repository, manifest: digest } = block;
  return {
    type: "registry.tag-set",
    body: { repository, tag, digest, previous: null },
    values: [
      ["repository", repository],
      ["tag", tag],
      ["digest", digest],
    ],
  };
}

function evidenceLinked(block: Block, subject: Digest): Draft {
  return {
    type: "attestations.evidence-linked",
    body: { evidence: block.report, form: "report", repository: null, subject, source: { kind: "api" } },
    values: [
      ["evidence", block.report],
      ["subject", subject],
    ],
  };
}

/** Puts a block's blobs into the store. @returns the block, and the two events that name them. */
async function openBlock(blobs: DirectoryBlobs, sequence: number): Promise<{ block: Block; drafts: Draft[] }> {
  const repository = repositoryAt(sequence);
  const config = { digest: await blobs.putSmall(CONFIG, 0), size: CONFIG.length };
  const layer = { digest: await blobs.putSmall(LAYER, 0), size: LAYER.length };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const types = {
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar",
  };
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: types.config, ...config },
      layers: [{ mediaType: types.layer, ...layer }],
      annotations: { "com.example.block": String(sequence) },
    }),
  );
  const manifest = await blobs.putSmall(bytes, 0);
  const { bytes: reportBytes, piece } = readReport({ subject: manifest, predicateType: PREDICATE, predicate: {} });
  const report = await blobs.putSmall(reportBytes, 0);
  const references = [
    { kind: "config", mediaType: types.config, ...config, held: true },
    { kind: "layer", mediaType: types.layer, ...layer, held: true },
  ];
  const annotations = { "com.example.block": String(sequence) };
  const pushed = { repository, digest: manifest, size: bytes.length, mediaType, annotations, references };
  const given = {
    ...piece,
    subjects: [...piece.subjects],
    signers: [],
    repository,
    source: { kind: "api" },
    earlier: null,
  };
  return {
    block: { repository, manifest, report },
    drafts: [
      { type: "registry.manifest-pushed", body: pushed },
      { type: "attestations.evidence-added", body: given as unknown as JsonObject },
    ],
  };
}

/** Learns the projections of the two kinds of event that there are many of. */
async function learn(): Promise<Map<string, LearntProjection>> {
  const blockOf = (name: string): Block => ({ repository: name, manifest: randomDigest(), report: randomDigest() });
  const learnt = new Map<string, LearntProjection>();
  for (const make of [
    (name: string): Draft => tagSet(blockOf(name), `tag-${name}`),
    (name: string): Draft => evidenceLinked(blockOf(name), randomDigest()),
  ]) {
    learnt.set(make("x").type, await learnDrafts(make));
  }
  return learnt;
}

/** Fills `dataDirectory` up to `target` events; it may have some already. @returns how many it wrote and how long that took. */
export async function seed(
  dataDirectory: string,
  target: number,
  tell: (events: number) => void,
): Promise<{ written: number; seconds: number }> {
  let open: Block | undefined;
  const make = async (blobs: DirectoryBlobs, start: number, count: number): Promise<Draft[]> => {
    const drafts: Draft[] = [];
    while (drafts.length < count) {
      const sequence = start + drafts.length;
      if (open === undefined || open.repository !== repositoryAt(sequence)) {
        const { block, drafts: first } = await openBlock(blobs, sequence);
        open = block;
        drafts.push(...first);
      } else {
        drafts.push(sequence % 2 === 0 ? tagSet(open, `build-${sequence}`) : evidenceLinked(open, randomDigest()));
      }
    }
    return drafts;
  };
  return fill(dataDirectory, target, await learn(), make, tell);
}
