/** One client of a storm: what it does, what it was told, and whether what it is served is that. */
import { setTimeout as sleep } from "node:timers/promises";
import { deletedGraceMs, LEASE_MS } from "./hurried-limits.ts";
import { sha256 } from "./pushing.ts";
import { pickFrom } from "./seeded.ts";
import { type Answer, Unanswered } from "./storm-hosts.ts";
import { type Artifact, Blob, fail, type Parts, type Tag, Told } from "./storm-model.ts";
import { mustBeGone, pull, pullTag } from "./storm-pulls.ts";
import { abandon, bring, lie, type Storm } from "./storm-uploads.ts";

/** So many manifests a client has at most before it deletes one. */
const MOST_HERE = 8;

/** So many of a client's tags in the repository with retention rules stay. */
export const RETAINED = 3;

/** The repository from which rules delete. */
export const RETENTION = "default/storm-retained";

/** The bytes that many bring, again and again. */
export interface Pool {
  readonly config: Blob;
  readonly layers: readonly Blob[];
}

const OWN = "/api/assay/v1/orgs/default";

export class StormClient {
  readonly told = new Told();
  readonly #storm: Storm;
  readonly #pool: Pool;
  readonly #name: string;
  /** Bytes that only this client brings, and brings again after they were collected. */
  readonly #own: readonly Blob[];
  /** What it pushed into the repository with rules that must be there, the newest last; and what rules may delete. */
  readonly #retained: Artifact[] = [];
  readonly #leaving: Artifact[] = [];
  #count = 0;

  constructor(storm: Storm, pool: Pool, name: string) {
    this.#storm = storm;
    this.#pool = pool;
    this.#name = name;
    this.#own = [1_000, 7_000, 60_000].map((size, at) => new Blob(`${name} layer ${at}`, size));
  }

