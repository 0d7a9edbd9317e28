/** Lists that are long: what refers to one subject, and the tags of one repository. */
import { type Contender, compare, type Driver } from "./measure.ts";
import { Filler, SCOPES, SUBJECT, TAGGED } from "./fill.ts";
import type { Registry } from "./servers.ts";

/** What zot 2.1.20 answered of lists of 1,000 referrers, a second: it cannot be had from a package registry, and was measured apart. */
const ZOT_PAGES = 97;

/** A list read to its end by its Links: how many are in it, and how long each page took, ms. */
export interface Walk {
  readonly listed: number;
  readonly pages: readonly number[];
  /** The most that the server's memory grew by meanwhile, bytes. */
  readonly grown: number;
}

/** Reads a list page by page as a client does. */
async function walk(registry: Registry, first: string, count: (page: string) => number): Promise<Walk> {
  const pages: number[] = [];
  const before = registry.memory();
  let [listed, grown] = [0, 0];
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
    grown = Math.max(grown, registry.memory() - before);
    next = /^<([^>]+)>; rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  }
  return { listed, pages, grown };
}

/** How often a page of 1,000 referrers is answered in a second, beside what zot did. */
export async function referrersPerSecond(
  driver: Driver,
  registry: Registry,
): Promise<{ pages: number; zot: number; cpuMs: number }> {
  const subject = await new Filler(registry).referrers(0, 1000);
  const contender: Contender = { registry, work: { kind: "get", paths: [`/v2/${SUBJECT}/referrers/${subject}`] } };
  const [first, second] = await compare(driver, [contender, contender]);
  return {
    pages: (first.perSecond + second.perSecond) / 2,
    zot: ZOT_PAGES,
    cpuMs: (first.cpuMs + second.cpuMs) / 2,
  };
}

/** Grows what refers to the subject to `count`, and reads all of it. */
export async function manyReferrers(registry: Registry, count: number): Promise<Walk> {
  const subject = await new Filler(registry).referrers(1000, count);
  const list = (): Promise<Walk> =>
    walk(registry, `/v2/${SUBJECT}/referrers/${subject}`, (page) => {
      return (JSON.parse(page) as { manifests: unknown[] }).manifests.length;
    });
  await list();
  return await list();
}

/** Grows the tags of a repository to `count`, and reads all of them, 10,000 a page. */
export async function manyTags(registry: Registry, count: number): Promise<Walk> {
  await new Filler(registry).moreTags(count);
  const list = (): Promise<Walk> =>
    walk(registry, `/v2/${TAGGED}/tags/list?n=10000`, (page) => (JSON.parse(page) as { tags: unknown[] }).tags.length);
  await list();
  return await list();
}
