/**
 * THE table of the server's doors: how each is asked for one tenant's thing. tenants.test.ts fails for a route that is not here, and asks
 * each of them as a stranger, for a thing that is another's and for one that is nobody's.
 *
 * A route is added with what it needs to be asked well: a request that would be answered 2xx to who may. `kind` says what is then demanded:
 * - `tenant`: of an organisation's data. Another's and nobody's must be one answer: status, headers and body but for the names echoed.
 * - `server`: the bootstrap admin's alone. Everybody else is refused alike, whatever they name.
 * - `open`: everybody's or about the caller alone; `why` says what makes it so.
 */

/** One tenant's things, by which doors are asked for them: another's, or names and digests that are nobody's. */
export interface Place {
  readonly org: string;
  /** The path of a repository below the organisation. */
  readonly repository: string;
  readonly tag: string;
  readonly manifest: string;
  readonly layer: string;
  readonly evidence: string;
  readonly decision: string;
  readonly sequence: string;
  readonly upload: string;
  readonly account: string;
  readonly key: string;
  readonly entry: string;
  readonly root: string;
  readonly policy: string;
  readonly workload: string;
  readonly webhook: string;
  /** The path of a repository that mirrors another. */
  readonly mirror: string;
  readonly replication: string;
}

/** A request for a place's thing. */
export interface Asked {
  readonly path: string;
  readonly json?: unknown;
  readonly form?: Readonly<Record<string, string>>;
  readonly body?: { readonly type: string; readonly text: string };
}

export type Door =
  | {
      readonly kind: "tenant";
      readonly ask: (place: Place) => Asked;
      /**
       * Asked also in the caller's own organisation for another's thing there (a digest, an id), which must be as good as nobody's. Default: for
       * GET, HEAD and DELETE.
       */
      readonly borrowed?: boolean;
      /** Also by somebody with a role in one repository of the organisation, for another repository's thing. Default: as `borrowed`. */
      readonly hidden?: boolean;
    }
  | { readonly kind: "server"; readonly ask: (place: Place) => Asked }
  | { readonly kind: "open"; readonly why: string };

const API = "/api/assay/v1";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

const tenant = (ask: (place: Place) => Asked, options: { borrowed?: boolean; hidden?: boolean } = {}): Door => ({
  kind: "tenant",
  ask,
  ...options,
});
/** A door of an organisation that is named in the path. */
const ofOrg = (rest: (place: Place) => string, json?: (place: Place) => unknown): Door =>
  tenant((at) => ({
    path: `${API}/orgs/${at.org}${rest(at)}`,
    ...(json === undefined ? {} : { json: json(at) }),
  }));
const server = (path: string, json?: unknown): Door => ({
  kind: "server",
  ask: () => ({ path, ...(json === undefined ? {} : { json }) }),
});
const open = (why: string): Door => ({ kind: "open", why });

const KEY_PEM =
  "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
const STATEMENT = (at: Place) => ({
  subject: at.manifest,
  predicateType: "https://example.com/r",
  predicate: {},
  repository: at.repository,
});
const POLICY = (at: Place): string =>
  `version: 1\nname: ${at.policy}\nrules:\n  - id: a\n    evidence: { predicateType: 'https://example.com/r', identities: [release] }\n`;
const NOT_A_NAME = open("the index of the log: it commits to events and names nobody");