  /** Does something. @throws Wrong when what is answered must not be. */
  async act(everybody: readonly StormClient[]): Promise<void> {
    const { random, counts } = this.#storm;
    try {
      if (this.#deletable().length > MOST_HERE) return await this.#deleteOne();
      const chance = random();
      if (chance < 0.24) await this.#push();
      else if (chance < 0.3) await this.#pushRetained();
      else if (chance < 0.36) await this.#copy();
      else if (chance < 0.39) await this.#index();
      else if (chance < 0.42) await this.#refer();
      else if (chance < 0.5) await this.#deleteOne();
      else if (chance < 0.53) await this.#deleteTag();
      else if (chance < 0.56) await this.#deleteBlob();
      else if (chance < 0.6) await abandon(this.#storm, this.#repository(), this.#fresh(random() * 200_000));
      else if (chance < 0.62) await lie(this.#storm, this.#repository(), [this.#fresh(2_000), this.#fresh(2_000)]);
      else if (chance < 0.68) await this.#lookForGone();
      else await pullSome(this.#storm, pickFrom(random, everybody).told);
    } catch (error) {
      // What it was about stays unsure.
      if (!(error instanceof Unanswered)) throw error;
      counts.add("lost answers");
    }
  }

  #repository(): string {
    return pickFrom(this.#storm.random, this.#storm.repositories);
  }

  /** Bytes nobody ever brought. */
  #fresh(size: number): Blob {
    this.#count += 1;
    return new Blob(`${this.#name} fresh ${this.#count}`, 1 + Math.floor(size));
  }

  #layers(): Blob[] {
    const { random } = this.#storm;
    const layers = [pickFrom(random, this.#own)];
    // The larger a shared one is, the more seldom.
    if (random() < 0.7)
      layers.push(
        pickFrom(random, this.#pool.layers.slice(0, 1 + Math.floor(random() ** 2 * this.#pool.layers.length))),
      );
    if (random() < 0.4) layers.push(this.#fresh(random() < 0.1 ? 1_500_000 : random() * 30_000));
    return layers;
  }

  #deletable(): Artifact[] {
    return [...this.told.here].filter(({ repository }) => repository !== RETENTION);
  }

  #standing(): Artifact[] {
    return this.#deletable().filter(({ state }) => state === "stands");
  }

  /** What every manifest is pushed by: its blobs first, each as often as it takes. @returns false when it was given up. */
  async #put(artifact: Artifact, tag: Tag | undefined): Promise<boolean> {
    const { hosts, random, counts } = this.#storm;
    for (let round = 0; round < 4; round += 1) {
      const began = performance.now();
      const brought = await Promise.all(artifact.blobs.map((blob) => bring(this.#storm, artifact.repository, blob)));
      if (brought.includes(false)) return false;
      // A client that is slow: what it brought may be gone by now.
      if (random() < 0.03) await sleep(random() * 1.3 * LEASE_MS);
      const takeBack = this.told.pushing(artifact, tag);
      for (;;) {
        let answer: Answer;
        try {
          answer = await hosts.ask("PUT", `/v2/${artifact.repository}/manifests/${tag?.name ?? artifact.digest}`, {
            body: artifact.bytes,
            headers: { "content-type": artifact.mediaType },
          });
        } catch (error) {
          // Some ask again until they know; others never do.
          if (!(error instanceof Unanswered) || random() < 0.3) throw error;
          counts.add("lost answers");
          await sleep(random() * 300);
          continue;
        }
        if (answer.status === 201) {
          if (answer.headers["docker-content-digest"] !== artifact.digest) fail("a manifest, pushed", answer);
          this.told.pushed(artifact, tag);
          counts.add("pushed");
          return true;
        }
        if (answer.status !== 404) fail("a manifest, pushed", answer);
        takeBack();
        // What it lists is there, and only this client may delete it.
        if (artifact.blobs.length === 0) fail("an index of what is here", answer);
        // Nobody else takes away what only this client brings: it is there for as long as the shortest lease that it can have.
        const soon = performance.now() - began < LEASE_MS / 2;
        if (soon && missingIn(answer).some((digest) => !this.#isShared(digest)))
          fail("blobs that were brought", answer);
        counts.add("leases run out");
        break;
      }
    }
    counts.add("pushes given up");
    return false;
  }

  #isShared(digest: string): boolean {
    return [this.#pool.config, ...this.#pool.layers].some((blob) => blob.digest === digest);
  }

  async #push(): Promise<void> {
    const { random } = this.#storm;
    const again = [...this.told.gone].filter((one) => one.repository !== RETENTION && one.children.length === 0);
    if (again.length > 0 && random() < 0.2) {
      const artifact = pickFrom(random, again);
      await this.#put(artifact, this.#tagFor(artifact.repository));
      return;
    }
    const repository = this.#repository();
    await this.#put(this.#image(repository, this.#layers()), this.#tagFor(repository));
  }

  #image(repository: string, layers: readonly Blob[]): Artifact {
    this.#count += 1;
    return this.told.artifact(repository, {
      blobs: [this.#pool.config, ...layers],
      note: `${this.#name} image ${this.#count}`,
    });
  }

  /** One that moves, one of its own, or none. */
  #tagFor(repository: string): Tag | undefined {
    const chance = this.#storm.random();
    if (chance < 0.4) return this.told.tag(repository, `${this.#name}-${chance < 0.2 ? "latest" : "next"}`);
    this.#count += 1;
    return chance < 0.8 ? this.told.tag(repository, `${this.#name}-t${this.#count}`) : undefined;
  }

  /** Into the repository from which rules take all but this client's newest. */
  async #pushRetained(): Promise<void> {
    const artifact = this.#image(RETENTION, this.#layers());
    this.#count += 1;
    const tag = this.told.tag(RETENTION, `${this.#name}-t${this.#count}`);
    // From the moment that one more may be there, the oldest of those that were kept may go.
    const leaving = this.#retained.splice(0, Math.max(this.#retained.length - RETAINED + 1, 0));
    for (const old of leaving) this.told.deleting(old);
    this.#leaving.push(...leaving);
    this.#retained.push(artifact);
    await this.#put(artifact, tag);
  }

  /** The same manifest in another repository. */
  async #copy(): Promise<void> {
    const images = this.#standing().filter(({ blobs, subject }) => blobs.length > 0 && subject === undefined);
    if (images.length === 0) return;
    const { blobs, bytes } = pickFrom(this.#storm.random, images);
    const { annotations } = JSON.parse(bytes.toString()) as { annotations: Record<string, string> };
    const repository = this.#repository();
    const parts: Parts = { blobs, note: annotations["org.example.note"] ?? "" };
    await this.#put(this.told.artifact(repository, parts), this.#tagFor(repository));
  }

  async #index(): Promise<void> {
    const { random } = this.#storm;
    const repository = this.#repository();
    const children = this.#standing().filter((one) => one.repository === repository && one.children.length === 0);
    if (children.length === 0) return;
    this.#count += 1;
    const note = `${this.#name} index ${this.#count}`;
    await this.#put(
      this.told.artifact(repository, { children: children.slice(0, 1 + Math.floor(random() * 3)), note }),
      this.#tagFor(repository),
    );
  }

  async #refer(): Promise<void> {
    const subjects = this.#standing();
    if (subjects.length === 0) return;
    const subject = pickFrom(this.#storm.random, subjects);
    this.#count += 1;
    const parts = { blobs: [this.#pool.config, this.#fresh(500)], subject, note: `${this.#name} note ${this.#count}` };
    await this.#put(this.told.artifact(subject.repository, parts), undefined);
  }

  async #deleteOne(): Promise<void> {
    const { hosts, random, counts } = this.#storm;
    const here = this.#deletable();
    if (here.length === 0) return;
    const artifact = pickFrom(random, here);
    if (random() < 0.35) return await this.#deleteAndRestore(artifact);
    for (;;) {
      const stood = artifact.state === "stands";
      this.told.deleting(artifact);
      try {
        const answer = await hosts.ask("DELETE", `/v2/${artifact.repository}/manifests/${artifact.digest}`);
        if (answer.status !== 202 && (answer.status !== 404 || stood)) fail(`${artifact.digest}, deleted`, answer);
        this.told.deleted(artifact);
        counts.add("deleted");
        return;
      } catch (error) {
        if (!(error instanceof Unanswered) || random() < 0.3) throw error;
        counts.add("lost answers");
      }
    }
  }

  /** As a person does who has second thoughts, in time or too late. */
  async #deleteAndRestore(artifact: Artifact): Promise<void> {
    const { hosts, random, counts } = this.#storm;
    const stood = artifact.state === "stands";
    const tags = this.told.tagsOf(artifact).map((tag) => ({ tag, certain: tag.may.size === 1 }));
    this.told.deleting(artifact);
    const name = encodeURIComponent(artifact.repository.slice("default/".length));
    const gone = await hosts.ask("POST", `${OWN}/repositories/${name}/deletions`, {
      body: Buffer.from(JSON.stringify({ digest: artifact.digest })),
      headers: { "content-type": "application/json" },
    });
    if (gone.status !== 200 && (gone.status !== 404 || stood)) fail(`${artifact.digest}, deleted`, gone);
    this.told.deleted(artifact);
    counts.add("deleted");
    if (gone.status === 404) return;
    const { sequence, until } = JSON.parse(gone.bytes.toString()) as { sequence: number; until: number };
    await sleep(random() * 1.2 * deletedGraceMs);
    for (let asked = 1; ; asked += 1) {
      const takeBack = this.told.pushing(artifact, undefined);
      for (const { tag } of tags) {
        tag.changes += 1;
        tag.may.add(artifact);
      }
      const came = (): void => {
        this.told.pushed(artifact, undefined);
        for (const { tag, certain } of tags) if (certain) tag.may = new Set([artifact]);
        counts.add("restored");
      };
      try {
        const answer = await hosts.ask("POST", `${OWN}/deletions/${sequence}/restore`);
        if (answer.status === 200) return came();
        const { error } = JSON.parse(answer.bytes.toString()) as { error?: { code?: string } };
        // It was, and the answer to that was lost.
        if (error?.code === "deletion-restored" && asked > 1) return came();
        if (error?.code !== "deletion-final" || Date.now() < until) fail(`${artifact.digest}, restored`, answer);
        takeBack();
        for (const { tag } of tags) tag.may.delete(artifact);
        this.told.set(artifact, "gone");
        counts.add("too late to restore");
        return;
      } catch (error) {
        if (!(error instanceof Unanswered) || random() < 0.3) throw error;
        counts.add("lost answers");
      }
    }
  }

  async #deleteTag(): Promise<void> {
    const { hosts, random, counts } = this.#storm;
    const tags = [...this.told.tags.values()].filter(
      ({ repository, may }) => repository !== RETENTION && (may.size > 1 || !may.has(undefined)),
    );
    if (tags.length === 0) return;
    const tag = pickFrom(random, tags);
    const there = !tag.may.has(undefined);
    this.told.untagging(tag);
    const answer = await hosts.ask("DELETE", `/v2/${tag.repository}/manifests/${tag.name}`);
    if (answer.status !== 202 && (answer.status !== 404 || there)) fail(`the tag ${tag.name}, deleted`, answer);
    this.told.untagged(tag);
    counts.add("tags deleted");
  }

  /** A blob that a manifest needs stays; one that none does is gone from the repository at once; others' pushes have to bear it. */
  async #deleteBlob(): Promise<void> {
    const { hosts, random, counts } = this.#storm;
    const repository = this.#repository();
    const [needed] = this.#standing().filter((one) => one.repository === repository && one.blobs.length > 0);
    if (needed !== undefined && random() < 0.4) {
      const answer = await hosts.ask("DELETE", `/v2/${repository}/blobs/${needed.blobs.at(-1)?.digest ?? ""}`);
      if (answer.status !== 405) fail("a blob that is needed, deleted", answer);
      return;
    }
    if (random() < 0.4) {
      const layer = pickFrom(random, this.#pool.layers);
      const answer = await hosts.ask("DELETE", `/v2/${repository}/blobs/${layer.digest}`);
      if (![202, 404, 405].includes(answer.status)) fail("a shared blob, deleted", answer);
      return;
    }
    const blob = this.#fresh(5_000);
    const began = performance.now();
    if (!(await bring(this.#storm, repository, blob))) return;
    const got = await hosts.ask("GET", `/v2/${repository}/blobs/${blob.digest}`);
    // Its lease may have ended while nobody got to work.
    const leased = performance.now() - began < LEASE_MS / 2;
    if (got.status === 200 ? sha256(got.bytes) !== blob.digest : leased) fail(`the blob ${blob.digest}, brought`, got);
    const answer = await hosts.ask("DELETE", `/v2/${repository}/blobs/${blob.digest}`);
    if (answer.status !== 202 && (answer.status !== 404 || performance.now() - began < LEASE_MS / 2)) {
      fail("a blob, deleted", answer);
    }
    const after = await hosts.ask("GET", `/v2/${repository}/blobs/${blob.digest}`);
    if (after.status !== 404) fail("a blob that was deleted", after);
    counts.add("blobs deleted");
  }

  async #lookForGone(): Promise<void> {
    const [leaving] = this.#leaving;
    if (leaving !== undefined && this.#storm.random() < 0.5) {
      const served = await pull(this.#storm, this.told, leaving);
      this.#leaving.shift();
      if (served) this.#leaving.push(leaving);
      else this.told.deleted(leaving);
      return;
    }
    const gone = [...this.told.gone];
    if (gone.length === 0) return;
    await mustBeGone(this.#storm, pickFrom(this.#storm.random, gone));
  }
}

/** What a repository says it lacks of a manifest. */
function missingIn({ bytes }: Answer): readonly string[] {
  const { errors } = JSON.parse(bytes.toString()) as { errors: { detail?: { digests?: string[] } }[] };
  return errors.flatMap(({ detail }) => detail?.digests ?? []);
}

/** Pulls something that a client was told is there, by its digest and its tags. */
async function pullSome(storm: Storm, told: Told): Promise<void> {
  const { random } = storm;
  if (told.here.size > 0) await pull(storm, told, pickFrom(random, [...told.here]));
  const tags = [...told.tags.values()];
  if (tags.length > 0) await pullTag(storm, pickFrom(random, tags));
}
