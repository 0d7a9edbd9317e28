/** Whoever asks a server everything it can be asked, so that each of its queries is made at least once. */
import { randomBytes } from "node:crypto";
import { formatPublicKeyPem, parseDigest } from "@assay/evidence";
import { generateKeyPair } from "@assay/evidence/node";
import { unrecordedUses } from "../src/access/bootstrap-queries.ts";
import { currentAdmins, currentRoles, hasLiveKey, roleAsOf } from "../src/access/queries.ts";
import { currentRepositoryRoles, repositoryRolesOf } from "../src/access/repository-role-queries.ts";
import { currentWorkload, findExchange, repositoriesOfRow, workloadsOf } from "../src/access/workload-queries.ts";
import { bundlesAbout } from "../src/attestations/about-queries.ts";
import { fieldsOf } from "../src/attestations/search-queries.ts";
import {
  findEvidence,
  firstOfSignature,
  hasEvidence,
  isAbout,
  isInRepository,
  listingsOf,
  otherPrimary,
  primaryBy,
  primaryOf,
  signersOf,
  subjectsOf,
} from "../src/attestations/queries.ts";
import { newestAbout } from "../src/attestations/queries.ts";
import { currentPolicy, findPullGate, onceAllowed, pullGates } from "../src/gate/pull-gate-queries.ts";
import { decidedByPolicy, findPolicyByDigest } from "../src/gate/queries.ts";
import { boundKey } from "../src/record/service-key-queries.ts";
import { evidenceTagsOf, holds, indexesListing, manifestsHolding, statedBy } from "../src/registry/naming-queries.ts";
import {
  anyMirror,
  countMirrors,
  currentMirror,
  lastLook,
  sealedCredential,
  tagRefused,
  wasMirror,
} from "../src/mirrors/queries.ts";
import {
  allReplications,
  countReplications,
  findRun,
  replicationsOnEvents,
} from "../src/mirrors/replication-queries.ts";
import {
  artifactSize,
  awaitedBlob,
  findManifest,
  listReferrers,
  manifestsNaming,
  referrersAfter,
  tagSetBy,
  tagsSetAfter,
} from "../src/registry/queries.ts";
import { companyOf, runningAmong } from "../src/registry/promotion-queries.ts";
import {
  contentOf,
  contentOfDeleted,
  currentQuota,
  growth,
  leasedIn,
  listQuotas,
  quotasOver,
} from "../src/registry/quota-queries.ts";
import { bytesOfDeleted, findDeletion, listDeletions, tagsDeletedWith } from "../src/registry/deletion-queries.ts";
import {
  countRefusedMoves,
  heldRows,
  isPublic,
  lastOfTag,
  listKnown,
  listPublic,
  listRefusedMoves,
  nextPublicOrganisation,
  refusedMoveCount,
  refusedMovesOf,
  settingHistory,
} from "../src/registry/repository-queries.ts";
import type { Keeps } from "../src/collection/commands.ts";
import { collectedAt, collectedSince } from "../src/collection/generation.ts";
import { collectionJob } from "../src/collection/run.ts";
import { composeParts } from "../src/composition.ts";
import { nextRetentions, standsAlone, standsApart } from "../src/registry/retention-queries.ts";
import { RETENTION_ACTOR } from "../src/registry/retention-run.ts";
import type { Reader } from "../src/storage/database.ts";
import { currentEntry, currentRoot, keysSince } from "../src/trust/queries.ts";
import { newestWitnessed, turnOf, witnessAnswers, witnessedLog } from "../src/witness/queries.ts";
import { jobsDue, waitingJobs } from "../src/jobs/lane-queries.ts";
import { enqueueJob, leasedAnswer } from "../src/jobs/operations.ts";
import { nextDue } from "../src/jobs/queries.ts";
import { type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import {
  allWebhooks,
  countWebhooks,
  currentWebhook,
  cursorOf,
  eventTypesAfter,
  findDelivery,
  oldestKept,
  orgSequenceBefore,
  storedFact,
  webhookById,
  webhooksOf,
  webhookVersions,
} from "../src/webhooks/queries.ts";
import { makeRoot } from "./certified.ts";
import { ADMIN_TOKEN, type Instance } from "./instance.ts";
import { openStore } from "./stored-blobs.ts";
import { ADMIN_BASIC, pushBlob, pushImage, pushImageBySha512, sha256 } from "./pushing.ts";

/** Bytes collected once, and a walk over the store. */
async function liveThroughCollection(instance: Instance): Promise<void> {
  const { record, reader } = instance;
  const parts = composeParts();
  const keeps: Keeps = (among, digests, at) => parts.keeps(among, digests, at);
  const digest = `sha256:${"1".repeat(64)}`;
  const blobs = [{ digest, size: 1, generation: 0 }];
  await record.append({
    type: "collection.collect",
    org: SYSTEM_ORG,
    actor: SYSTEM_ACTOR,
    body: { blobs, graceMs: 0, requestedBy: null },
  });
  await keeps(
    reader,
    Array.from({ length: 20 }, () => digest),
    { time: 0, since: 0 },
  );
  await collectedAt(reader, digest);
  await collectedSince(reader, [digest], 0);
  await nextRetentions(reader, "", 10);
  for (const alone of [standsAlone, standsApart]) await alone(reader, "default/none", digest, digest);
  await record.append({
    type: "registry.apply-retention",
    org: "default",
    actor: RETENTION_ACTOR,
    body: { repository: "default/app", version: 1, tags: ["none"], manifests: [digest] },
  });
  const store = await openStore(instance.dataDirectory);
  await collectionJob({ record, reader, blobs: store.blobs, keeps, graceMs: 0 }, undefined, {});
  await store.close();
}

/** Every change of state a job can go through. */
async function liveThroughJobs({ record, reader }: Instance): Promise<void> {
  const kind = "test.planned";
  const leased = async (): Promise<JsonObject> => {
    await enqueueJob(record, { kind, key: "k", body: {}, maxAttempts: 1 });
    const answer = await record.operate("jobs.lease", {
      owner: "test",
      kinds: [{ kind, slots: 1, leaseMs: 60_000, perLane: 2 }],
    });
    const [job] = leasedAnswer.parse(answer).jobs;
    return { id: job?.id ?? 0, lease: job?.lease ?? "" };
  };
  await nextDue(reader, [{ kind, free: true, perLane: 2 }]);
  await jobsDue(reader, { kind, slots: 2, perLane: 2 }, Date.now());
  const without = waitingJobs(reader, kind, ["acme"]).select("due").where("due", "<=", Date.now());
  await without.where("id", "not in", [1]).limit(1).execute();
  const dead = await leased();
  await record.operate("jobs.renew", { ...dead, leaseMs: 60_000 });
  await record.operate("jobs.fail", { ...dead, error: "no", delayMs: 0, final: false });
  const actor = { id: "admin", credential: { kind: "admin-token" as const } };
  await record.append({ type: "jobs.retry", org: SYSTEM_ORG, actor, body: { id: dead["id"] ?? 0 } });
  await record.operate("jobs.release", await leased());
  const again = await leased();
  await record.operate("jobs.fail", { ...again, error: "no", delayMs: 0, final: true });
  await record.append({ type: "jobs.discard", org: SYSTEM_ORG, actor, body: { id: again["id"] ?? 0 } });
  await record.operate("jobs.finish", await leased());
  await record.operate("jobs.sweep", {});
}

/** A layer from elsewhere that comes after the manifest that names it. */
async function fillGap(url: string): Promise<void> {
  const bytes = randomBytes(100);
  await pushBlob(url, "default/app", Buffer.from("{}"));
  const layer = { mediaType: "a/b", digest: sha256(bytes), size: bytes.length, urls: ["https://example.com/layer"] };
  const answer = await fetch(`${url}/v2/default/app/manifests/gap`, {
    method: "PUT",
    headers: { authorization: ADMIN_BASIC, "content-type": "application/vnd.oci.image.manifest.v1+json" },
    body: JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256("{}"), size: 2 },
      layers: [layer],
    }),
  });
  if (answer.status !== 201) throw new Error(`gap: ${answer.status} ${await answer.text()}`);
  await pushBlob(url, "default/app", bytes);
}