/** Method and pattern → how it is asked. HEAD of what has a GET is asked as that is. */
export const DOORS: Readonly<Record<string, Door>> = {
  // Access.
  [`GET ${API}/whoami`]: open("about the caller"),
  [`GET ${API}/orgs`]: open("the caller's own organisations; that it shows no other is tested below"),
  [`POST ${API}/orgs`]: server(`${API}/orgs`, { name: "newcomer" }),
  [`GET ${API}/orgs/:org`]: ofOrg(() => ""),
  [`GET ${API}/orgs/:org/members`]: ofOrg(() => "/members"),
  [`PUT ${API}/orgs/:org/members/:kind/:name`]: ofOrg(
    (at) => `/members/service/${at.account}`,
    () => ({ role: "reader" }),
  ),
  [`DELETE ${API}/orgs/:org/members/:kind/:name`]: ofOrg((at) => `/members/service/${at.account}`),
  [`GET ${API}/orgs/:org/repository-roles`]: ofOrg(() => "/repository-roles"),
  [`PUT ${API}/orgs/:org/repository-roles/:kind/:name`]: ofOrg(
    (at) => `/repository-roles/service/${at.account}`,
    (at) => ({ repository: `${at.org}/${at.repository}`, role: "reader" }),
  ),
  [`DELETE ${API}/orgs/:org/repository-roles/:kind/:name`]: ofOrg(
    (at) => `/repository-roles/service/${at.account}?repository=${at.org}%2F${at.repository}`,
  ),
  [`GET ${API}/people`]: server(`${API}/people`),
  [`POST ${API}/people`]: server(`${API}/people`, { name: "newcomer" }),
  [`DELETE ${API}/people/:name`]: server(`${API}/people/carol`),
  [`GET ${API}/people/:name/keys`]: tenant((at) => ({ path: `${API}/people/${at.account}/keys` })),
  [`POST ${API}/people/:name/keys`]: tenant((at) => ({
    path: `${API}/people/${at.account}/keys`,
    json: { label: "x" },
  })),
  [`POST ${API}/people/:name/keys/:id/rotate`]: tenant((at) => ({
    path: `${API}/people/${at.account}/keys/${at.key}/rotate`,
    json: {},
  })),
  [`DELETE ${API}/people/:name/keys/:id`]: tenant((at) => ({ path: `${API}/people/${at.account}/keys/${at.key}` })),
  [`GET ${API}/orgs/:org/service-accounts`]: ofOrg(() => "/service-accounts"),
  [`POST ${API}/orgs/:org/service-accounts`]: ofOrg(
    () => "/service-accounts",
    (at) => ({ name: at.account }),
  ),
  [`DELETE ${API}/orgs/:org/service-accounts/:name`]: ofOrg((at) => `/service-accounts/${at.account}`),
  [`GET ${API}/orgs/:org/service-accounts/:name/keys`]: ofOrg((at) => `/service-accounts/${at.account}/keys`),
  [`POST ${API}/orgs/:org/service-accounts/:name/keys`]: ofOrg(
    (at) => `/service-accounts/${at.account}/keys`,
    () => ({ label: "x" }),
  ),
  [`POST ${API}/orgs/:org/service-accounts/:name/keys/:id/rotate`]: ofOrg(
    (at) => `/service-accounts/${at.account}/keys/${at.key}/rotate`,
    () => ({}),
  ),
  [`DELETE ${API}/orgs/:org/service-accounts/:name/keys/:id`]: ofOrg(
    (at) => `/service-accounts/${at.account}/keys/${at.key}`,
  ),
  [`GET ${API}/orgs/:org/workload-identities`]: ofOrg(() => "/workload-identities"),
  [`PUT ${API}/orgs/:org/workload-identities/:name`]: ofOrg(
    (at) => `/workload-identities/${at.workload}`,
    (at) => ({
      issuer: "https://ci.example.com",
      audience: "a",
      conditions: [{ claim: "sub", value: "x" }],
      serviceAccount: at.account,
    }),
  ),
  [`DELETE ${API}/orgs/:org/workload-identities/:name`]: ofOrg((at) => `/workload-identities/${at.workload}`),
  [`GET ${API}/orgs/:org/pull-gates`]: ofOrg((at) => `/pull-gates?over=${at.org}%2F${at.repository}`),
  [`PUT ${API}/orgs/:org/pull-gates`]: ofOrg(
    () => "/pull-gates",
    (at) => ({ repository: `${at.org}/${at.repository}`, policy: at.policy }),
  ),
  [`DELETE ${API}/orgs/:org/pull-gates`]: ofOrg((at) => `/pull-gates?repository=${at.org}%2F${at.repository}`),
  [`GET ${API}/orgs/:org/webhooks`]: ofOrg(() => "/webhooks"),
  [`GET ${API}/orgs/:org/quotas`]: ofOrg(() => "/quotas"),
  [`GET ${API}/orgs/:org/quota`]: ofOrg(() => "/quota"),
  [`PUT ${API}/orgs/:org/quota`]: ofOrg(
    () => "/quota",
    () => ({ bytes: null }),
  ),
  [`DELETE ${API}/orgs/:org/quota`]: ofOrg(() => "/quota"),
  [`GET ${API}/orgs/:org/repositories/:name/quota`]: ofOrg((at) => `/repositories/${at.repository}/quota`),
  [`PUT ${API}/orgs/:org/repositories/:name/quota`]: ofOrg(
    (at) => `/repositories/${at.repository}/quota`,
    () => ({ bytes: null }),
  ),
  [`DELETE ${API}/orgs/:org/repositories/:name/quota`]: ofOrg((at) => `/repositories/${at.repository}/quota`),
  [`GET ${API}/orgs/:org/retention`]: ofOrg((at) => `/retention?repository=${at.org}/${at.repository}`),
  [`PUT ${API}/orgs/:org/retention`]: ofOrg(
    () => "/retention",
    (at) => ({ repository: `${at.org}/${at.repository}`, rules: [{ name: "dev", tags: ["*-dev"], keepLast: 9 }] }),
  ),
  [`POST ${API}/orgs/:org/retention/preview`]: ofOrg(
    () => "/retention/preview",
    (at) => ({ repository: `${at.org}/${at.repository}`, rules: [{ name: "dev", tags: ["*-dev"], keepLast: 9 }] }),
  ),
  [`POST ${API}/orgs/:org/retention/run`]: ofOrg(
    () => "/retention/run",
    (at) => ({ repository: `${at.org}/${at.repository}`, version: 1 }),
  ),
  [`POST ${API}/orgs/:org/webhooks`]: ofOrg(
    () => "/webhooks",
    (at) => ({ name: at.webhook, url: "https://ci.example.com/hook", kinds: ["push"] }),
  ),
  [`GET ${API}/orgs/:org/webhooks/:name`]: ofOrg((at) => `/webhooks/${at.webhook}`),
  [`PUT ${API}/orgs/:org/webhooks/:name`]: tenant(
    (at) => ({
      path: `${API}/orgs/${at.org}/webhooks/${at.webhook}`,
      json: { url: "https://ci.example.com/hook", kinds: ["tag"] },
    }),
    { borrowed: true },
  ),
  [`DELETE ${API}/orgs/:org/webhooks/:name`]: ofOrg((at) => `/webhooks/${at.webhook}`),
  [`POST ${API}/orgs/:org/webhooks/:name/rotate`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/webhooks/${at.webhook}/rotate`, json: {} }),
    { borrowed: true },
  ),
  [`GET ${API}/orgs/:org/webhooks/:name/deliveries`]: ofOrg((at) => `/webhooks/${at.webhook}/deliveries`),
  [`POST ${API}/orgs/:org/webhooks/:name/replay`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/webhooks/${at.webhook}/replay`, json: { from: 0 } }),
    { borrowed: true },
  ),
  [`POST ${API}/orgs/:org/webhooks/:name/pause`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/webhooks/${at.webhook}/pause` }),
    { borrowed: true },
  ),
  [`POST ${API}/orgs/:org/webhooks/:name/resume`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/webhooks/${at.webhook}/resume` }),
    { borrowed: true },
  ),
  [`POST ${API}/orgs/:org/webhooks/:name/test`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/webhooks/${at.webhook}/test` }),
    { borrowed: true },
  ),
  [`GET ${API}/orgs/:org/repositories`]: ofOrg(() => "/repositories"),
  [`POST ${API}/orgs/:org/repositories`]: ofOrg(
    () => "/repositories",
    (at) => ({ name: at.repository }),
  ),
  [`GET ${API}/orgs/:org/repositories/:name`]: ofOrg((at) => `/repositories/${at.repository}`),
  [`PATCH ${API}/orgs/:org/repositories/:name`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/repositories/${at.repository}`, json: { description: "x" } }),
    { hidden: true },
  ),
  [`GET ${API}/orgs/:org/repositories/:name/history`]: ofOrg((at) => `/repositories/${at.repository}/history`),
  [`GET ${API}/orgs/:org/repositories/:name/refused-moves`]: ofOrg(
    (at) => `/repositories/${at.repository}/refused-moves`,
  ),
  [`GET ${API}/orgs/:org/mirrors`]: ofOrg(() => "/mirrors"),
  [`GET ${API}/orgs/:org/mirror`]: ofOrg((at) => `/mirror?repository=${at.org}/${at.mirror}`),
  [`PUT ${API}/orgs/:org/mirror`]: ofOrg(
    () => "/mirror",
    (at) => ({ repository: `${at.org}/${at.mirror}`, url: "https://registry.example.com/x" }),
  ),
  [`DELETE ${API}/orgs/:org/mirror`]: ofOrg((at) => `/mirror?repository=${at.org}/${at.mirror}`),
  [`POST ${API}/orgs/:org/mirror/fill`]: ofOrg(
    () => "/mirror/fill",
    (at) => ({ repository: `${at.org}/${at.mirror}`, tags: ["1.0.0"] }),
  ),
  [`GET ${API}/orgs/:org/replications`]: ofOrg(() => "/replications"),
  [`GET ${API}/orgs/:org/replications/:name`]: ofOrg((at) => `/replications/${at.replication}`),
  [`PUT ${API}/orgs/:org/replications/:name`]: ofOrg(
    (at) => `/replications/${at.replication}`,
    (at) => ({ direction: "pull", repositories: [`${at.org}/none`] }),
  ),
  [`DELETE ${API}/orgs/:org/replications/:name`]: ofOrg((at) => `/replications/${at.replication}`),
  [`POST ${API}/orgs/:org/replications/:name/run`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/replications/${at.replication}/run` }),
    { borrowed: true },
  ),
  [`POST ${API}/orgs/:org/repositories/:name/deletions`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/repositories/${at.repository}/deletions`, json: { digest: at.manifest } }),
    { hidden: true },
  ),
  [`POST ${API}/orgs/:org/repositories/:name/rename`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/repositories/${at.repository}/rename`, json: { to: "elsewhere" } }),
    { hidden: true },
  ),
  [`POST ${API}/orgs/:org/promotions`]: tenant(
    (at) => ({
      path: `${API}/orgs/${at.org}/promotions`,
      json: { from: `${at.org}/${at.repository}`, digest: at.manifest, repository: at.repository },
    }),
    { borrowed: true },
  ),
  [`GET ${API}/orgs/:org/deletions`]: ofOrg((at) => `/deletions?repository=${at.repository}`),
  [`POST ${API}/orgs/:org/deletions/:sequence/restore`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/deletions/${at.sequence}/restore` }),
    { borrowed: true },
  ),
  [`GET ${API}/bootstrap-admin`]: server(`${API}/bootstrap-admin`),
  [`POST ${API}/bootstrap-admin/disable`]: server(`${API}/bootstrap-admin/disable`, {}),
  [`POST ${API}/token/exchange`]: open("takes an outside token; access-workload.test.ts compares its answers"),
  "GET /v2/token": open("narrows to what the caller may; that another's and nobody's are alike is tested below"),
  "POST /v2/token": open("the same by a form"),

  // Trust.
  [`GET ${API}/orgs/:org/trust`]: ofOrg(() => "/trust"),
  [`PUT ${API}/orgs/:org/trust`]: ofOrg(
    () => "/trust?base=0",
    () => ({ mediaType: "application/vnd.assay.trust.v1+json", entries: [], logs: [], version: 0, org: "x" }),
  ),
  [`GET ${API}/orgs/:org/trust/diff`]: ofOrg(() => "/trust/diff?from=0&to=0"),
  [`GET ${API}/orgs/:org/trust/versions`]: ofOrg(() => "/trust/versions"),
  [`POST ${API}/orgs/:org/trust/entries`]: ofOrg(
    () => "/trust/entries",
    () => ({ name: "x", publicKeyPem: KEY_PEM, scope: { repositories: ["**"], predicateTypes: ["*"] } }),
  ),
  [`PATCH ${API}/orgs/:org/trust/entries/:id`]: tenant(
    (at) => ({ path: `${API}/orgs/${at.org}/trust/entries/${at.entry}`, json: { name: "y" } }),
    { borrowed: true },
  ),
  [`DELETE ${API}/orgs/:org/trust/entries/:id`]: ofOrg((at) => `/trust/entries/${at.entry}`),
  [`PUT ${API}/orgs/:org/trust/roots/:name`]: ofOrg(
    (at) => `/trust/roots/${at.root}`,
    () => ({ certificates: "x" }),
  ),
  [`DELETE ${API}/orgs/:org/trust/roots/:name`]: ofOrg((at) => `/trust/roots/${at.root}`),
  [`POST ${API}/orgs/:org/trust/rollback`]: ofOrg(
    () => "/trust/rollback",
    () => ({ to: 0, base: 0 }),
  ),
  [`POST ${API}/orgs/:org/trust/preview`]: ofOrg(
    () => "/trust/preview",
    () => ({ version: 0 }),
  ),

  // Evidence.
  [`GET ${API}/orgs/:org/attestations`]: ofOrg(() => "/attestations?flow=build"),
  [`POST ${API}/orgs/:org/attestations`]: ofOrg(
    () => "/attestations",
    () => ({ bundle: "{}" }),
  ),
  [`GET ${API}/orgs/:org/attestations.jsonl`]: ofOrg(() => "/attestations.jsonl"),
  [`POST ${API}/orgs/:org/attestations/bulk`]: tenant((at) => ({
    path: `${API}/orgs/${at.org}/attestations/bulk`,
    body: { type: "application/jsonl", text: "{}\n" },
  })),
  [`GET ${API}/orgs/:org/attestations/:digest`]: ofOrg((at) => `/attestations/${at.manifest}`),
  [`POST ${API}/orgs/:org/reports`]: ofOrg(() => "/reports", STATEMENT),
  [`GET ${API}/orgs/:org/evidence`]: ofOrg(() => "/evidence?predicateType=https%3A%2F%2Fexample.com%2Fr"),
  [`GET ${API}/orgs/:org/evidence/:digest`]: ofOrg((at) => `/evidence/${at.evidence}`),
  [`GET ${API}/orgs/:org/evidence/:digest/bundle`]: ofOrg((at) => `/evidence/${at.evidence}/bundle`),
  [`GET ${API}/orgs/:org/evidence/:digest/receipt`]: ofOrg((at) => `/evidence/${at.evidence}/receipt`),
  [`GET ${API}/orgs/:org/artifacts/:digest`]: ofOrg((at) => `/artifacts/${at.manifest}`),
  [`GET ${API}/orgs/:org/artifacts/:digest/export`]: ofOrg((at) => `/artifacts/${at.manifest}/export`),
  [`GET ${API}/orgs/:org/artifacts/:digest/:file`]: ofOrg((at) => `/artifacts/${at.manifest}/x.intoto.jsonl`),
  "GET /orgs/:org/attestations/:digest": tenant((at) => ({ path: `/orgs/${at.org}/attestations/${at.manifest}` })),
  "GET /repos/:owner/:repo/attestations/:digest": tenant((at) => ({
    path: `/repos/${at.org}/${at.repository}/attestations/${at.manifest}`,
  })),

  // Policies and decisions.
  [`GET ${API}/orgs/:org/policies`]: ofOrg(() => "/policies"),
  [`PUT ${API}/orgs/:org/policies/:name`]: ofOrg(
    (at) => `/policies/${at.policy}`,
    (at) => ({ yaml: POLICY(at) }),
  ),
  [`GET ${API}/orgs/:org/policies/:name`]: ofOrg((at) => `/policies/${at.policy}`),
  [`POST ${API}/decisions`]: tenant((at) => ({
    path: `${API}/decisions`,
    json: { org: at.org, digest: at.manifest, policy: { name: at.policy } },
  })),
  [`GET ${API}/decisions/:id`]: tenant((at) => ({ path: `${API}/decisions/${at.decision}` })),
  [`GET ${API}/decisions/:id/vsa`]: tenant((at) => ({ path: `${API}/decisions/${at.decision}/vsa` })),
  [`GET ${API}/orgs/:org/decisions`]: ofOrg((at) => `/decisions?digest=${at.manifest}`),

  // The record.
  [`GET ${API}/orgs/:org/record`]: ofOrg(() => "/record"),
  [`GET ${API}/record/:sequence`]: tenant((at) => ({ path: `${API}/record/${at.sequence}` })),
  [`GET ${API}/record/:sequence/receipt`]: tenant((at) => ({ path: `${API}/record/${at.sequence}/receipt` })),
  "GET /logs/record/checkpoint": NOT_A_NAME,
  "GET /logs/record/tile/*": NOT_A_NAME,
  "GET /logs/record/proof/consistency": NOT_A_NAME,
  "GET /logs/record/proof/inclusion": NOT_A_NAME,
  "GET /logs/record/vkey": NOT_A_NAME,
  [`GET ${API}/keys`]: open("the service's public keys"),
  "GET /witness/vkey": open("the service's witness key"),
  "GET /witness/:hash/checkpoint": open("checkpoints of other logs, as we witnessed them"),
  "POST /witness/add-checkpoint": open("other logs' checkpoints: no tenant's"),

  // The service itself.
  [`GET ${API}/jobs`]: server(`${API}/jobs`),
  [`GET ${API}/jobs/:id`]: server(`${API}/jobs/1`),
  [`POST ${API}/jobs/:id/retry`]: server(`${API}/jobs/1/retry`, {}),
  [`POST ${API}/jobs/:id/discard`]: server(`${API}/jobs/1/discard`, {}),
  [`POST ${API}/collections`]: server(`${API}/collections`, { preview: true }),
  [`GET ${API}/collections`]: server(`${API}/collections`),
  [`GET ${API}/collections/:id`]: server(`${API}/collections/1`),
  [`GET ${API}/schedules`]: server(`${API}/schedules`),
  [`GET ${API}/integrity`]: server(`${API}/integrity`),
  [`GET ${API}/witnesses`]: server(`${API}/witnesses`),
  "GET /metrics": server("/metrics"),
  "GET /healthz": open("whether the process lives"),
  "GET /readyz": open("whether it serves"),
  "GET /openapi.json": open("the description of this interface"),
};

