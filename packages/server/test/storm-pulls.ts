/** Pulling in a storm: every byte is looked at, and held against what the clients were told. */
import { sha256 } from "./pushing.ts";
import { type Artifact, type Blob, fail, type Tag, type Told, Wrong } from "./storm-model.ts";
import type { Storm } from "./storm-uploads.ts";

/** @throws Wrong when what was deleted is served. */
export async function mustBeGone({ hosts, counts }: Storm, artifact: Artifact): Promise<void> {
  const answer = await hosts.ask("GET", `/v2/${artifact.repository}/manifests/${artifact.digest}`);
  // Whoever asks is not always whoever deletes.
  if (answer.status !== 404 && artifact.state === "gone") fail(`${artifact.digest}, which was deleted`, answer);
  counts.add("gone");
}

/**
 * Pulls a manifest and everything it is made of, and looks at every byte.
 *
 * @returns whether all of it was served.
 * @throws Wrong when other bytes are served than the digest's; when something is not served of what stood all the while, or of a manifest that
 * is served.
 */
export async function pull(storm: Storm, told: Told, artifact: Artifact): Promise<boolean> {
  const { hosts, random, counts } = storm;
  const { repository, changes, state } = artifact;
  const take = async (
    path: string,
    digest: string,
    part?: { blob: Blob; from: number; to: number },
  ): Promise<boolean> => {
    const headers = part === undefined ? {} : { range: `bytes=${part.from}-${part.to - 1}` };
    const answer = await hosts.ask("GET", `/v2/${repository}/${path}/${digest}`, { headers });
    if (answer.status === 404) {
      if (state === "stands" && artifact.changes === changes) fail(`${path}/${digest} of ${repository}`, answer);
      return false;
    }
    const right =
      part === undefined
        ? answer.status === 200 && sha256(answer.bytes) === digest
        : answer.status === 206 && part.blob.bytes().subarray(part.from, part.to).equals(answer.bytes);
    if (!right) fail(`other bytes than ${path}/${digest} of ${repository}`, answer);
    return true;
  };
  if (!(await take("manifests", artifact.digest))) return false;
  for (const blob of artifact.blobs) {
    const from = random() < 0.2 && blob.size > 10 ? Math.floor(random() * (blob.size - 1)) : undefined;
    const part = from === undefined ? undefined : { blob, from, to: Math.min(blob.size, from + 50_000) };
    if (await take("blobs", blob.digest, part)) continue;
    // Nobody is sure of it, but as long as it is served it is served whole.
    if ((await take("manifests", artifact.digest)) && artifact.changes === changes) {
      throw new Wrong(`${repository} has ${artifact.digest}, and not its ${blob.digest}`);
    }
    return false;
  }
  const about = [...told.here].filter((one) => one.subject === artifact && one.state === "stands");
  const before = about.map((one) => one.changes);
  if (about.length > 0) {
    const answer = await hosts.ask("GET", `/v2/${repository}/referrers/${artifact.digest}`);
    if (answer.status !== 200) fail("referrers", answer);
    const { manifests } = JSON.parse(answer.bytes.toString()) as { manifests: { digest: string }[] };
    const listed = new Set(manifests.map(({ digest }) => digest));
    for (const [at, one] of about.entries()) {
      if (one.changes === before[at] && !listed.has(one.digest)) fail(`${one.digest} among referrers`, answer);
    }
  }
  counts.add("pulled");
  return true;
}

/** Pulls by a tag. @throws Wrong when it names what it cannot. @returns what it names. */
export async function pullTag({ hosts, counts }: Storm, tag: Tag): Promise<string | undefined> {
  const { changes } = tag;
  const may = new Set([...tag.may].map((artifact) => artifact?.digest));
  const answer = await hosts.ask("GET", `/v2/${tag.repository}/manifests/${tag.name}`);
  if (answer.status !== 200 && answer.status !== 404) fail(`the tag ${tag.name}`, answer);
  const named = answer.status === 200 ? sha256(answer.bytes) : undefined;
  if (named !== undefined && answer.headers["docker-content-digest"] !== named) fail(`the tag ${tag.name}`, answer);
  const expected = [...may].map((digest) => digest ?? "nothing").join(" or ");
  if (!may.has(named) && tag.changes === changes) {
    throw new Wrong(`the tag ${tag.repository}:${tag.name} names ${named ?? "nothing"}, and not ${expected}`);
  }
  counts.add("pulled by tag");
  return named;
}
