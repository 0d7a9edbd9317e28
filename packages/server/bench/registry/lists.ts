/** Lists that are long: what refers to one subject, and the tags of one repository. */
import { type Contender, compare, type Driver, type Side } from "./measure.ts";
import { Filler, SCOPES, SUBJECT, TAGGED } from "./fill.ts";
import type { Registry } from "./servers.ts";

/** What zot 2.1.20 answered of lists of 1,000 referrers, a second: it cannot be had from a package registry, and was measured apart. */
const ZOT_PAGES = 97;

/** Referrers that one answer lists. */
const REFERRERS_PAGE = 1000;

/** A list read to its end by its Links: how many are in it, and how long each page took, ms, in order. */
export interface Walk {
  readonly listed: number;
  readonly pages: readonly number[];
  /** Bytes that the server held before, at most meanwhile, and after. */
  readonly memory: { readonly before: number; readonly most: number; readonly after: number };
}

/** Reads a list page by page as a client does. */
async function walk(registry: Registry, first: string, count: (page: string) => number): Promise<Walk> {
  const pages: number[] = [];
  const before = registry.memory();
  let [listed, most] = [0, before];
  for (let next: string | undefined = first; next !== undefined; ) {
    const authorization = await registry.authorization(SCOPES);
    const asked = performance.now();
    const response = await fetch(`http://127.0.0.1:${registry.port}${next}`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    const text = await response.text();
    pages.push(performance.now() - asked);
    if (!response.ok) throw new Error(`${next}: ${response.status} ${text}`);
    listed += count(text);
    most = Math.max(most, registry.memory());
    next = /^<([^>]+)>; rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  }
  return { listed, pages, memory: { before, most, after: registry.memory() } };
}

/** How a page of 1,000 referrers is answered. */
export interface ReferrersFigure {
  /** Of one page asked for over and over. */
  readonly kept: Side;
  /** Of pages that nobody asked for before: each begins elsewhere, and is made. */
  readonly made: Side;
  readonly zot: number;
}

/** How often a page of 1,000 referrers is answered in a second, beside what zot did. */
export async function referrersPerSecond(driver: Driver, registry: Registry): Promise<ReferrersFigure> {
  const subject = await new Filler(registry).referrers(0, REFERRERS_PAGE);
  const page = `/v2/${SUBJECT}/referrers/${subject}`;
  // More places than are kept, before the first of a thousand random digests in all likelihood.
  const places = Array.from({ length: 2000 }, (_, n) => `${page}?last=sha256:${n.toString(16).padStart(64, "0")}`);
  const get = (paths: readonly string[]): Contender => ({ registry, work: { kind: "get", paths } });
  const [kept, made] = await compare(driver, [get([page]), get(places)]);
  return { kept, made, zot: ZOT_PAGES };
}

/**
 * Grows what refers to the subject to `count`, and reads all of it twice: when no page of it was asked for since the record last grew, and again.
 */
export async function manyReferrers(registry: Registry, count: number): Promise<{ made: Walk; kept: Walk }> {
  const filler = new Filler(registry);
  const subject = await filler.referrers(REFERRERS_PAGE, count);
  const list = (): Promise<Walk> =>
    walk(registry, `/v2/${SUBJECT}/referrers/${subject}`, (page) => {
      return (JSON.parse(page) as { manifests: unknown[] }).manifests.length;
    });
  await list();
  await filler.manifest(SUBJECT, "grown", { ...(await filler.image(SUBJECT)), annotations: { grown: "yes" } });
  return { made: await list(), kept: await list() };
}

/** Grows the tags of a repository to `count`, and reads all of them, 10,000 a page. */
export async function manyTags(registry: Registry, count: number): Promise<Walk> {
  await new Filler(registry).moreTags(count);
  const list = (): Promise<Walk> =>
    walk(registry, `/v2/${TAGGED}/tags/list?n=10000`, (page) => (JSON.parse(page) as { tags: unknown[] }).tags.length);
  await list();
  return await list();
}
