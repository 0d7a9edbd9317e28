/** A whole instance with a policy and people on both sides of a pull gate: what tests of the gate and of its bypasses talk to. */
import type { PrivateKey } from "@assay/evidence/node";
import { expect } from "vitest";
import { attest, makeKey, openRoom, type Room, SIGNED } from "./evidence-room.ts";
import { ADMIN_BASIC, sha256 } from "./pushing.ts";
import { type Answer, imageManifest, OCI_INDEX, OCI_MANIFEST, send } from "./registry-room.ts";
import type { JsonObject } from "../src/record/command.ts";
import type { Digest } from "@assay/evidence";

export const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
export const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";

/** A policy that asks for one signature of the key named `release`. */
export function signedPolicy(name: string, more = ""): string {
  return `version: 1\nname: ${name}\nrules:\n  - id: signed\n    evidence:\n      predicateType: ${SIGNED}\n      identities: [release]\n${more}`;
}

/** A manifest as an index lists it. */
export interface Described {
  readonly digest: Digest;
  readonly size: number;
}

export interface GatedRoom extends Room {
  readonly key: PrivateKey;
  /** API keys: who may only read, who may write evidence, and an administrator, all of acme. */
  readonly reader: string;
  readonly member: string;
  readonly admin: string;
  /** A request to the registry, as the reader unless told otherwise. */
  pull(
    path: string,
    options?: { as?: string; method?: string; headers?: Record<string, string>; body?: Uint8Array | string },
  ): Promise<Answer>;
  pushBlob(repository: string, bytes: string): Promise<Digest>;
  pushManifest(repository: string, reference: string, manifest: string, type?: string): Promise<Digest>;
  /** An image of one layer; each text makes another. */
  pushImage(
    repository: string,
    reference: string,
    text: string,
    more?: JsonObject,
  ): Promise<{ digest: Digest; layer: Digest; size: number }>;
  pushIndex(repository: string, reference: string, children: readonly Described[]): Promise<Described>;
  /** Signs digests with the key that the policy asks for, and gives it to the server. */
  sign(...digests: Digest[]): Promise<void>;
  gate(repository: string, policy?: string, platforms?: "own" | "index"): Promise<void>;
  clear(repository: string): Promise<void>;
}

/** Opens a room in which `release` is trusted and a policy `release` asks for its signature. */
export async function openGatedRoom(...options: Parameters<typeof openRoom>): Promise<GatedRoom> {
  const room = await openRoom(...options);
  const key = makeKey();
  await room.trust("acme", key, { name: "release" });
  await must(room.call("PUT", "/orgs/acme/policies/release", { yaml: signedPolicy("release") }));
  const reader = (await room.person("rita", "acme", "reader")).token;
  const member = (await room.person("mia", "acme", "member")).token;
  const admin = (await room.person("ada", "acme", "admin")).token;
  const pull: GatedRoom["pull"] = (path, { as = reader, method = "GET", headers = {}, body } = {}) =>
    send(`${room.instance.url}/v2/${path}`, method, { token: as, headers, ...(body === undefined ? {} : { body }) });
  const push = async (method: string, path: string, type: string, body: string): Promise<Answer> => {
    const headers = { authorization: ADMIN_BASIC, "content-type": type };
    const answer = await send(`${room.instance.url}/v2/${path}`, method, { token: null, headers, body });
    expect(answer.status, `${path}: ${answer.text}`).toBe(201);
    return answer;
  };
  const gated: GatedRoom = {
    ...room,
    key,
    reader,
    member,
    admin,
    pull,
    async pushBlob(repository, bytes) {
      const digest = sha256(bytes) as Digest;
      await push("POST", `${repository}/blobs/uploads/?digest=${digest}`, "application/octet-stream", bytes);
      return digest;
    },
    async pushManifest(repository, reference, manifest, type = OCI_MANIFEST) {
      await push("PUT", `${repository}/manifests/${reference}`, type, manifest);
      return sha256(manifest) as Digest;
    },
    async pushImage(repository, reference, text, more = {}) {
      await gated.pushBlob(repository, "{}");
      const layer = await gated.pushBlob(repository, text);
      const manifest = imageManifest("{}", [text], more);
      const at = reference === "" ? sha256(manifest) : reference;
      return { digest: await gated.pushManifest(repository, at, manifest), layer, size: manifest.length };
    },
    async pushIndex(repository, reference, children) {
      const manifests = children.map(({ digest, size }) => ({ mediaType: OCI_MANIFEST, digest, size }));
      const index = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
      const at = reference === "" ? sha256(index) : reference;
      return { digest: await gated.pushManifest(repository, at, index, OCI_INDEX), size: index.length };
    },
    async sign(...digests) {
      const posted = await room.post("acme", await attest(key, digests));
      expect(posted.status, JSON.stringify(posted.body)).toBe(201);
    },
    async gate(repository, policy = "release", platforms = "own") {
      await must(room.call("PUT", "/orgs/acme/pull-gates", { repository, policy, platforms }));
    },
    async clear(repository) {
      await must(room.call("DELETE", `/orgs/acme/pull-gates?repository=${encodeURIComponent(repository)}`));
    },
  };
  return gated;
}

async function must(asked: ReturnType<Room["call"]>): Promise<void> {
  const answer = await asked;
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
}

/** The one error of an OCI answer. */
export function ociError(answer: Answer): { code: string; message: string; detail: JsonObject } {
  const { errors } = answer.json as { errors?: { code: string; message: string; detail: JsonObject }[] };
  const [first] = errors ?? [];
  if (first === undefined) throw new Error(`no OCI error: ${answer.status} ${answer.text}`);
  return first;
}