const inRepository = (at: Place): string => `/v2/${at.org}/${at.repository}`;

/** The registry's own table (registry/routes.ts): what a path names, and method → how it is asked. */
export const REGISTRY_DOORS: Readonly<Record<string, Extract<Door, { kind: "tenant" }>>> = {
  "blob GET": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/blobs/${at.layer}` }) },
  "blob HEAD": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/blobs/${at.layer}` }) },
  "blob DELETE": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/blobs/${at.layer}` }) },
  "uploads POST": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/blobs/uploads/` }), hidden: true },
  "upload GET": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/blobs/uploads/${at.upload}` }) },
  "upload PATCH": {
    kind: "tenant",
    ask: (at) => ({ path: `${inRepository(at)}/blobs/uploads/${at.upload}` }),
    borrowed: true,
  },
  "upload PUT": {
    kind: "tenant",
    ask: (at) => ({ path: `${inRepository(at)}/blobs/uploads/${at.upload}?digest=${at.layer}` }),
    borrowed: true,
  },
  "upload DELETE": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/blobs/uploads/${at.upload}` }) },
  "manifest GET": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/manifests/${at.manifest}` }) },
  "manifest HEAD": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/manifests/${at.tag}` }) },
  "manifest PUT": {
    kind: "tenant",
    ask: (at) => ({
      path: `${inRepository(at)}/manifests/3.0.0`,
      body: {
        type: MANIFEST,
        text: JSON.stringify({
          schemaVersion: 2,
          mediaType: MANIFEST,
          config: { mediaType: "application/vnd.oci.empty.v1+json", digest: at.layer, size: 2 },
          layers: [],
        }),
      },
    }),
    // A manifest that names another's blob: as good as one that names nobody's.
    borrowed: true,
  },
  "manifest DELETE": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/manifests/${at.manifest}` }) },
  "tags GET": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/tags/list` }) },
  "referrers GET": { kind: "tenant", ask: (at) => ({ path: `${inRepository(at)}/referrers/${at.manifest}` }) },
};