/** What deliveries ask and change, and the looks at all endpoints; the endpoint is one that is never asked (a private address). */
async function liveThroughWebhooks({ record, reader }: Instance): Promise<void> {
  const org = "default";
  const webhook = await currentWebhook(reader, org, "ci");
  if (webhook === undefined) throw new Error("there is no webhook");
  const { id } = webhook;
  await webhooksOf(reader, org);
  await webhookById(reader, org, id);
  await webhookVersions(reader, { org, id }, 0, 9);
  await countWebhooks(reader, org);
  await allWebhooks(reader, { org: "", name: "" }, 10);
  await cursorOf(reader, org, id);
  await oldestKept(reader, webhook, "dead", 1);
  await eventTypesAfter(reader, org, 0, 10);
  await storedFact(reader, org, 3);
  await orgSequenceBefore(reader, org, 5);
  const place = { org, webhook: id };
  await record.operate("webhooks.advance", { ...place, from: 0, to: 1, next: null });
  const came = { sequence: 3, orgSequence: 3, type: "dev.assay.tag.set", status: null, error: "no" };
  await record.operate("webhooks.settle", { ...place, ...came, state: "failed" });
  await record.operate("webhooks.settle", { ...place, ...came, state: "dead" });
  await findDelivery(reader, org, id, 3);
  await record.operate("webhooks.again", { ...place, sequence: 3 });
  await record.operate("webhooks.forget", { ...place, state: "dead", upTo: 3 });
  await record.operate("webhooks.rewind", { ...place, position: 0 });
  const actor = { id: "admin", credential: { kind: "admin-token" as const } };
  await record.append({ type: "webhooks.remove", org, actor, body: { name: "ci" } });
}

