import type { FastifyReply } from "fastify";
import { authorizePublic, authorizeSight } from "../access/authorize.ts";
import { BOOTSTRAP_ADMIN } from "../access/names.ts";
import { currentRoles } from "../access/queries.ts";
import { repositoryRolesOf } from "../access/repository-role-queries.ts";
import { Problem } from "../http/problem.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { canonicalDigest } from "./alias-queries.ts";
import { readDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import { type Handler, pageSize, sendJson, type Services } from "./exchange.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { OCI_INDEX } from "./manifest.ts";
import { listRepositories, listTags, nextOrganisation, repositoryExists } from "./queries.ts";
import { listPublic, nextPublicOrganisation } from "./repository-queries.ts";

/** A Link to the next page (RFC 8288). Relative: it holds wherever the client reached this server. */
function nextPage(path: string, query: Record<string, string>): string {
  return `<${path}?${new URLSearchParams(query).toString()}>; rel="next"`;
}

/** GET /v2/<name>/tags/list (end-8): tags in byte order. */
export const tagsList: Handler<"tags"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { reply, name, repository, query } = exchange;
    const limit = pageSize(query, REGISTRY_LIMITS.listPage);
    if (!(await repositoryExists(services.reader, repository))) {
      throw new OciError(404, "NAME_UNKNOWN", `there is no repository ${repository}`, { detail: { name: repository } });
    }
    const last = query.get("last") ?? "";
    const found = limit === 0 ? [] : await listTags(services.reader, repository, { last, limit: limit + 1 });
    const tags = found.slice(0, limit);
    const lastShown = tags.at(-1);
    if (found.length > limit && lastShown !== undefined) {
      reply.header("link", nextPage(`/v2/${name}/tags/list`, { n: String(limit), last: lastShown }));
    }
    return await sendJson(reply, { name, tags });
  },
};

/**
 * GET /v2/<name>/referrers/<digest> (end-12): what names the digest as its subject. Always 200, an unknown digest has none. The list is
 * cut by number and by bytes, and goes on by Link.
 */
export const referrers: Handler<"referrers"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { reply, name, repository, query } = exchange;
    const named = readDigest(exchange.path.digest);
    // What nothing is known under by another name may still be somebody's subject.
    const subject = (await canonicalDigest(services.reader, repository, named, services.now())) ?? named;
    const artifactType = query.get("artifactType") || undefined;
    const after = query.get("last");
    const last = after === null ? "" : readDigest(after);
    const { bytes, next } = await services.referrerPages.read({ repository, subject, artifactType, last });
    if (next !== undefined) {
      const query = { ...(artifactType === undefined ? {} : { artifactType }), last: next };
      reply.header("link", nextPage(`/v2/${name}/referrers/${named}`, query));
    }
    if (artifactType !== undefined) reply.header("oci-filters-applied", "artifactType");
    return await reply.header("content-type", OCI_INDEX).send(bytes);
  },
};

/** Names read at once, of which somebody may see a part only. */
const CATALOG_STEP = 500;

/** The next repositories of an organisation that `sees` allows. What it denies is passed over, and neither shown nor counted. */
async function seenRepositories(
  reader: Reader,
  org: string,
  from: { readonly last: string; readonly limit: number },
  sees: (repository: string) => boolean,
): Promise<string[]> {
  const seen: string[] = [];
  let { last } = from;
  for (;;) {
    const step = Math.max(CATALOG_STEP, from.limit);
    const found = await listRepositories(reader, org, { last, limit: step });
    seen.push(...found.filter(sees));
    last = found.at(-1) ?? last;
    if (seen.length >= from.limit || found.length < step) return seen.slice(0, from.limit);
  }
}

/** Where an organisation's repositories that the caller may pull from are looked for; undefined: it has none. */
type Source = (page: { readonly last: string; readonly limit: number }) => Promise<string[]>;

async function sourceIn({ reader }: Services, actor: Actor, org: string): Promise<Source> {
  const open: Source = (page) => listPublic(reader, org, page);
  const sight = await authorizeSight(reader, actor, "registry.list", org);
  // A credential that is not good enough is another matter than a role.
  if (sight.refusal?.status === 401) throw Problem.fromRefusal(sight.refusal);
  // Nothing of this organisation is theirs to read but what is everybody's.
  if (sight.refusal !== undefined) return open;
  const own: Source = (page) => seenRepositories(reader, org, page, (name) => sight.sees(name));
  if (sight.whole) return own;
  return async (page) => [...new Set([...(await own(page)), ...(await open(page))])].toSorted().slice(0, page.limit);
}

/**
 * The first organisation after another in which somebody may see anything: where they have a role, or something is public. Nobody is led through all
 * the others, which would say how many there are, and keep the server busy over them; all are the bootstrap admin's.
 */
async function organisationsOf(reader: Reader, actor: Actor): Promise<(last: string) => Promise<string | undefined>> {
  if (actor.id === BOOTSTRAP_ADMIN) return (last) => nextOrganisation(reader, last);
  const roles = [...(await currentRoles(reader, actor.id)), ...(await repositoryRolesOf(reader, actor.id))];
  const own = [...new Set(roles.map(({ org }) => org))].toSorted();
  return async (last) => {
    const open = await nextPublicOrganisation(reader, last);
    const mine = own.find((org) => org > last);
    return mine === undefined || (open !== undefined && open < mine) ? open : mine;
  };
}

/**
 * GET /v2/_catalog (an old extension): the repositories the caller may pull from, by organisation and name, and no others.
 */
export async function catalog(
  services: Services,
  request: { readonly actor: Actor; readonly query: URLSearchParams },
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { actor, query } = request;
  const limit = pageSize(query, REGISTRY_LIMITS.listPage);
  const last = query.get("last") ?? "";
  const repositories: string[] = [];
  const { reader } = services;
  const narrowed = await authorizePublic(reader, actor, "registry.list", { org: "" });
  if (narrowed !== undefined) throw Problem.fromRefusal(narrowed);
  const next = await organisationsOf(reader, actor);
  // The organisation `last` lies in comes first; then every later one.
  const first = last === "" ? undefined : last.split("/")[0];
  let org = first ?? (await next(""));
  while (org !== undefined && limit > 0 && repositories.length <= limit) {
    const source = await sourceIn(services, actor, org);
    repositories.push(...(await source({ last: org === first ? last : "", limit: limit + 1 - repositories.length })));
    org = await next(org);
  }
  const shown = repositories.slice(0, limit);
  const lastShown = shown.at(-1);
  if (repositories.length > limit && lastShown !== undefined) {
    reply.header("link", nextPage("/v2/_catalog", { n: String(limit), last: lastShown }));
  }
  return await sendJson(reply, { repositories: shown });
}
