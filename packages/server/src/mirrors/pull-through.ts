import type { Digest } from "@assay/evidence";
import { mirrorId } from "../access/names.ts";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import type { AskedPull, PullThrough } from "../registry/context.ts";
import type { NamedDigest } from "../registry/digest.ts";
import { OciError } from "../registry/errors.ts";
import { awaitedBlob, resolveTag, tagSetBy } from "../registry/queries.ts";
import { isEvidenceTag } from "../registry/tag-rules.ts";
import { AtOnce, Shared } from "./at-once.ts";
import { Bringer, type MirrorsContext, type Way } from "./bring.ts";
import { mirrorActor } from "./commands.ts";
import { openCredential } from "./credential.ts";
import { bringEvidence } from "./evidence.ts";
import { fillManifest } from "./fill.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { anyMirror, currentMirror, lastLook, type MirrorRow } from "./queries.ts";
import { Remote, UpstreamBusy } from "./remote.ts";
import { remoteDigest, remoteManifest, remoteTags } from "./remote-reads.ts";
import { hostsOfRow, readRemoteUrl } from "./setting.ts";

/** What came of bringing a manifest. */
interface Brought {
  readonly changed: boolean;
  readonly warning?: string;
}

const NOTHING: Brought = { changed: false };

/** Upstreams remembered with their tokens. */
const REMEMBERED = 256;

/**
 * Fills the registry's hook for what a repository does not have: pulls through to its upstream.
 *
 * - By digest: what is here is served, whether the upstream answers or not; what is not is brought and, its digest computed here, is here.
 * - By tag: what it names is believed for as long as the mirror's setting says; then the upstream is asked. A release tag never moves.
 * - A blob is brought when it is asked for, if a manifest of the repository names it.
 */
