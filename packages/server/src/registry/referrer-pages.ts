import { type Digest, parseDigest } from "@assay/evidence";
import { newestSequence } from "../record/newest.ts";
import type { Reader } from "../storage/database.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { OCI_INDEX } from "./manifest.ts";
import { listReferrers, type Referrer, referrerSizes } from "./queries.ts";

/** Bytes of pages a process keeps. The largest page has some 2.5 MiB, one of a thousand signatures 0.3. */
const KEPT_BYTES = 8 * 1024 * 1024;

/** What a page takes besides its bytes and its name. */
const ENTRY_BYTES = 512;

/** What a descriptor takes besides its annotations, bytes, near enough to cut a page by. */
const DESCRIPTOR_BYTES = 512;

/** Which part of which list. */
export interface PlaceInReferrers {
  /** The canonical name, `org/path`. */
  readonly repository: string;
  /** What they are about: its one name, or a SHA-512 digest that stands for nothing here. */
  readonly subject: string;
  /** Only those of this type; undefined: all. */
  readonly artifactType: string | undefined;
  /** Only those after this digest; empty: from the first. */
  readonly last: string;
}

/** A page as it is sent. */
export interface ReferrerPage {
  /** An image index (OCI distribution 1.1, "Listing Referrers"). Sent many times: nobody changes it. */
  readonly bytes: Buffer;
  /** The digest after which the list goes on; undefined when this is all. */
  readonly next: Digest | undefined;
}

/** A page and the record's newest sequence as of which it is right. */
interface Kept {
  readonly asOf: number;
  readonly page: ReferrerPage;
}

/** A descriptor of a referrer (OCI distribution 1.1, "Listing Referrers"). */
function describe(referrer: Referrer): object {
  return {
    mediaType: referrer.mediaType,
    size: referrer.size,
    digest: referrer.digest,
    ...(referrer.artifactType === undefined ? {} : { artifactType: referrer.artifactType }),
    ...(referrer.annotations === undefined ? {} : { annotations: JSON.parse(referrer.annotations) as object }),
  };
}

/**
 * Pages of referrers lists, kept as they are sent for as long as the record does not grow: what asks for evidence asks for the same list again
 * and again, and making one of a thousand takes a hundred times what sending it does.
 *
 * INVARIANT: a list of referrers follows from recorded events alone, and each page asked for looks the newest one up in the database. A page
 * that was made when the record ended there is what would be made now, whichever process or host has written since it last looked; when the
 * record has grown, by whatever, the page is made anew. Who may have it was asked before, and is asked each time.
 */
export class ReferrerPages {
  readonly #reader: Reader;
  readonly #kept = new Map<string, Kept>();
  /** Pages being made: whoever asks for one meanwhile, of the same record, waits for it. */
  readonly #making = new Map<string, { readonly asOf: number; readonly page: Promise<ReferrerPage> }>();
  #bytes = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  async read(place: PlaceInReferrers): Promise<ReferrerPage> {
    const { repository, subject, artifactType, last } = place;
    const name = JSON.stringify([repository, subject, artifactType ?? null, last]);
    // Before anything of the list is read: what is read is then as new as this, or newer, and nothing newer is ever taken for it.
    const asOf = await newestSequence(this.#reader);
    const kept = this.#kept.get(name);
    if (kept?.asOf === asOf) {
      // What is used stays: a Map keeps the order of insertion.
      this.#kept.delete(name);
      this.#kept.set(name, kept);
      return kept.page;
    }
    const making = this.#making.get(name);
    if (making?.asOf === asOf) return await making.page;
    const begun = { asOf, page: this.#make(place) };
    this.#making.set(name, begun);
    try {
      const page = await begun.page;
      this.#keep(name, { asOf, page });
      return page;
    } finally {
      if (this.#making.get(name) === begun) this.#making.delete(name);
    }
  }

  /** Cut by number and by bytes. */
  async #make({ repository, subject, artifactType, last }: PlaceInReferrers): Promise<ReferrerPage> {
    const { referrersPage, referrersBytes } = REGISTRY_LIMITS;
    // Their sizes first: annotations may be large, and only what fits is read.
    const limit = referrersPage + 1;
    const sizes = await referrerSizes(this.#reader, repository, subject, { last, limit, artifactType });
    let [count, bytes] = [0, 0];
    for (const { annotations } of sizes) {
      if (count === referrersPage || bytes >= referrersBytes) break;
      count += 1;
      bytes += DESCRIPTOR_BYTES + annotations;
    }
    const upTo = sizes[count - 1]?.digest;
    const found =
      count === 0 ? [] : await listReferrers(this.#reader, repository, subject, { last, limit: count, artifactType });
    const body = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: found.map(describe) };
    // One that came or went between the two questions moves the page's end: what lies after it is asked for next.
    const end = found.at(-1)?.digest ?? upTo;
    const more = end !== undefined && (sizes.length > count || end !== upTo);
    return { bytes: Buffer.from(JSON.stringify(body)), next: more ? parseDigest(end) : undefined };
  }

  #keep(name: string, kept: Kept): void {
    this.#forget(name);
    this.#kept.set(name, kept);
    this.#bytes += roomOf(name, kept);
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= KEPT_BYTES) break;
      this.#forget(oldest);
    }
  }

  #forget(name: string): void {
    const kept = this.#kept.get(name);
    if (kept === undefined) return;
    this.#kept.delete(name);
    this.#bytes -= roomOf(name, kept);
  }
}

function roomOf(name: string, { page }: Kept): number {
  return ENTRY_BYTES + name.length + page.bytes.length;
}
