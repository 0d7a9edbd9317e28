import { isUtf8 } from "node:buffer";
import { type Digest, matchesRepository } from "@assay/evidence";
import { authorizeBearer } from "../access/authorize.ts";
import { evidenceAlone } from "../attestations/attachments.ts";
import { MAX_EVIDENCE_BYTES } from "../attestations/reading.ts";
import { newestSequence } from "../record/newest.ts";
import type { Refusal } from "../record/command.ts";
import { canonicalDigest } from "../registry/alias-queries.ts";
import { isNamedDigest } from "../registry/digest.ts";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import { evidenceTagsOf, holds, indexesListing, manifestsHolding, statedBy } from "../registry/naming-queries.ts";
import type { Pull, PullGate } from "../registry/pull-gate.ts";
import { isLost } from "../storage/blobs.ts";
import type { GateContext } from "./context.ts";
import { currentPolicy, onceAllowed, pullGates, type PullGateRow } from "./pull-gate-queries.ts";
import type { RepeatCounter } from "./repeat-counter.ts";
import { StandingAnswers } from "./standing-answers.ts";

/** Verdicts, organisations' gates and blobs' holders kept in memory, each. */
const MOST = 20_000;

/** How deep evidence about evidence, and indexes in indexes, are followed. */
const DEPTH = 3;

/** Indexes that list one manifest, and manifests that name one blob, which are judged for its sake; and what one piece of evidence is about. */
const INDEXES = 32;
const HOLDERS = 32;
const SUBJECTS = 32;

/** Indexes that list one manifest, of which those are sought that were allowed before. */
const INDEXES_SOUGHT = 5_000;

/** Manifests that name one blob, of which those are sought that were allowed before. */
const HOLDERS_SOUGHT = 20_000;
const HOLDERS_STEP = 500;

/** What the gates over a repository say of a manifest. */
interface Verdict {
  /** undefined: it is served. */
  readonly refusal: Refusal | undefined;
  /** The decisions it rests on. */
  readonly decisions: readonly string[];
  /** ms since 1970. */
  readonly until: number;
}

/** A verdict and the record's sequence as of which it was found to hold. */
interface Settled extends Verdict {
  readonly asOf: number;
}

/** Where a manifest is judged, by which gates. */
interface Place {
  readonly org: string;
  readonly repository: string;
  readonly gates: readonly PullGateRow[];
}

/**
 * The registry's hook: whether something is served, by the decisions that the gates over its repository demand. All of them must allow it.
 *
 * - Who may write evidence in the repository is served everything: what signs and scans must see what it signs and scans.
 * - A manifest is judged by its own digest, or (`platforms: index`) allowed with an index of the repository that lists it.
 * - Evidence and nothing else is served with what it is about.
 * - A blob is served when a manifest that is served names it.
 *
 * A verdict stands while the record does not grow; when it has grown, its decisions are asked again, which are made anew only where what
 * they rest on changed (standing-answers.ts). Nothing of the request but who asks and for what decides.
 */
export class PullGates implements PullGate {
  readonly #context: GateContext;
  readonly #answers: StandingAnswers;
  readonly #repeats: RepeatCounter;
  readonly #gates = new Map<string, { readonly asOf: number; readonly rows: readonly PullGateRow[] }>();
  readonly #settled = new Map<string, Settled>();
  /** Which manifest a blob was served for. */
  readonly #holders = new Map<string, Digest>();
  /** Which layers are text. */
  readonly #texts = new Map<Digest, boolean>();

  constructor(context: GateContext, repeats: RepeatCounter, answers = new StandingAnswers(context)) {
    this.#context = context;
    this.#repeats = repeats;
    this.#answers = answers;
  }

