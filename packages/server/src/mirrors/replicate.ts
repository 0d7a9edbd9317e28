import { z } from "zod";
import { ServerError } from "../errors.ts";
import { newestSequence } from "../record/newest.ts";
import { listRepositories, listTags, referrersAfter, tagsSetAfter } from "../registry/queries.ts";
import { isEvidenceTag } from "../registry/tag-rules.ts";
import type { Reader } from "../storage/database.ts";
import type { MirrorsContext } from "./bring.ts";
import { CopyOut } from "./copy-out.ts";
import { openCredential } from "./credential.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { Progress, type RunJob } from "./progress.ts";
import type { Mirrors } from "./pull-through.ts";
import { currentMirror, listMirrors } from "./queries.ts";
import { Remote } from "./remote.ts";
import { type Filter, filterOfRow, isAboutRepository, isAboutTag } from "./replication.ts";
import { currentReplication, findRun, type ReplicationRow } from "./replication-queries.ts";
import { hostsOfRow, readRemoteUrl } from "./setting.ts";

/** The kind of the jobs that replicate. */
export const REPLICATE = "mirrors.replicate";

/** The kind of the jobs that fill a mirror. */
export const FILL = "mirrors.fill";

export const replicateSchema = z.strictObject({
  org: z.string(),
  name: z.string(),
  /** Everything; else what has come since everything was. */
  full: z.boolean(),
});

export const fillSchema = z.strictObject({
  org: z.string(),
  repository: z.string(),
  /** null: all that the upstream lists. */
  tags: z.array(z.string()).nullable(),
});

/** What runs are made with. */
export interface RunContext extends MirrorsContext {
  readonly mirrors: Pick<Mirrors, "fill" | "upstreamTags">;
  /** Where this server is reached: scheme, host and port. */
  readonly origin: string;
}

/** Names a replication's job, so that at most one of a kind waits or runs. */
export function replicationKey(org: string, name: string, full: boolean): string {
  return `${org}/${name}/${full ? "all" : "new"}`;
}

/** Names a replication's newest run: over everything, or over what came since. */
export function replicationSubject(name: string, full: boolean): string {
  return `replication/${name}/${full ? "all" : "new"}`;
}

/** The record's sequence up to which a replication has brought everything over; -1: none. */
export async function coveredBy(reader: Reader, org: string, name: string): Promise<number> {
  const runs = [true, false].map((full) => findRun(reader, org, replicationSubject(name, full)));
  return Math.max(-1, ...(await Promise.all(runs)).map((run) => run?.covered ?? -1));
}

export function fillSubject(repository: string): string {
  return `mirror/${repository}`;
}

/**
 * One run of a replication. It goes through what is, and not through a list of things to do: whatever broke it off, the next run finds what
 * is missing by looking.
 *
 * @throws ServerError `upstream-failed` when something could not be copied: the queue tries again.
 */
export async function replicate(
  context: RunContext,
  body: z.output<typeof replicateSchema>,
  job: RunJob,
): Promise<void> {
  const { reader, record, now } = context;
  const { org, name, full } = body;
  const row = await currentReplication(reader, org, name);
  // Removed meanwhile: there is nothing to do.
  if (row === undefined) return;
  const subject = replicationSubject(name, full);
  const { from_seq: setting } = row;
  const stands = async (): Promise<boolean> => (await currentReplication(reader, org, name))?.from_seq === setting;
  const progress = new Progress(record, job, {
    org,
    subject,
    started: now(),
    oneRegistry: row.direction === "push",
    rule: { name, setting, stands },
  });
  await progress.begin();
  const since = full ? -1 : await coveredBy(reader, org, name);
  // As of here everything is brought over when this run ends well: what comes while it runs comes again.
  const covered = await newestSequence(reader);
  await through(progress, async () => {
    if (row.direction === "pull") await pull(context, row, progress);
    else if (since === -1) await pushAll(context, row, progress);
    else await pushNew(context, row, progress, since);
  });
  await progress.end(covered);
}

/** One run of filling a mirror. @throws ServerError `upstream-failed` when something could not be brought. */
export async function fill(context: RunContext, body: z.output<typeof fillSchema>, job: RunJob): Promise<void> {
  const { reader, record, now } = context;
  const { org, repository, tags } = body;
  if ((await currentMirror(reader, repository))?.org !== org) return;
  const subject = fillSubject(repository);
  const progress = new Progress(record, job, { org, subject, started: now(), oneRegistry: true });
  await progress.begin();
  await through(progress, async () => {
    const asked = tags === null ? context.mirrors.upstreamTags(repository) : tags;
    for await (const tag of asked) await bringTag(context, repository, tag, progress);
  });
  await progress.end(undefined);
}

/** Goes through everything; what keeps it from going on is written down too. */
async function through(progress: Progress, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await progress.broke(error);
    throw error;
  }
}

function bringTag(context: RunContext, repository: string, tag: string, progress: Progress): Promise<void> {
  // Evidence comes with what it is about.
  if (isEvidenceTag(tag)) return Promise.resolve();
  return progress.attempt(`${repository}:${tag}`, () => context.mirrors.fill(repository, tag, () => progress.beat()));
}

