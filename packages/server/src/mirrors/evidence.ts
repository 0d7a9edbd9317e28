import type { Digest } from "@assay/evidence";
import { mirrorId } from "../access/names.ts";
import { Problem } from "../http/problem.ts";
import { ServerError } from "../errors.ts";
import { OciError } from "../registry/errors.ts";
import { findManifest, resolveTag, tagSetBy } from "../registry/queries.ts";
import { parseManifest } from "../registry/manifest.ts";
import type { Reader } from "../storage/database.ts";
import type { Bringer, Way } from "./bring.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { askingUntil, UpstreamBusy } from "./remote.ts";
import { remoteDigest, remoteManifest, remoteReferrers } from "./remote-reads.ts";

/** Under what cosign 1 and 2 keep evidence about a digest. */
const COSIGN = [".sig", ".att", ".sbom"] as const;

/** What one look for evidence came to. */
export interface EvidenceLook {
  readonly brought: number;
  /** What could not be brought, in words. */
  readonly problems: readonly string[];
  /** The upstream wants to be left alone: the rest was not looked at. */
  readonly busy: UpstreamBusy | undefined;
}

/**
 * Brings what the upstream has as evidence about an artifact, and about that evidence: referrers, and what lies under cosign's tags. What is
 * here is passed over. A piece that cannot be brought keeps back no other; that one is missing can turn no denial into an allowance.
 */
export async function bringEvidence(
  context: { readonly reader: Reader; readonly bringer: Bringer; readonly now: () => number },
  { mirror, remote }: Way,
  about: Digest,
): Promise<EvidenceLook> {
  const { repository } = mirror;
  const until = context.now() + MIRROR_LIMITS.evidenceMs;
  // A pull may be waiting for this.
  const way: Way = { mirror, remote: askingUntil(remote, until, context.now) };
  let busy: UpstreamBusy | undefined;
  const problems: string[] = [];
  let brought = 0;
  let left: number = MIRROR_LIMITS.evidence;
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    if (busy !== undefined) return;
    if (context.now() > until) {
      if (problems.at(-1) !== "it took too long") problems.push("it took too long");
      return;
    }
    try {
      await work();
    } catch (error) {
      if (!(error instanceof ServerError || error instanceof OciError || error instanceof Problem)) throw error;
      if (error instanceof UpstreamBusy) busy = error;
      problems.push(`${what}: ${error.message}`.slice(0, MIRROR_LIMITS.problemLength));
    }
  };
  const referrersOf = async (subject: Digest, depth: number): Promise<void> => {
    const listed = await remoteReferrers(way.remote, subject, left);
    for (const digest of listed) {
      left -= 1;
      await attempt(digest, async () => {
        if ((await findManifest(context.reader, repository, digest)) === undefined) {
          const manifest = await remoteManifest(way.remote, digest);
          // What does not say itself that it is about the subject is not, whoever lists it.
          if (manifest === undefined) return;
          if (parseManifest(manifest.bytes, manifest.mediaType).subject?.digest !== subject) return;
          await context.bringer.manifest(way, manifest, { tag: undefined, expected: digest });
          brought += 1;
        }
        if (depth < MIRROR_LIMITS.evidenceDepth) await referrersOf(digest, depth + 1);
      });
    }
  };
  await attempt("referrers", () => referrersOf(about, 1));
  for (const suffix of COSIGN) {
    const tag = `${about.replace(":", "-")}${suffix}`;
    await attempt(tag, async () => {
      const theirs = await remoteDigest(way.remote, tag);
      if (theirs === undefined) return;
      const ours = await resolveTag(context.reader, repository, tag);
      // What the organisation itself keeps there about what it mirrors stays.
      if (ours !== undefined && (await tagSetBy(context.reader, ours.sequence)) !== mirrorId(repository)) return;
      if (ours !== undefined && theirs === ours.digest) return;
      const manifest = await remoteManifest(way.remote, tag);
      if (manifest === undefined || manifest.digest === ours?.digest) return;
      await context.bringer.manifest(way, manifest, { tag, expected: undefined });
      brought += 1;
    });
  }
  return { brought, problems, busy };
}