export class Mirrors implements PullThrough {
  readonly #context: MirrorsContext;
  readonly #bringer: Bringer;
  readonly #manifests = new Shared<Brought>();
  readonly #places = new AtOnce({
    places: MIRROR_LIMITS.manifestsAtOnce,
    each: MIRROR_LIMITS.manifestsPerOrganisation,
    waiting: MIRROR_LIMITS.waiting,
  });
  readonly #blobs = new Shared<void>();
  readonly #looks = new Shared<void>();
  /** When a look for evidence did not bring everything, ms. */
  readonly #incomplete = new Map<string, number>();
  readonly #remotes = new Map<number, Remote>();
  /** Upstreams that gave no answer, each as it was set, and until when they are left alone, ms. */
  readonly #resting = new Map<number, { readonly until: number; readonly why: string }>();
  #noneUntil = 0;

  constructor(context: MirrorsContext) {
    this.#context = context;
    this.#bringer = new Bringer(context);
  }

  /** Something was set: what is believed of mirrors is asked anew. */
  changed(): void {
    this.#noneUntil = 0;
    this.#resting.clear();
    this.#incomplete.clear();
  }

  async manifest(
    { repository }: AskedPull,
    reference: { readonly tag: string } | { readonly digest: NamedDigest },
    here: Digest | undefined,
  ): Promise<Brought | undefined> {
    const mirror = await this.#mirrorOf(repository);
    if (mirror === undefined) return undefined;
    if ("tag" in reference) {
      const { tag } = reference;
      if (here !== undefined && ((await this.#isFresh(mirror, tag)) || (await this.#isOwn(repository, tag))))
        return NOTHING;
      return await this.#once(mirror, `${repository}:${tag}`, () => this.#bringTag(mirror, tag, here));
    }
    const { digest } = reference;
    if (here !== undefined) {
      await this.#lookAgain(mirror, here);
      return NOTHING;
    }
    return await this.#once(mirror, `${repository}@${digest}`, () => this.#bringDigest(mirror, digest));
  }

  async blob({ repository }: AskedPull, named: NamedDigest): Promise<void> {
    const mirror = await this.#mirrorOf(repository);
    if (mirror === undefined) return;
    const awaited = await awaitedBlob(this.#context.reader, repository, named);
    if (awaited === undefined) return;
    await this.#blobs.run(`${repository}@${named}`, async () => {
      this.#refuseWhileResting(mirror);
      try {
        await this.#bringer.blob(await this.#way(mirror), named, awaited.size);
      } catch (error) {
        throw this.#unanswered(mirror, error);
      }
    });
  }

  /**
   * Brings a tag, everything it names and the evidence about it now, whatever their age: for those who fill a mirror ahead of time.
   *
   * @throws OciError, ServerError `upstream-failed` when something could not be brought, or must not be served as it is.
   */
  async fill(repository: string, tag: string, beat: () => Promise<void>): Promise<"copied" | "present"> {
    const { reader, blobs } = this.#context;
    const mirror = await this.#mirrorOf(repository);
    if (mirror === undefined) throw new ServerError("upstream-failed", `${repository} mirrors nothing any more`);
    const before = await resolveTag(reader, repository, tag);
    const key = `${repository}:${tag}`;
    const { warning } = await this.#once(mirror, key, () => this.#bringTag(mirror, tag, before?.digest));
    if (warning !== undefined) throw new ServerError("upstream-failed", warning);
    const now = await resolveTag(reader, repository, tag);
    if (now === undefined) throw new ServerError("upstream-failed", `${mirror.url} has no tag ${tag}`);
    const way = await this.#way(mirror);
    const brought = await fillManifest(
      {
        reader,
        blobs,
        bringer: this.#bringer,
        with: (to, digest) => this.#lookForEvidence(to, mirror, digest),
        beat,
      },
      way,
      now.digest,
    );
    return brought || now.digest !== before?.digest ? "copied" : "present";
  }

  /** The tags that a mirror's upstream has, as it lists them. */
  async *upstreamTags(repository: string): AsyncGenerator<string, void, undefined> {
    const mirror = await this.#mirrorOf(repository);
    if (mirror === undefined) throw new ServerError("upstream-failed", `${repository} mirrors nothing any more`);
    yield* remoteTags((await this.#way(mirror)).remote);
  }

  /** Brings a manifest once for all who wait for it, and not too many at a time: each lies in memory whole. */
  #once(mirror: MirrorRow, key: string, work: () => Promise<Brought>): Promise<Brought> {
    // Of each setting by itself: what is brought under a former one is refused in the end.
    return this.#manifests.run(`${mirror.from_seq} ${key}`, () => this.#places.run(mirror.org, work));
  }

  /** The way to a mirror's upstream, with its credential. */
  async #way(mirror: MirrorRow): Promise<Way> {
    const known = this.#remotes.get(mirror.from_seq);
    if (known !== undefined) return { mirror, remote: known };
    const place = readRemoteUrl(mirror.url);
    if (place === undefined) throw new ServerError("upstream-failed", `${mirror.url} names no repository`);
    const { reader, keyring } = this.#context;
    const credential =
      mirror.credential === null ? undefined : await openCredential(reader, keyring, mirror.org, mirror.credential);
    const remote = new Remote(place, this.#context, { credential, tokenHosts: hostsOfRow(mirror), right: "pull" });
    const [oldest] = this.#remotes.keys();
    if (oldest !== undefined && this.#remotes.size >= REMEMBERED) this.#remotes.delete(oldest);
    this.#remotes.set(mirror.from_seq, remote);
    return { mirror, remote };
  }

  async #mirrorOf(repository: string): Promise<MirrorRow | undefined> {
    const { reader, now } = this.#context;
    // Where nothing is mirrored a pull costs nothing more.
    if (now() < this.#noneUntil) return undefined;
    const mirror = await currentMirror(reader, repository);
    if (mirror === undefined && !(await anyMirror(reader))) this.#noneUntil = now() + MIRROR_LIMITS.noneMs;
    return mirror;
  }

  async #isFresh(mirror: MirrorRow, reference: string): Promise<boolean> {
    const looked = await this.#lastLook(mirror, reference);
    return looked !== undefined && this.#isRecent(looked, mirror.max_age_ms);
  }

  /** When the upstream was last asked, as it is set now: what a former one said is no answer of this one. */
  async #lastLook({ repository, set_time }: MirrorRow, reference: string): Promise<number | undefined> {
    const looked = await lastLook(this.#context.reader, repository, reference);
    return looked !== undefined && looked > set_time ? looked : undefined;
  }

  /** Whether a moment lies within so many ms of now. One far ahead is of a clock that was set back since, and says nothing. */
  #isRecent(moment: number, ms: number): boolean {
    return Math.abs(this.#context.now() - moment) < ms;
  }

  /** Whether a tag is one under which the organisation itself keeps evidence about what it mirrors. */
  async #isOwn(repository: string, tag: string): Promise<boolean> {
    if (!isEvidenceTag(tag)) return false;
    const { reader } = this.#context;
    const set = await resolveTag(reader, repository, tag);
    return set !== undefined && (await tagSetBy(reader, set.sequence)) !== mirrorId(repository);
  }

  async #looked({ org, repository, from_seq: setting }: MirrorRow, reference: string): Promise<void> {
    await this.#context.record.operate("mirrors.looked", { org, repository, setting, reference });
  }

  async #bringDigest(mirror: MirrorRow, digest: NamedDigest): Promise<Brought> {
    this.#refuseWhileResting(mirror);
    try {
      const way = await this.#way(mirror);
      const manifest = await remoteManifest(way.remote, digest);
      if (manifest === undefined) return NOTHING;
      const accepted = await this.#bringer.manifest(way, manifest, { tag: undefined, expected: digest });
      await this.#lookForEvidence(way, mirror, accepted.digest);
      return { changed: true };
    } catch (error) {
      throw this.#unanswered(mirror, error);
    }
  }

  async #bringTag(mirror: MirrorRow, tag: string, here: Digest | undefined): Promise<Brought> {
    const resting = this.#restOf(mirror);
    if (resting !== undefined) return this.#stale(mirror, tag, here, resting);
    try {
      const way = await this.#way(mirror);
      if (here !== undefined && (await remoteDigest(way.remote, tag)) === here) {
        await this.#looked(mirror, tag);
        if (!isEvidenceTag(tag)) await this.#lookForEvidence(way, mirror, here);
        return NOTHING;
      }
      const manifest = await remoteManifest(way.remote, tag);
      if (manifest === undefined) {
        if (here === undefined) return NOTHING;
        return this.#stale(mirror, tag, here, `${mirror.url} has no tag ${tag} any more`);
      }
      const refused = await this.#take(way, tag, here, manifest);
      await this.#looked(mirror, tag);
      return refused ?? { changed: true };
    } catch (error) {
      // What this server itself will not take up is no fault of what is here.
      const own = error instanceof Problem || (error instanceof ServerError && error.code === "disk-low");
      const failure = own ? error : this.#unanswered(mirror, error);
      return this.#stale(mirror, tag, here, failure.message, failure);
    }
  }

  /** Takes up what a tag names now. @returns what to warn of, when the tag is one that never moves. */
  async #take(
    way: Way,
    tag: string,
    here: Digest | undefined,
    manifest: Parameters<Bringer["manifest"]>[1],
  ): Promise<Brought | undefined> {
    const { mirror } = way;
    const { org, repository } = mirror;
    try {
      const { digest } = await this.#bringer.manifest(way, manifest, { tag, expected: undefined });
      if (!isEvidenceTag(tag)) await this.#lookForEvidence(way, mirror, digest);
      return undefined;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "tag-immutable") throw error;
      // Refused like anybody's push, and put on record once.
      const body = { repository, tag, refused: manifest.digest };
      const actor = mirrorActor(repository, mirror.from_seq);
      const told = await this.#context.record.append({ type: "mirrors.refuse-tag", org, actor, body });
      if (!told.ok)
        this.#context.log.warn({ repository, tag, refusal: told.refusal.code }, "a moved tag is not on record");
      if (here === undefined) throw error;
      return {
        changed: false,
        warning: `${mirror.url} moved the release tag ${tag} to ${manifest.digest}: it stays where it was`,
      };
    }
  }

  /** What is here, with a warning; or the refusal to serve it. */
  #stale(mirror: MirrorRow, tag: string, here: Digest | undefined, why: string, failure?: Error): Brought {
    if (here !== undefined && mirror.stale === "serve") {
      return { changed: false, warning: `${tag} may be out of date: ${why}`.slice(0, MIRROR_LIMITS.problemLength) };
    }
    throw failure ?? unavailable(why);
  }

  /** Evidence about a digest that is here already: waited for the first time only. */
  async #lookAgain(mirror: MirrorRow, digest: Digest): Promise<void> {
    if (mirror.evidence !== 1 || this.#restOf(mirror) !== undefined) return;
    const { now, log } = this.#context;
    const looked = await this.#lastLook(mirror, digest);
    if (looked !== undefined && this.#isRecent(looked, mirror.max_age_ms)) return;
    // One that could not bring everything is made again now and then, behind a pull, and not with each.
    const key = `${mirror.repository}@${digest}`;
    const incomplete = this.#incomplete.get(key);
    if (incomplete !== undefined && this.#isRecent(incomplete, MIRROR_LIMITS.evidenceMs)) return;
    // What is here is served whatever comes of it.
    const look = async (): Promise<void> => {
      try {
        await this.#lookForEvidence(await this.#way(mirror), mirror, digest);
      } catch (error) {
        const { repository } = mirror;
        this.#rest(mirror, error);
        this.#isIncomplete(key, now());
        log.warn({ repository, digest, err: error }, "an upstream could not be asked for evidence");
      }
    };
    if (looked === undefined && incomplete === undefined) await look();
    else void look();
  }

  async #lookForEvidence(way: Way, mirror: MirrorRow, digest: Digest): Promise<void> {
    if (mirror.evidence !== 1) return;
    const { reader, now, log } = this.#context;
    await this.#looks.run(`${mirror.repository}@${digest}`, async () => {
      const look = await bringEvidence({ reader, bringer: this.#bringer, now }, way, digest);
      const key = `${mirror.repository}@${digest}`;
      if (look.problems.length === 0) {
        this.#incomplete.delete(key);
        await this.#looked(mirror, digest);
        return;
      }
      this.#isIncomplete(key, now());
      this.#rest(mirror, look.busy);
      const { repository } = mirror;
      log.warn(
        { repository, digest, problems: look.problems.slice(0, 10) },
        "some evidence of an upstream could not be brought",
      );
    });
  }

  #isIncomplete(key: string, moment: number): void {
    this.#incomplete.delete(key);
    this.#incomplete.set(key, moment);
    const [oldest] = this.#incomplete.keys();
    if (oldest !== undefined && this.#incomplete.size > MIRROR_LIMITS.looksRemembered) this.#incomplete.delete(oldest);
  }

  #restOf(mirror: MirrorRow): string | undefined {
    const resting = this.#resting.get(mirror.from_seq);
    if (resting === undefined) return undefined;
    if (resting.until > this.#context.now()) return resting.why;
    this.#resting.delete(mirror.from_seq);
    return undefined;
  }

  #refuseWhileResting(mirror: MirrorRow): void {
    const why = this.#restOf(mirror);
    if (why !== undefined) throw unavailable(why);
  }

  #rest(mirror: MirrorRow, error: unknown): void {
    const busy = error instanceof UpstreamBusy;
    if (!busy && !(error instanceof ServerError && error.code === "egress-failed")) return;
    const ms = busy ? error.restMs : MIRROR_LIMITS.restMs;
    this.#resting.set(mirror.from_seq, { until: this.#context.now() + ms, why: error.message });
    const [oldest] = this.#resting.keys();
    if (oldest !== undefined && this.#resting.size > REMEMBERED) this.#resting.delete(oldest);
  }

  /** An error as the registry answers with it. An upstream that gave no answer is left alone for a while. */
  #unanswered(mirror: MirrorRow, error: unknown): OciError {
    if (error instanceof OciError) return error;
    if (error instanceof ServerError) {
      const { code, message, hint } = error;
      this.#rest(mirror, error);
      if (code === "egress-failed" || code === "egress-refused" || code === "upstream-failed") {
        return unavailable(hint === undefined ? message : `${message}: ${hint}`, error);
      }
    }
    throw error;
  }
}

/** The upstream gave no answer that can be used, and there is nothing here that may be served instead. */
function unavailable(why: string, cause?: unknown): OciError {
  const seconds = Math.ceil((cause instanceof UpstreamBusy ? cause.restMs : MIRROR_LIMITS.restMs) / 1000);
  return new OciError(502, "UNKNOWN", why, {
    headers: { "retry-after": String(seconds) },
    ...(cause === undefined ? {} : { cause }),
  });
}