  async manifest(pull: Pull, digest: Digest): Promise<Refusal | undefined> {
    const asOf = pull.settled?.asOf ?? (await newestSequence(this.#context.reader));
    const gates = await this.#over(pull, asOf);
    if (gates.length === 0) return undefined;
    const settled = this.#stands(nameIn(pull.repository, digest), asOf);
    if (settled?.refusal !== undefined || settled === undefined) {
      // Before anything is decided for them: their own look at what they just pushed is no question.
      if (await this.#producesEvidence(pull)) return undefined;
    }
    const verdict = settled ?? (await this.#verdict({ ...pull, gates }, digest, asOf));
    if (settled !== undefined) for (const decision of settled.decisions) this.#repeats.count(decision);
    return verdict.refusal;
  }

  async blob(pull: Pull, digest: Digest): Promise<Refusal | undefined> {
    const { repository } = pull;
    const asOf = await newestSequence(this.#context.reader);
    const gates = await this.#over(pull, asOf);
    if (gates.length === 0) return undefined;
    const holder = this.#holders.get(nameIn(repository, digest));
    if (holder !== undefined) {
      const settled = this.#stands(nameIn(repository, holder), asOf);
      // While the record has not grown, the manifest that named the blob still does.
      if (settled?.refusal === undefined && settled !== undefined) return undefined;
    }
    if (await this.#producesEvidence(pull)) return undefined;
    return await this.#throughManifests({ ...pull, gates }, digest, asOf, holder);
  }

  async stands(place: Omit<Pull, "actor">): Promise<boolean> {
    return (await this.#over(place, await newestSequence(this.#context.reader))).length > 0;
  }

  /** The gates over a repository. */
  async #over({ org, repository }: Omit<Pull, "actor">, asOf: number): Promise<PullGateRow[]> {
    let known = this.#gates.get(org);
    if (known === undefined || known.asOf !== asOf) {
      known = { asOf, rows: await pullGates(this.#context.reader, org) };
      remember(this.#gates, org, known);
    }
    return known.rows.filter((gate) => matchesRepository([gate.repository], repository));
  }

  /**
   * Whether somebody may write evidence here. By their role, and by the key they came with where that is bound: a token narrowed to pulling is
   * how a signing client reads what it signs.
   */
  async #producesEvidence({ org, repository, actor }: Pull): Promise<boolean> {
    return (await authorizeBearer(this.#context.reader, actor, "evidence.write", { org, repository })) === undefined;
  }

  #now(): number {
    return (this.#context.now ?? Date.now)();
  }

  #stands(name: string, asOf: number): Settled | undefined {
    const settled = this.#settled.get(name);
    return settled !== undefined && settled.asOf === asOf && this.#now() < settled.until ? settled : undefined;
  }

  async #verdict(place: Place, digest: Digest, asOf: number): Promise<Verdict> {
    const name = nameIn(place.repository, digest);
    const settled = this.#stands(name, asOf);
    if (settled !== undefined) return settled;
    const verdict = await this.#judge(place, digest, DEPTH);
    remember(this.#settled, name, { ...verdict, asOf });
    return verdict;
  }

  /** A manifest, as what it is: evidence with what it is about, everything else itself. */
  async #judge(place: Place, digest: Digest, depth: number): Promise<Verdict> {
    const subjects = depth > 0 ? await this.#isEvidenceAbout(place, digest) : [];
    let refused: Verdict | undefined;
    for (const subject of subjects) {
      const verdict = await this.#judge(place, subject, depth - 1);
      if (verdict.refusal === undefined) return verdict;
      refused ??= verdict;
    }
    if (refused !== undefined) return refused;
    let until = Number.MAX_SAFE_INTEGER;
    const decisions: string[] = [];
    for (const gate of place.gates) {
      const verdict = await this.#allowed(place, gate, digest);
      until = Math.min(until, verdict.until);
      decisions.push(...verdict.decisions);
      if (verdict.refusal !== undefined) return verdict;
    }
    return { refusal: undefined, decisions, until };
  }

  /** What one gate says. */
  async #allowed(place: Place, gate: PullGateRow, digest: Digest): Promise<Verdict> {
    const { org, repository } = place;
    const ask = async (artifact: Digest): Promise<Verdict> => {
      const question = { org, repository, policy: gate.policy, artifact };
      const { id, refusal, until, repeat } = await this.#answers.ask(question);
      if (repeat) this.#repeats.count(id);
      return { refusal, until, decisions: [id] };
    };
    if (gate.platforms === "index") {
      for (const index of await this.#indexes(place, gate, digest)) {
        const verdict = await ask(index);
        if (verdict.refusal === undefined) return verdict;
      }
    }
    return await ask(digest);
  }

  /** Indexes of the repository that list a manifest, directly or through others; those that were allowed before come first. */
  async #indexes({ org, repository }: Place, gate: PullGateRow, digest: Digest): Promise<Digest[]> {
    const { reader } = this.#context;
    const found = new Set<Digest>();
    let below: readonly Digest[] = [digest];
    for (let depth = 0; depth < DEPTH && below.length > 0 && found.size < INDEXES_SOUGHT; depth += 1) {
      const listing = await indexesListing(reader, repository, below, INDEXES_SOUGHT);
      below = listing.map(({ index }) => index).filter((index) => !found.has(index));
      for (const index of below) found.add(index);
    }
    const policy = await currentPolicy(reader, org, gate.policy);
    if (policy === undefined) return [];
    const before = await onceAllowed(reader, org, { repository, policyDigest: policy.digest }, [...found]);
    return [...found].toSorted((a, b) => Number(before.has(b)) - Number(before.has(a))).slice(0, INDEXES);
  }

  async #isEvidenceAbout({ repository }: Place, digest: Digest): Promise<Digest[]> {
    const { reader, blobs } = this.#context;
    const stated = await statedBy(reader, repository, digest);
    if (stated === undefined) return [];
    const { subject } = stated;
    const tags = subject === undefined ? await evidenceTagsOf(reader, repository, digest, SUBJECTS) : [];
    if (subject === undefined && tags.length === 0) return [];
    const bytes = await blobs.readSmall(digest, REGISTRY_LIMITS.manifestBytes);
    const alone = evidenceAlone({ bytes, subject, tags });
    if (alone === undefined || alone.textBytes > MAX_EVIDENCE_BYTES) return [];
    for (const layer of new Set(alone.texts)) if (!(await this.#isText(repository, layer))) return [];
    return [...alone.about];
  }

  /** Whether a layer is text: UTF-8 without a NUL, which no archive and nothing compressed is. Its bytes are what its digest says for ever. */
  async #isText(repository: string, layer: string): Promise<boolean> {
    const { reader, blobs } = this.#context;
    const digest = isNamedDigest(layer) ? await canonicalDigest(reader, repository, layer, this.#now()) : undefined;
    if (digest === undefined) return false;
    const known = this.#texts.get(digest);
    if (known !== undefined) return known;
    let bytes: Uint8Array;
    try {
      bytes = await blobs.readSmall(digest, MAX_EVIDENCE_BYTES);
    } catch (error) {
      // A layer "distributed elsewhere", or one that is gone: nothing proves what it is.
      if (isLost(error)) return false;
      throw error;
    }
    const text = isUtf8(bytes) && !bytes.includes(0);
    remember(this.#texts, digest, text);
    return text;
  }

  /** A blob, through any manifest that names it and is served. Those that probably are come first. */
  async #throughManifests(
    place: Place,
    blob: Digest,
    asOf: number,
    holder: Digest | undefined,
  ): Promise<Refusal | undefined> {
    const { reader } = this.#context;
    const { repository } = place;
    const name = nameIn(repository, blob);
    let refusal: Refusal | undefined;
    const serves = async (manifest: Digest): Promise<boolean> => {
      const verdict = await this.#verdict(place, manifest, asOf);
      refusal ??= verdict.refusal;
      if (verdict.refusal === undefined) remember(this.#holders, name, manifest);
      return verdict.refusal === undefined;
    };
    if (holder !== undefined && (await holds(reader, repository, holder, blob)) && (await serves(holder))) {
      return undefined;
    }
    const others: Digest[] = [];
    let judged = 0;
    let after = "";
    for (let sought = 0; sought < HOLDERS_SOUGHT; sought += HOLDERS_STEP) {
      const page = await manifestsHolding(reader, repository, blob, { after, limit: HOLDERS_STEP });
      const likely = await this.#likely(place, page);
      for (const manifest of page) {
        if (!likely.has(manifest)) {
          if (others.length < HOLDERS) others.push(manifest);
        } else if (judged < HOLDERS) {
          judged += 1;
          if (await serves(manifest)) return undefined;
        }
      }
      after = page.at(-1) ?? after;
      if (page.length < HOLDERS_STEP) break;
    }
    for (const manifest of others) if (await serves(manifest)) return undefined;
    return {
      code: "pull-denied",
      status: 403,
      message: `no manifest of ${repository} that may be pulled names ${blob}${refusal === undefined ? "" : `: ${refusal.message}`}`,
      ...(refusal?.detail === undefined ? {} : { detail: refusal.detail }),
    };
  }

  /** Those of some manifests that one gate allowed before, by themselves or by an index. */
  async #likely({ org, repository, gates }: Place, manifests: readonly Digest[]): Promise<Set<Digest>> {
    const { reader } = this.#context;
    const [gate] = gates;
    const policy = gate && (await currentPolicy(reader, org, gate.policy));
    if (gate === undefined || policy === undefined || manifests.length === 0) return new Set();
    const by = { repository, policyDigest: policy.digest };
    const likely = await onceAllowed(reader, org, by, manifests);
    const found = new Set(manifests.filter((manifest) => likely.has(manifest)));
    if (gate.platforms === "index") {
      const listing = await indexesListing(reader, repository, manifests, HOLDERS_STEP);
      const indexes = await onceAllowed(reader, org, by, [...new Set(listing.map(({ index }) => index))]);
      for (const { index, lists } of listing) if (indexes.has(index)) found.add(lists);
    }
    return found;
  }
}

function nameIn(repository: string, digest: Digest): string {
  return `${repository}@${digest}`;
}

/** Keeps a value, and lets the one go that was kept the longest when there are too many. */
function remember<V>(kept: Map<string, V>, name: string, value: V): void {
  kept.delete(name);
  kept.set(name, value);
  if (kept.size <= MOST) return;
  for (const oldest of kept.keys()) {
    kept.delete(oldest);
    return;
  }
}
