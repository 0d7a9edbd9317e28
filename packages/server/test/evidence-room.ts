/** A whole instance with two organisations and signing keys: what tests of trust, attestations and gate talk to. */
import {
  buildStatement,
  type Digest,
  digestOf,
  formatPublicKeyPem,
  type JsonObject,
  type JsonValue,
  type KeyAlgorithm,
  type RecordReceipt,
  signMessage,
  signStatement,
  utf8Encode,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto, type PrivateKey } from "@assay/evidence/node";
import type { Decision } from "@assay/policy";
import { generateApiKey, hashSecret } from "../src/access/api-key.ts";
import type { Role } from "../src/access/roles.ts";
import { composeParts, MIGRATIONS } from "../src/composition.ts";
import type { Config } from "../src/config.ts";
import { type Actor, SYSTEM_ORG } from "../src/record/command.ts";
import { clearProjections, compareProjections, replayEvents } from "../src/record/replay.ts";
import type { RecordTables } from "../src/record/schema.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openWriter } from "../src/storage/open.ts";
import { ADMIN, temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";

export const SIGNED = "https://sigstore.dev/cosign/sign/v1";
export const PROVENANCE = "https://slsa.dev/provenance/v1";

/**
 * What a test reads in answers' bodies: a lens over all of them, not a promise about any. Tests assert what they need, and a field that
 * is not there fails them.
 */
export interface Body {
  readonly error: { readonly code: string; readonly message: string; readonly detail: readonly Body[] };
  readonly version: number;
  readonly entry: { readonly id: string; readonly name: string; readonly keyId: string };
  readonly entries: readonly {
    readonly id: string;
    readonly name: string;
    readonly keyId: string;
    readonly primary: boolean;
    readonly validUntil: number | null;
  }[];
  readonly root: { readonly name: string; readonly profile: string };
  readonly roots: readonly { readonly name: string }[];
  readonly diff: Readonly<
    Record<
      "entries" | "roots",
      {
        readonly added: readonly Body[];
        readonly removed: readonly Body[];
        readonly changed: readonly { readonly members: readonly string[] }[];
      }
    >
  >;
  readonly receipt: RecordReceipt;
  readonly items: readonly Item[];
  readonly next: string;
  readonly evidence: string;
  readonly id: string;
  readonly sequence: number;
  readonly line: number;
  readonly decision: Decision;
  readonly links: { readonly self: string; readonly vsa: string; readonly policy: string; readonly evidence: string };
  readonly keys: readonly { readonly purpose: string; readonly publicKeyPem: string; readonly id: string }[];
  readonly logs: readonly string[];
}

/** One item of a list. */
export interface Item {
  readonly version: number;
  readonly change: string;
  readonly evidence: string;
  readonly id: string;
  readonly name: string;
  readonly predicateType: string | null;
  readonly primary: boolean;
  readonly form: string;
  readonly status: { readonly status: string; readonly code: string; readonly by: { readonly name: string } };
}

export interface Room {
  readonly instance: Instance;
  /** A request to the own API; as the bootstrap admin unless a token is given. */
  call(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: Body }>;
  /** The code of the error an answer is, and its status. */
  refusal(method: string, path: string, body?: unknown, token?: string): Promise<string>;
  /** Makes a person with one role in one organisation. */
  person(name: string, org: string, role: Role): Promise<{ token: string; actor: Actor }>;
  /** Trusts a key; the whole of everything unless told otherwise. */
  trust(org: string, key: PrivateKey, entry?: Record<string, unknown>): Promise<Body>;
  /** Posts a bundle. */
  post(org: string, bundle: Uint8Array, repository?: string, token?: string): Promise<{ status: number; body: Body }>;
  stop(): Promise<void>;
}

/** Opens a room with the organisations `acme` and `rival`. */
export async function openRoom(options: Partial<Config> = {}): Promise<Room> {
  const instance = await startInstance(options);
  const call: Room["call"] = async (method, path, body, token) => {
    const answer = await instance.api(method, `/api/assay/v1${path}`, body, token);
    return { status: answer.status, body: answer.body as Body };
  };
  const must = async (type: string, org: string, body: JsonObject): Promise<void> => {
    const appended = await instance.record.append({ type, org, actor: ADMIN, body: { ...body } });
    if (!appended.ok) throw new Error(`${type}: ${appended.refusal.code}: ${appended.refusal.message}`);
  };
  for (const name of ["acme", "rival"]) await must("access.create-organisation", name, { name });
  return {
    instance,
    call,
    async refusal(method, path, body, token) {
      const answer = await call(method, path, body, token);
      return `${answer.status} ${answer.status < 400 ? "no error" : answer.body.error.code}`;
    },
    async person(name, org, role) {
      const principal = `person:${name}`;
      await must("access.create-person", SYSTEM_ORG, { name });
      await must("access.grant-role", org, { principal, role });
      const key = generateApiKey();
      await must("access.create-api-key", SYSTEM_ORG, {
        id: key.id,
        principal,
        label: "test",
        secretHash: hashSecret(key.secret),
        expires: null,
      });
      return { token: key.text, actor: { id: principal, credential: { kind: "api-key", id: key.id } } };
    },
    async trust(org, key, entry = {}) {
      const answer = await call("POST", `/orgs/${org}/trust/entries`, {
        name: "release",
        publicKeyPem: formatPublicKeyPem(key.publicKey),
        scope: { repositories: ["**"], predicateTypes: ["*"] },
        ...entry,
      });
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
      return answer.body;
    },
    post: (org, bundle, repository, token) =>
      call(
        "POST",
        `/orgs/${org}/attestations`,
        { bundle: Buffer.from(bundle).toString("utf8"), ...(repository === undefined ? {} : { repository }) },
        token,
      ),
    stop: () => instance.stop(),
  };
}

/** A fresh key. */
export function makeKey(algorithm: KeyAlgorithm = "ecdsa-p256-sha256"): PrivateKey {
  return generateKeyPair(algorithm);
}

/** The digest of a text, for naming artifacts in tests. */
export function artifact(text: string): Digest {
  return digestOf(nodeCrypto, utf8Encode(text));
}

/** A signed statement about artifacts, as a bundle's bytes. */
export function attest(
  key: PrivateKey,
  subjects: Digest | readonly Digest[],
  predicateType: string = SIGNED,
  predicate: JsonObject = {},
): Promise<Uint8Array> {
  const list = typeof subjects === "string" ? [subjects] : subjects;
  const payloadBytes = buildStatement({
    subjects: list.map((digest) => ({ digest: { sha256: digest.slice("sha256:".length) } })),
    predicateType,
    predicate,
  });
  return signStatement({ payloadBytes, sign: (bytes) => key.sign(bytes), publicKey: key.publicKey });
}

/** A signature over bytes themselves, as a bundle's bytes. */
export function signBytes(key: PrivateKey, message: Uint8Array): Promise<Uint8Array> {
  return signMessage({ message, sign: (bytes) => key.sign(bytes), publicKey: key.publicKey });
}

/** A build's provenance. `run` makes the payload a different one. */
export function provenance(key: PrivateKey, subject: Digest, run: string): Promise<Uint8Array> {
  return attest(key, subject, PROVENANCE, {
    buildDefinition: { buildType: "https://example.com/build", externalParameters: {}, resolvedDependencies: [] },
    runDetails: { builder: { id: "https://ci.example.com/builder" }, metadata: { invocationId: run } },
  });
}

/** The bundle as JSON, to be damaged. */
export function opened(bundle: Uint8Array): { [key: string]: JsonValue } {
  return JSON.parse(Buffer.from(bundle).toString("utf8")) as { [key: string]: JsonValue };
}

/** Projects every event into a second, empty database and names every row in which the two differ. */
export async function replayDifferences(instance: Instance): Promise<string[]> {
  const directory = await temporaryDirectory();
  const second = openWriter(await placeOf(directory.path));
  const parts = composeParts();
  try {
    await migrate(second, MIGRATIONS);
    const events = await instance.reader
      .tables<RecordTables>()
      .selectFrom("event")
      .innerJoin("leaf", "leaf.sequence", "event.sequence")
      .selectAll("event")
      .select(["leaf.salt", "leaf.commitment"])
      .orderBy("event.sequence")
      .execute();
    await second.transaction(async (batch) => {
      await clearProjections(batch, parts);
      await replayEvents(
        batch,
        parts,
        events.map((event) => ({ ...event, orgSequence: event.org_sequence })),
      );
    });
    const differences: string[] = [];
    for await (const finding of compareProjections(instance.reader, second.reader(), parts)) {
      differences.push(`${finding.where}: ${finding.problem}`);
    }
    return differences;
  } finally {
    await second.close();
    await directory.dispose();
  }
}