/** What mirrors ask and change; the upstream is one that is never asked (a private address). */
async function liveThroughMirrors({ record, reader, url }: Instance): Promise<void> {
  const repository = "default/mirrored";
  const digest = `sha256:${"0".repeat(64)}`;
  await wasMirror(reader, repository);
  await anyMirror(reader);
  await countMirrors(reader, "default");
  await tagRefused(reader, repository, "1.0.0", digest);
  await sealedCredential(reader, "default", "0".repeat(32));
  await awaitedBlob(reader, repository, digest);
  await countReplications(reader, "default");
  await allReplications(reader, { org: "", name: "" }, 10);
  await replicationsOnEvents(reader, "default");
  await tagSetBy(reader, 3);
  await tagsSetAfter(reader, "default", 3, 10);
  await referrersAfter(reader, "default", 3, 10);
  const run = { state: "done" as const, started: 1, copied: 0, present: 0, failed: 0, at: null, problem: null };
  await record.operate("mirrors.ran", { org: "default", subject: "replication/out/all", ...run, covered: 3 });
  await findRun(reader, "default", "replication/out/all");
  const setting = (await currentMirror(reader, repository))?.from_seq ?? -1;
  await record.operate("mirrors.looked", { org: "default", repository, setting, reference: "latest" });
  await lastLook(reader, repository, "latest");
  const answer = await fetch(`${url}/v2/${repository}/manifests/latest`, { headers: { authorization: ADMIN_BASIC } });
  if (answer.status !== 502) throw new Error(`mirror: ${answer.status} ${await answer.text()}`);
}

