/** Bringing blobs into a repository in every way there is, through broken connections and servers that go. */
import { setTimeout as sleep } from "node:timers/promises";
import { pickFrom } from "./seeded.ts";
import { type Answer, type Hosts, Unanswered } from "./storm-hosts.ts";
import { type Blob, fail } from "./storm-model.ts";

/** What was done, for the end's report. */
export class Counts {
  readonly #counts = new Map<string, number>();

  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  of(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  toString(): string {
    return [...this.#counts]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([what, count]) => `${what} ${count}`)
      .join(", ");
  }
}

/** What all clients of a storm share. */
export interface Storm {
  readonly hosts: Hosts;
  readonly random: () => number;
  readonly counts: Counts;
  /** Repositories from which blobs are mounted. */
  readonly repositories: readonly string[];
}

/** How often a client tries before it gives a push up. */
const ATTEMPTS = 15;

/** What a chunk brings, bytes; larger blobs have larger ones, so that none has too many. */
const CHUNK = 64 * 1024;

const OCTETS = { "content-type": "application/octet-stream" };

/** Answers that say: not now, or not any more. What they were asked for was not done. */
const LATER: ReadonlySet<number> = new Set([404, 409, 416, 429]);

/** The path of an upload's location: any server may be asked for it. */
function placeOf(answer: Answer): string {
  return new URL(answer.headers["location"] ?? "").pathname;
}

/**
 * Brings a blob into a repository: it is there, by a lease at least, when this resolves.
 *
 * @returns false when it was given up.
 */
export async function bring(storm: Storm, repository: string, blob: Blob): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    try {
      if (await bringOnce(storm, repository, blob)) return true;
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      storm.counts.add("lost answers");
    }
    await sleep(storm.random() * 200);
  }
  storm.counts.add("blobs given up");
  return false;
}

async function bringOnce(storm: Storm, repository: string, blob: Blob): Promise<boolean> {
  const { hosts, random, counts } = storm;
  const uploads = `/v2/${repository}/blobs/uploads/`;
  if (random() < 0.25) {
    const head = await hosts.ask("HEAD", `/v2/${repository}/blobs/${blob.digest}`);
    if (head.status === 200) {
      if (head.headers["content-length"] !== String(blob.size)) fail(`HEAD of ${blob.digest}`, head);
      counts.add("found by HEAD");
      return true;
    }
    if (head.status !== 404) fail("HEAD of a blob", head);
  }
  const way = random();
  if (way < 0.2 && blob.size < 8_000_000) {
    const put = await hosts.ask("POST", `${uploads}?digest=${blob.digest}`, { body: blob.bytes(), headers: OCTETS });
    return created(counts, "in one request", put);
  }
  let opened: Answer;
  if (way < 0.5) {
    const from = random() < 0.8 ? `&from=${pickFrom(random, storm.repositories)}` : "";
    opened = await hosts.ask("POST", `${uploads}?mount=${blob.digest}${from}`);
    if (opened.status === 201) {
      counts.add("mounted");
      return true;
    }
  } else {
    opened = await hosts.ask("POST", uploads);
  }
  if (opened.status === 429) return false;
  if (opened.status !== 202) fail("an upload, opened", opened);
  const place = placeOf(opened);
  if (random() < 0.5) {
    const put = await hosts.ask("PUT", `${place}?digest=${blob.digest}`, { body: blob.bytes(), headers: OCTETS });
    return created(counts, "whole", put);
  }
  return await inChunks(storm, place, blob);
}

function created(counts: Counts, how: string, put: Answer): boolean {
  if (put.status === 201) counts.add(how);
  else if (!LATER.has(put.status)) fail(`a blob ${how}`, put);
  return put.status === 201;
}

/** Where an upload stands by an answer of a server, which never says more than was sent. undefined: the upload is not there. */
function standing(answer: Answer, sent: number): number | undefined {
  if (answer.status === 404) return undefined;
  if (answer.status === 416) {
    const { errors } = JSON.parse(answer.bytes.toString()) as { errors: { detail?: { offset?: number } }[] };
    const offset = errors[0]?.detail?.offset;
    if (offset === undefined || offset > sent) fail(`an upload of which ${sent} bytes were sent`, answer);
    return offset;
  }
  const last = /^0-(\d+)$/.exec(answer.headers["range"] ?? "")?.[1];
  if (last === undefined) fail("an upload", answer);
  // Nothing and one byte look alike: a chunk in the wrong place is answered with the right one.
  const offset = last === "0" ? 0 : Number(last) + 1;
  if (offset > sent) fail(`an upload of which ${sent} bytes were sent`, answer);
  return offset;
}

