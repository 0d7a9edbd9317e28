/** What is read and how long that takes: evidence by digest, searches, and decisions, over HTTP of a server process. */
import type { Digest } from "@assay/evidence";
import { diskSettled, garbageCollected, latencies, percentile, spread, table, tell, told } from "../storage/figures.ts";
import { ORG, randomDigest } from "../storage/fill.ts";
import { type Place, startServer, TOKEN } from "../storage/services.ts";
import { type Pieces, TYPES } from "./pieces.ts";

/** What p99 must stay below, ms. */
const TARGET = { digest: 10, search: 100 } as const;

const REQUESTS = 1_000;
/** Goes before those that are measured. */
const WARM = 300;
/** How long a server is asked everything in turn before anything is measured, ms: one that answers people has its code compiled by then. */
const WARM_MS = 30_000;

/** Pieces of the artifacts that the targets are about. */
const USUAL = 10;

const API = `/api/assay/v1/orgs/${ORG}`;

const POLICY = `version: 1
name: bench
rules:
  - id: built
    evidence:
      predicateType: ${TYPES.provenance}
      identities: [builder-0, builder-1, builder-2, builder-3]
  - id: signed
    evidence:
      predicateType: ${TYPES.signature}
      identities: [release]
`;

async function ask(url: string, method: string, path: string, body?: unknown): Promise<string> {
  const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
  const answer = await fetch(url + path, {
    method,
    headers: body === undefined ? { authorization: headers.authorization } : headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${method} ${path} was answered ${answer.status}: ${await answer.text()}`);
  return await answer.text();
}

/** A read: what it is held to, if anything, and one go at it. */
interface Read {
  readonly name: string;
  readonly target: keyof typeof TARGET | undefined;
  readonly once: () => Promise<string>;
  /** What an answer must hold for the read to have been one. */
  readonly finds?: (answer: string) => boolean;
  /** How often it is measured, without a go before, when not as often as the others. */
  readonly runs?: number;
}

function oneOf<T>(values: readonly T[]): T {
  const value = values[Math.floor(Math.random() * values.length)];
  if (value === undefined) throw new Error("there is nothing to draw from");
  return value;
}

function searchPath(conditions: readonly (readonly [string, string | number])[]): string {
  const query = new URLSearchParams(conditions.map(([name, value]) => [name, String(value)]));
  return `${API}/evidence?${query.toString()}`;
}

/** When the first and the last piece came, ms. */
export interface Times {
  readonly first: number;
  readonly last: number;
}

/** Which of the artifacts a server decides about. */
export interface Shares {
  readonly mine: number;
  readonly of: number;
}

function readsOf(url: string, pieces: Pieces, times: Times, shares: Shares): Read[] {
  const usual = pieces.artifacts.filter((artifact) => artifact.pieces === USUAL).map(({ digest }) => digest);
  const any = pieces.artifacts.map(({ digest }) => digest);
  const get = (path: string): Promise<string> => ask(url, "GET", path);
  const list = (digest: Digest): Promise<string> => get(`${API}/attestations/${digest}`);
  const [busiest = ""] = pieces.builders;
  const rarest = pieces.builders.at(-1) ?? "";
  const builder = (id: string) => ["field", `builder.id=${id}`] as const;
  const hasItems = (answer: string): boolean => (JSON.parse(answer) as { items: unknown[] }).items.length > 0;
  const search = (
    name: string,
    conditions: () => readonly (readonly [string, string | number])[],
    finds?: (answer: string) => boolean,
  ): Read => ({
    name: `search: ${name}`,
    target: "search",
    once: () => get(searchPath(conditions())),
    ...(finds === undefined ? {} : { finds }),
  });
  const within = (): number => Math.floor(times.first + Math.random() * (times.last - times.first));
  const decide = (digest: Digest): Promise<string> =>
    ask(url, "POST", "/api/assay/v1/decisions", { org: ORG, digest, policy: { name: "bench" } });
  // An artifact is asked about first once: each server has its share of them.
  const undecided = usual.filter((_, index) => index % shares.of === shares.mine);
  return [
    // What of every figure is the machine's and the server's own, whatever is read.
    { name: "nothing read: /healthz", target: undefined, once: () => get("/healthz") },
    {
      name: `by digest: list, ${USUAL} pieces, each verified`,
      target: "digest",
      once: () => list(oneOf(usual)),
      finds: (answer) => answer.split('"status":"verified"').length > USUAL / 2,
    },
    { name: "by digest: list, 1 to 29 pieces", target: undefined, once: () => list(oneOf(any)), finds: hasItems },
    { name: "by digest: list, of which nothing is known", target: "digest", once: () => list(randomDigest()) },
    {
      name: `by digest: .intoto.jsonl, ${USUAL} pieces`,
      target: "digest",
      once: () => get(`${API}/artifacts/${oneOf(usual)}/app.intoto.jsonl`),
    },
    {
      name: "by digest: .sigstore.json",
      target: "digest",
      once: () => get(`${API}/artifacts/${oneOf(usual)}/app.sigstore.json`),
    },
    search("builder and repository, both busy", () => [
      builder(busiest),
      ["field", `source.repository=https://github.com/example/service-${Math.floor(Math.random() * 10)}`],
    ]),
    search("builder and repository, any", () => [
      builder(oneOf(pieces.builders)),
      ["field", `source.repository=${pieces.source()}`],
    ]),
    search("one repository", () => [["field", `source.repository=${pieces.source()}`]]),
    search("one signer", () => [["signer", oneOf(pieces.signers).keyId]], hasItems),
    search("type and time", () => [
      ["predicateType", TYPES.test],
      ["after", within()],
    ]),
    search("one field, a huge result", () => [builder(busiest)], hasItems),
    search("disjoint fields, both common", () => [builder(busiest), ["field", "test.result=PASSED"]]),
    search("field and signer that never meet", () => [builder(busiest), ["signer", pieces.signers[5]?.keyId ?? ""]]),
    search("rare builder, tag, type, signer", () => [
      builder(rarest),
      ["field", `source.ref=refs/tags/v1.${Math.floor(Math.random() * 50)}.3`],
      ["predicateType", TYPES.provenance],
      ["signer", pieces.signers[3]?.keyId ?? ""],
    ]),
    search("a vulnerability", () => [["field", `vulnerability=CVE-2026-${Math.floor(Math.random() * 5_000)}`]]),
    search("subject", () => [["subject", oneOf(any)]], hasItems),
    search("subject and type", () => [
      ["subject", oneOf(usual)],
      ["predicateType", TYPES.provenance],
    ]),
    search("everything", () => [], hasItems),
    {
      name: `decision, ${USUAL} pieces, asked first`,
      target: undefined,
      runs: undecided.length,
      once: () => decide(undecided.pop() ?? oneOf(usual)),
    },
    { name: `decision, ${USUAL} pieces, asked again`, target: undefined, once: () => decide(oneOf(usual)) },
  ];
}