/** Goes through every door of an instance that is used for nothing else. @throws Error naming the request that was refused. */
export async function useEverything(instance: Instance): Promise<void> {
  const { url } = instance;
  const image = await pushImage(url, "default/app", "1.0.0", randomBytes(100));
  const other = await pushImageBySha512(url, "default/app", "2.0.0", randomBytes(100));
  await fillGap(url);
  const key = generateKeyPair("ecdsa-p256-sha256");
  const calls: [string, string, unknown?][] = [
    ["POST", "/api/assay/v1/orgs", { name: "acme" }],
    ["POST", "/api/assay/v1/people", { name: "alice" }],
    ["POST", "/api/assay/v1/people/alice/keys", { label: "laptop" }],
    ["GET", "/api/assay/v1/people/alice/keys"],
    ["GET", "/api/assay/v1/people"],
    ["PUT", "/api/assay/v1/orgs/acme/members/person/alice", { role: "admin" }],
    ["GET", "/api/assay/v1/orgs/acme/members"],
    ["POST", "/api/assay/v1/orgs/acme/service-accounts", { name: "ci" }],
    ["GET", "/api/assay/v1/orgs/acme/service-accounts"],
    ["GET", "/api/assay/v1/orgs"],
    ["PUT", "/api/assay/v1/orgs/acme/repository-roles/person/alice", { repository: "acme/app", role: "reader" }],
    ["GET", "/api/assay/v1/orgs/acme/repository-roles"],
    [
      "PUT",
      "/api/assay/v1/orgs/acme/workload-identities/release",
      {
        issuer: "https://ci.example.com",
        audience: "a",
        conditions: [{ claim: "sub", value: "x" }],
        serviceAccount: "ci",
      },
    ],
    ["GET", "/api/assay/v1/orgs/acme/workload-identities"],
    [
      "POST",
      "/api/assay/v1/orgs/default/webhooks",
      { name: "ci", url: "https://hooks.example.com/x", kinds: ["push"], repositories: ["default/none"] },
    ],
    ["GET", "/api/assay/v1/orgs/default/webhooks"],
    ["PUT", "/api/assay/v1/orgs/default/webhooks/ci", { url: "https://10.0.0.1/x", kinds: ["push", "delete"] }],
    ["POST", "/api/assay/v1/orgs/default/webhooks/ci/rotate", {}],
    ["POST", "/api/assay/v1/orgs/default/webhooks/ci/pause"],
    ["POST", "/api/assay/v1/orgs/default/webhooks/ci/resume"],
    ["GET", "/api/assay/v1/orgs/default/webhooks/ci/deliveries"],
    ["GET", "/api/assay/v1/orgs/default/webhooks/ci/deliveries?state=dead"],
    ["POST", "/api/assay/v1/orgs/default/webhooks/ci/replay", { from: 3 }],
    [
      "PUT",
      "/api/assay/v1/orgs/default/mirror",
      {
        repository: "default/mirrored",
        url: "https://10.0.0.1/x",
        credential: { username: "robot", password: "secret" },
      },
    ],
    ["POST", "/api/assay/v1/orgs/default/mirror/fill", { repository: "default/mirrored", tags: ["1.0.0"] }],
    [
      "PUT",
      "/api/assay/v1/orgs/default/replications/out",
      { direction: "push", repositories: ["default/none"], url: "https://10.0.0.1/x", onEvents: true },
    ],
    ["POST", "/api/assay/v1/orgs/default/replications/out/run"],
    ["GET", "/api/assay/v1/orgs/default/replications"],
    ["GET", "/api/assay/v1/orgs/default/replications/out"],
    ["GET", "/api/assay/v1/orgs/default/mirrors"],
    ["GET", "/api/assay/v1/orgs/default/mirror?repository=default/mirrored"],
    ["GET", "/api/assay/v1/whoami"],
    ["GET", "/api/assay/v1/bootstrap-admin"],
    ["POST", "/api/assay/v1/orgs/default/repositories", { name: "ahead", visibility: "public" }],
    ["PATCH", "/api/assay/v1/orgs/default/repositories/app", { immutableTags: ["stable"] }],
    ["POST", "/api/assay/v1/orgs/default/repositories/ahead/rename", { to: "behind" }],
    ["POST", "/api/assay/v1/orgs/default/repositories/behind/deletions", { whole: true, reason: "not needed" }],
    [
      "POST",
      "/api/assay/v1/orgs/default/promotions",
      { from: "default/app", digest: image.manifest, repository: "promoted", tags: ["1.0.0"] },
    ],
    ["GET", "/api/assay/v1/orgs/default/repositories?limit=1"],
    ["GET", "/api/assay/v1/orgs/default/repositories/app"],
    ["GET", "/api/assay/v1/orgs/default/repositories/app/history?limit=1"],
    [
      "POST",
      "/api/assay/v1/orgs/default/trust/entries",
      {
        name: "release",
        publicKeyPem: formatPublicKeyPem(key.publicKey),
        scope: { repositories: ["**"], predicateTypes: ["*"] },
      },
    ],
    ["GET", "/api/assay/v1/orgs/default/trust"],
    ["GET", "/api/assay/v1/orgs/default/trust?version=1"],
    ["GET", "/api/assay/v1/orgs/default/trust/versions"],
    ["PUT", "/api/assay/v1/orgs/default/trust/roots/house", { certificates: (await makeRoot("House")).cert }],
    ["POST", "/api/assay/v1/orgs/default/trust/rollback", { to: 1, base: 2 }],
    ["GET", "/api/assay/v1/orgs/default/trust/diff?from=1&to=2"],
    [
      "POST",
      "/api/assay/v1/orgs/default/reports",
      { subject: image.manifest, predicateType: "https://example.com/r", predicate: {}, repository: "default/app" },
    ],
    ["GET", `/api/assay/v1/orgs/default/attestations/${image.manifest}`],
    ["GET", `/api/assay/v1/orgs/default/artifacts/${image.manifest}`],
    ["GET", "/api/assay/v1/orgs/default/evidence"],
    ["GET", "/api/assay/v1/orgs/default/evidence?predicateType=a"],
    ["GET", `/api/assay/v1/orgs/default/evidence?signer=${"0".repeat(64)}`],
    ["GET", `/api/assay/v1/orgs/default/evidence?field=a=b&signer=${"0".repeat(64)}&predicateType=c`],
    ["GET", `/api/assay/v1/orgs/default/evidence?field=a=b&field=c=d&predicateType=e&signer=${"0".repeat(64)}`],
    ["GET", "/api/assay/v1/orgs/default/evidence?after=0&before=2000-01-01T00:00:00Z"],
    [
      "GET",
      `/api/assay/v1/orgs/default/evidence?subject=${image.manifest}&field=a=b&signer=${"0".repeat(64)}&predicateType=c&after=0&before=1`,
    ],
    ["GET", `/orgs/default/attestations/${image.manifest}?predicate_type=provenance`],
    ["GET", `/repos/default/app/attestations/${image.manifest}`],
    ["GET", "/api/assay/v1/orgs/default/attestations?flow=a"],
    ["GET", "/api/assay/v1/orgs/default/attestations?flow=a&trail=b&name=c"],
    [
      "PUT",
      "/api/assay/v1/orgs/default/policies/p",
      {
        yaml: "version: 1\nname: p\nrules:\n  - id: a\n    evidence: { predicateType: 'https://example.com/r', identities: [release] }\n",
      },
    ],
    ["GET", "/api/assay/v1/orgs/default/policies"],
    ["GET", "/api/assay/v1/orgs/default/policies/p"],
    ["POST", "/api/assay/v1/decisions", { org: "default", digest: image.manifest, policy: { name: "p" } }],
    ["POST", "/api/assay/v1/decisions", { org: "default", digest: image.manifest, policy: { name: "p" } }],
    ["GET", "/api/assay/v1/orgs/default/decisions"],
    ["PUT", "/api/assay/v1/orgs/default/pull-gates", { repository: "default/none", policy: "p" }],
    ["PUT", "/api/assay/v1/orgs/default/pull-gates", { repository: "default/none", policy: "p", platforms: "index" }],
    ["GET", "/api/assay/v1/orgs/default/pull-gates?asOf=3"],
    ["DELETE", "/api/assay/v1/orgs/default/pull-gates?repository=default/none"],
    ["POST", "/api/assay/v1/orgs/default/trust/preview", { version: 0 }],
    ["POST", "/api/assay/v1/orgs/default/trust/preview", { version: 0, cursor: "decisions.WzEsMTAwMCwwXQ" }],
    ["GET", "/api/assay/v1/orgs/default/record?limit=10"],
    ["GET", "/api/assay/v1/record/3/receipt"],
    ["GET", "/api/assay/v1/keys"],
    ["GET", "/api/assay/v1/jobs"],
    ["GET", "/api/assay/v1/jobs?state=dead"],
    ["GET", "/api/assay/v1/jobs?kind=registry.sweep"],
    ["GET", "/api/assay/v1/jobs?kind=registry.sweep&state=done"],
    ["GET", "/api/assay/v1/schedules"],
    ["POST", "/api/assay/v1/collections", {}],
    [
      "PUT",
      "/api/assay/v1/orgs/default/retention",
      {
        repository: "default/app",
        rules: [
          { name: "old", tags: ["*"], keepLast: 1, keepPushedDays: 1, keepPulledDays: 1 },
          { name: "loose", untagged: true, keepPushedDays: 1 },
        ],
      },
    ],
    ["GET", "/api/assay/v1/orgs/default/retention?repository=app"],
    ["POST", "/api/assay/v1/orgs/default/retention/preview", { repository: "app" }],
    ["POST", "/api/assay/v1/orgs/default/retention/preview", { repository: "app", from: "manifest " }],
    ["POST", "/api/assay/v1/orgs/default/retention/run", { repository: "app", version: 1 }],
    ["GET", "/api/assay/v1/collections"],
    ["GET", "/api/assay/v1/collections/1"],
  ];
  for (const [method, path, body] of calls) {
    const answer = await instance.api(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
  }
  await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  await liveThroughJobs(instance);
  await liveThroughCollection(instance);
  await liveThroughWebhooks(instance);
  await liveThroughMirrors(instance);
  const scope = "repository:default/app:pull,push,delete";
  const token = (await (
    await fetch(`${url}/v2/token?service=${new URL(url).host}&scope=${encodeURIComponent(scope)}`, {
      headers: { authorization: ADMIN_BASIC },
    })
  ).json()) as { token: string };
  const bearer = { authorization: `Bearer ${token.token}` };
  for (const [method, path] of [
    ["GET", "/v2/default/app/manifests/1.0.0"],
    ["GET", `/v2/default/app/manifests/${image.manifest}`],
    ["HEAD", `/v2/default/app/blobs/${image.layer}`],
    ["GET", "/v2/default/app/tags/list?n=10"],
    ["GET", "/v2/default/app/tags/list?n=10&last=1"],
    ["GET", `/v2/default/app/referrers/${image.manifest}`],
    ["GET", `/v2/default/app/referrers/${image.manifest}?artifactType=a/b`],
    ["POST", `/v2/default/app/blobs/uploads/?mount=${image.layer}&from=default/app`],
    ["POST", `/v2/default/app/blobs/uploads/?mount=${image.layer}`],
    ["POST", `/v2/default/app/blobs/uploads/?mount=${other.layer}`],
    ["GET", `/v2/default/app/manifests/${other.manifest}`],
    ["HEAD", `/v2/default/app/blobs/${other.layer}`],
    ["POST", "/v2/default/app/blobs/uploads/"],
    ["DELETE", "/v2/default/app/manifests/1.0.0"],
    ["DELETE", `/v2/default/app/manifests/${other.manifest}`],
  ] as const) {
    const answer = await fetch(`${url}${path}`, { method, headers: bearer });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${await answer.text()}`);
  }
  await upload(url, bearer);
  await instance.record.operate("registry.sweep-ended", { limit: 10 });
  await fetch(`${url}/v2/_catalog?n=10`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  await askDirectly(instance.reader, image);
}

/** Uploads in every way there is: in chunks, cancelled, and all of it at the end, held in memory or not. */
async function upload(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const open = async (): Promise<string> => {
    const opened = await fetch(`${url}/v2/default/app/blobs/uploads/`, { method: "POST", headers });
    return `${url}${new URL(opened.headers.get("location") ?? "").pathname}`;
  };
  const ask = async (method: string, location: string, bytes?: Buffer<ArrayBuffer>): Promise<void> => {
    const answer = await fetch(location, { method, headers, ...(bytes === undefined ? {} : { body: bytes }) });
    if (answer.status >= 300) throw new Error(`${method} ${location}: ${await answer.text()}`);
  };
  const chunked = await open();
  await ask("PATCH", chunked, Buffer.from("in "));
  await ask("GET", chunked);
  await ask("PUT", `${chunked}?digest=${sha256("in chunks")}`, Buffer.from("chunks"));
  await ask("DELETE", await open());
  for (const bytes of [Buffer.alloc(10, "a"), Buffer.alloc(2 * 1024 * 1024, "a")]) {
    await ask("PUT", `${await open()}?digest=${sha256(bytes)}`, bytes);
  }
}

/** What is asked of repositories, of tags that never move, and of what is everybody's. */
async function askOfRepositories(reader: Reader): Promise<void> {
  const org = "default";
  const page = { asOf: 1_000_000, before: 1_000_000, limit: 2 };
  const move = { repository: "default/app", tag: "1.0.0", actor: "admin" };
  await isPublic(reader, "default/app");
  await listPublic(reader, org, { last: "", limit: 2 });
  await nextPublicOrganisation(reader, "");
  await listKnown(reader, org, page);
  await settingHistory(reader, "default/app", page);
  await lastOfTag(reader, "default/app", "1.0.0");
  await refusedMovesOf(reader, move, 1, 2);
  await countRefusedMoves(reader, "default/app", "admin", 1, 2);
  await listRefusedMoves(reader, "default/app", page);
  await refusedMoveCount(reader, move);
  await hasEvidence(reader, org, "sha256:0");
  const gone = { rows_in: "default/app", digest: "sha256:0", sequence: 9 };
  await findDeletion(reader, 9);
  await listDeletions(reader, org, 0, { ...page, repository: undefined });
  await listDeletions(reader, org, 0, { ...page, repository: "default/app" });
  await tagsDeletedWith(reader, gone);
  await bytesOfDeleted(reader, gone, { last: "", limit: 2 });
  const counted = { scope: "default/app", org: "default", repository: "default/app" };
  for (const scope of [counted, { scope: "default", org: "default", repository: null }]) {
    await currentQuota(reader, scope.scope);
    await growth(reader, scope.scope, new Map([[`sha256:${"0".repeat(64)}`, 1]]));
    await leasedIn(reader, scope, Date.now(), "");
  }
  await quotasOver(reader, { org: "default", repository: "default/app" });
  await listQuotas(reader, "default", { asOf: 1, position: null, limit: 2 });
  await contentOf(reader, "default/app", [`sha256:${"0".repeat(64)}`]);
  await contentOfDeleted(reader, gone);
  await companyOf(reader, "default/app", parseDigest(`sha256:${"0".repeat(64)}`));
  await runningAmong(reader, "default/app", [parseDigest(`sha256:${"0".repeat(64)}`)]);
  await heldRows(reader, "default/app");
  await otherPrimary(reader, org, "default/app", "default/other");
}

/** The queries that only rare states lead to, and the shapes they can have: asked without the state. */
async function askDirectly(
  reader: Reader,
  image: { readonly manifest: string; readonly layer: string },
): Promise<void> {
  const org = "default";
  const digest = parseDigest(image.manifest);
  const person = "person:alice";
  await roleAsOf(reader, org, person, 5);
  await currentAdmins(reader, org);
  await currentRoles(reader, person);
  await hasLiveKey(reader, person, 0);
  repositoriesOfRow({ repositories: '["acme/app"]' });
  await currentRepositoryRoles(reader, org, person);
  await repositoryRolesOf(reader, person);
  await workloadsOf(reader, "service:acme/ci");
  await currentWorkload(reader, org, "release");
  await findExchange(reader, { org, identity: "release", token: "0".repeat(64) });
  await unrecordedUses(reader, 1, 10);
  await findEvidence(reader, org, digest);
  await firstOfSignature(reader, org, digest);
  await bundlesAbout(reader, org, digest, { asOf: 9, before: 1, after: 0, limit: 1 });
  await fieldsOf(reader, org, [1]);
  await artifactSize(reader, org, digest);
  await findManifest(reader, "default/app", digest, 9);
  for (const artifactType of [undefined, "a/b"]) {
    await listReferrers(reader, "default/app", digest, { last: "", limit: 10, artifactType });
  }
  await isAbout(reader, org, { evidence: digest, form: "report" }, digest);
  await subjectsOf(reader, org, digest, 10);
  await listingsOf(reader, org, digest, { asOf: 9, limit: 10 });
  await signersOf(reader, org, digest);
  await isInRepository(reader, org, digest, "default/app");
  await primaryOf(reader, org, "default/app", [digest]);
  await primaryBy(reader, org, digest, 10);
  await findPolicyByDigest(reader, org, digest);
  await decidedByPolicy(reader, org, digest);
  await pullGates(reader, org);
  await pullGates(reader, org, 9);
  await findPullGate(reader, org, "default/app");
  await currentPolicy(reader, org, "p");
  await onceAllowed(reader, org, { repository: "default/app", policyDigest: digest }, [digest]);
  await newestAbout(reader, org, digest);
  await manifestsHolding(reader, "default/app", digest, { after: "", limit: 10 });
  await holds(reader, "default/app", digest, parseDigest(image.layer));
  await indexesListing(reader, "default/app", [digest], 10);
  await statedBy(reader, "default/app", digest);
  await evidenceTagsOf(reader, "default/app", digest, 2);
  await boundKey(reader, "witness");
  await manifestsNaming(reader, "default/app", digest, 10);
  await keysSince(reader, org, 0);
  await currentEntry(reader, org, "id");
  await currentRoot(reader, org, "house");
  await witnessedLog(reader, "example.com/log");
  await newestWitnessed(reader, "record");
  await turnOf(reader, "record");
  await witnessAnswers(reader);
  await askOfRepositories(reader);
}