/** Sends a blob in chunks, goes on wherever the upload stands when one is lost or broken off, and ends it. */
async function inChunks({ hosts, random, counts }: Storm, place: string, blob: Blob): Promise<boolean> {
  const bytes = blob.bytes();
  const step = Math.max(CHUNK, Math.ceil(blob.size / 6));
  const most = Math.ceil(random() * step) + 1;
  let acknowledged = 0;
  let sent = 0;
  let at = 0;
  let known = true;
  for (let attempt = 0; attempt < 40; attempt += 1) {
    try {
      if (!known) {
        const asked = await hosts.ask("GET", place);
        if (asked.status !== 204 && asked.status !== 404) fail("where an upload stands", asked);
        const offset = standing(asked, sent);
        if (offset === undefined) return false;
        // A kill takes no acknowledged byte (a power failure may).
        if (offset < acknowledged && acknowledged > 1) fail(`an upload that stood at ${acknowledged}`, asked);
        counts.add("resumed");
        [at, known] = [offset, true];
      }
      if (at >= blob.size) {
        const put = await hosts.ask("PUT", `${place}?digest=${blob.digest}`);
        if (put.status === 409) await sleep(300);
        else return created(counts, "in chunks", put);
        continue;
      }
      const end = Math.min(blob.size, at + most);
      const body = bytes.subarray(at, end);
      const headers = { ...OCTETS, "content-range": `${at}-${end - 1}` };
      sent = Math.max(sent, end);
      const leaves = random() < 0.08 ? { leaveAfter: body.length >> 1 } : {};
      const patch = await hosts.ask("PATCH", place, { body, headers, ...leaves });
      switch (patch.status) {
        case 202:
        case 416: {
          const offset = standing(patch, sent);
          if (patch.status === 202 && offset !== end && end > 1) fail(`an upload that was brought to ${end}`, patch);
          at = patch.status === 202 ? end : (offset ?? 0);
          acknowledged = Math.max(acknowledged, patch.status === 202 ? end : 0);
          break;
        }
        case 404:
          return false;
        case 409:
          await sleep(300);
          known = false;
          break;
        default:
          fail("a chunk", patch);
      }
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      counts.add("lost answers");
      known = false;
      // What ended the upload may have been done: the blob is then asked for, or brought again.
      if (at >= blob.size) return false;
      await sleep(random() * 300);
    }
  }
  return false;
}

/** Begins an upload and never comes back. */
export async function abandon({ hosts, random, counts }: Storm, repository: string, blob: Blob): Promise<void> {
  const opened = await hosts.ask("POST", `/v2/${repository}/blobs/uploads/`);
  if (opened.status === 429) return;
  if (opened.status !== 202) fail("an upload, opened", opened);
  const body = blob.bytes();
  const leaves = random() < 0.5 ? { leaveAfter: body.length >> 1 } : {};
  counts.add("abandoned");
  if (random() < 0.8) await hosts.ask("PATCH", placeOf(opened), { body, headers: OCTETS, ...leaves });
}

/** Says other bytes than it sends: nobody may ever be served what was sent under the name that was said. */
export async function lie(
  { hosts, random, counts }: Storm,
  repository: string,
  blobs: readonly [Blob, Blob],
): Promise<void> {
  const [said, sent] = blobs;
  const uploads = `/v2/${repository}/blobs/uploads/`;
  const call = { body: sent.bytes(), headers: OCTETS };
  let put: Answer;
  if (random() < 0.5) {
    put = await hosts.ask("POST", `${uploads}?digest=${said.digest}`, call);
  } else {
    const opened = await hosts.ask("POST", uploads);
    if (opened.status !== 202) return;
    put = await hosts.ask("PUT", `${placeOf(opened)}?digest=${said.digest}`, call);
  }
  if (put.status !== 400 && !LATER.has(put.status)) fail("a blob of other bytes than it was said to have", put);
  const got = await hosts.ask("GET", `/v2/${repository}/blobs/${said.digest}`);
  if (got.status !== 404) fail("a blob that nobody brought", got);
  counts.add("lies refused");
}