/** Trusts the signers, and sets the policy that is decided by. */
export async function prepare(place: Place, pieces: Pieces): Promise<void> {
  const server = await startServer(place);
  try {
    for (const entry of pieces.entries()) await ask(server.url, "POST", `${API}/trust/entries`, entry);
    await ask(server.url, "PUT", `${API}/policies/bench`, { yaml: POLICY });
  } finally {
    await server.stop();
  }
}

/** Measures every read at a server over a place, and prints the figures. @returns the names of the reads that missed their target. */
export async function measureReads(
  mode: string,
  place: Place,
  pieces: Pieces,
  { times, shares }: { readonly times: Times; readonly shares: Shares },
): Promise<string[]> {
  await diskSettled();
  const server = await startServer(place);
  const missed: string[] = [];
  const rows: string[][] = [];
  try {
    const reads = readsOf(server.url, pieces, times, shares);
    const asked = reads.filter(({ runs }) => runs === undefined);
    tell(`${mode}: warming up`);
    for (const until = performance.now() + WARM_MS; performance.now() < until; ) {
      for (const { once } of asked) await once();
    }
    for (const { name, target, once, finds, runs = REQUESTS } of reads) {
      if (runs === REQUESTS) {
        const answer = await once();
        if (finds?.(answer) === false) throw new Error(`${name} found nothing: ${answer.slice(0, 500)}`);
        await latencies(WARM, once);
      }
      garbageCollected();
      const taken = await latencies(runs, once);
      tell(`${mode}: ${name}: ${spread(taken)}`);
      const limit = target === undefined ? undefined : TARGET[target];
      const met = limit === undefined || percentile(taken, 0.99) < limit;
      if (!met) missed.push(`${mode}: ${name}`);
      rows.push([name, spread(taken), limit === undefined ? "" : `< ${limit} ms`, met ? "" : "NOT MET"]);
    }
  } finally {
    await server.stop();
  }
  told();
  table([mode, "p50 / p99", "target", ""], rows);
  return missed;
}