async function* repositoriesOf(context: RunContext, org: string, filter: Filter): AsyncGenerator<string> {
  for (let last = ""; ; ) {
    const found = await listRepositories(context.reader, org, { last, limit: MIRROR_LIMITS.step });
    for (const repository of found) {
      if (isAboutRepository(filter, repository)) yield repository;
      last = repository;
    }
    if (found.length < MIRROR_LIMITS.step) return;
  }
}

async function pull(context: RunContext, row: ReplicationRow, progress: Progress): Promise<void> {
  const filter = filterOfRow(row);
  for await (const repository of mirrorsOf(context, row.org, filter)) {
    try {
      for await (const tag of context.mirrors.upstreamTags(repository)) {
        if (isAboutTag(filter, tag)) await bringTag(context, repository, tag, progress);
      }
    } catch (error) {
      if (!(error instanceof ServerError) || error.code === "job-lease-lost") throw error;
      // An upstream whose tags cannot be read keeps back no other's.
      await progress.attempt(repository, () => Promise.reject(error));
    }
  }
}

async function* mirrorsOf(context: RunContext, org: string, filter: Filter): AsyncGenerator<string> {
  for (let position: number | null = null; ; ) {
    const asOf = await newestSequence(context.reader);
    const found: { repository: string; from_seq: number }[] = await listMirrors(context.reader, org, {
      position,
      asOf,
      limit: MIRROR_LIMITS.step,
    });
    for (const { repository, from_seq } of found) {
      if (isAboutRepository(filter, repository)) yield repository;
      position = from_seq;
    }
    if (found.length < MIRROR_LIMITS.step) return;
  }
}

/** Copies from this organisation to the other registry of a replication, and where each repository's place there is. */
async function copier(
  context: RunContext,
  row: ReplicationRow,
  progress: Progress,
): Promise<{ readonly copy: CopyOut; readonly remoteOf: (repository: string) => Remote | undefined }> {
  const { reader, keyring } = context;
  const place = readRemoteUrl(row.url ?? "");
  if (place === undefined) throw new ServerError("upstream-failed", `${row.url ?? "nothing"} is no place to push to`);
  const credential =
    row.credential === null ? undefined : await openCredential(reader, keyring, row.org, row.credential);
  const filter = filterOfRow(row);
  const remotes = new Map<string, Remote>();
  const remoteOf = (repository: string): Remote | undefined => {
    if (!isAboutRepository(filter, repository)) return undefined;
    const known = remotes.get(repository);
    if (known !== undefined) return known;
    // What this server was given by this very replication is no source of it: it would be copied into itself without end.
    if (place.origin === context.origin && repository.startsWith(`${place.repository}/`)) return undefined;
    const path = `${place.repository}/${repository.slice(row.org.length + 1)}`;
    const given = { credential, tokenHosts: hostsOfRow(row), right: "pull,push" as const };
    const remote = new Remote({ ...place, repository: path }, context, given);
    remotes.set(repository, remote);
    return remote;
  };
  const copy = new CopyOut({
    ...context,
    org: row.org,
    evidence: row.evidence === 1,
    remoteOf,
    beat: () => progress.beat(),
  });
  return { copy, remoteOf };
}

async function pushAll(context: RunContext, row: ReplicationRow, progress: Progress): Promise<void> {
  const { reader } = context;
  const filter = filterOfRow(row);
  const { copy, remoteOf } = await copier(context, row, progress);
  for await (const repository of repositoriesOf(context, row.org, filter)) {
    const remote = remoteOf(repository);
    if (remote === undefined) continue;
    for (let last = ""; ; ) {
      const tags = await listTags(reader, repository, { last, limit: MIRROR_LIMITS.step });
      for (const tag of tags) {
        last = tag;
        if (isEvidenceTag(tag) || !isAboutTag(filter, tag)) continue;
        await progress.attempt(`${repository}:${tag}`, () => copy.tag(remote, repository, tag));
      }
      if (tags.length < MIRROR_LIMITS.step) break;
    }
  }
}

async function pushNew(context: RunContext, row: ReplicationRow, progress: Progress, since: number): Promise<void> {
  const { reader } = context;
  const { org } = row;
  const filter = filterOfRow(row);
  const { copy, remoteOf } = await copier(context, row, progress);
  for (let after = since; ; ) {
    const found = await tagsSetAfter(reader, org, after, MIRROR_LIMITS.step);
    for (const { repository, tag, sequence } of found) {
      after = sequence;
      const remote = remoteOf(repository);
      const evidence = isEvidenceTag(tag);
      if (remote === undefined || (evidence ? row.evidence !== 1 : !isAboutTag(filter, tag))) continue;
      await progress.attempt(`${repository}:${tag}`, () =>
        evidence ? copy.evidenceTag(remote, repository, tag) : copy.tag(remote, repository, tag),
      );
    }
    if (found.length < MIRROR_LIMITS.step) break;
  }
  if (row.evidence !== 1) return;
  for (let after = since; ; ) {
    const found = await referrersAfter(reader, org, after, MIRROR_LIMITS.step);
    for (const { repository, digest, subject, sequence } of found) {
      after = sequence;
      const remote = remoteOf(repository);
      if (remote === undefined) continue;
      await progress.attempt(`${repository}@${digest}`, () => copy.referrer(remote, repository, digest, subject));
    }
    if (found.length < MIRROR_LIMITS.step) break;
  }
}
