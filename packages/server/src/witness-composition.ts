import { createPublicKey } from "node:crypto";
import { type Crypto, parseVkey, toHex } from "@assay/evidence";
import { ServerError } from "./errors.ts";
import type { Keyring } from "./keys/keyring.ts";
import { CheckpointFile } from "./log/checkpoint-file.ts";
import type { LogProver } from "./log/prover.ts";
import type { RecordClient } from "./record/client.ts";
import type { BeforeSigning } from "./record/open.ts";
import { serviceKeys } from "./record/service-key-queries.ts";
import type { Metrics } from "./signals/metrics.ts";
import type { Reader } from "./storage/database.ts";
import { type WitnessDoorContext, witnessName } from "./witness/door.ts";
import { readWitnessLogs } from "./witness/logs-file.ts";
import { readWitnessPolicy, refuseOwnWitness, type WitnessPolicy } from "./witness/policy-file.ts";
import { type WitnessLogger, WitnessRounds } from "./witness/rounds.ts";
import { askBeforeSigning } from "./witness/start-check.ts";

/** The settings of this piece: files, and how long a quorum may take. */
export interface WitnessSettings {
  /** A tlog-policy: the witnesses of our own log. */
  readonly policy?: string | undefined;
  /** Verifier keys: the logs we witness. */
  readonly logs?: string | undefined;
  readonly lateMs: number;
}

/** Nobody witnesses, nobody is witnessed. */
export const NO_WITNESSES: WitnessSettings = { lateMs: 5 * 60_000 };

/** What the witnesses are part of. */
export interface WitnessComposition {
  /** Set when a policy is configured. */
  readonly own: { readonly policy: WitnessPolicy; readonly rounds: WitnessRounds } | undefined;
  readonly door: WitnessDoorContext;
  /** Ends the rounds. */
  stop(): Promise<void>;
}

/**
 * The question every start asks its witnesses before it signs; undefined without a policy.
 *
 * @param notice told which witnesses could not be asked.
 * @throws ServerError `config-invalid`.
 */
export function beforeSigning(
  policyFile: string | undefined,
  crypto: Crypto,
  notice: (message: string) => void,
): BeforeSigning | undefined {
  if (policyFile === undefined) return undefined;
  const policy = readWitnessPolicy(policyFile);
  return async (log, sign, reader) => {
    for (const each of await askBeforeSigning(crypto, policy, log, sign, reader)) notice(each);
  };
}

/**
 * Both sides of witnessing, checked against what is ours.
 *
 * @throws ServerError `config-invalid` when a file is wrong, or names ourselves; `key-missing` when logs are to be witnessed and the key
 *   of this record is not here.
 */
export async function composeWitnesses(options: {
  readonly settings: WitnessSettings;
  /** Under which clients reach this server. */
  readonly urls: readonly string[];
  readonly prover: LogProver;
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly keyring: Keyring;
  readonly crypto: Crypto;
  readonly metrics: Metrics;
  readonly logger: WitnessLogger;
}): Promise<WitnessComposition> {
  const { settings, prover, reader, record, keyring, crypto, metrics } = options;
  const publicKeys = await ownPublicKeys(reader);
  const logs =
    settings.logs === undefined
      ? new Map<string, never>()
      : readWitnessLogs(
          settings.logs,
          new Set([...publicKeys, prover.origin, toHex(parseVkey(prover.vkey).publicKey)]),
        );
  if (logs.size > 0) await requireWitnessKey(reader, keyring);
  const door: WitnessDoorContext = { record, reader, keyring, crypto, logs, name: witnessName(prover.origin) };
  if (settings.policy === undefined) return { own: undefined, door, stop: async () => undefined };

  const policy = readWitnessPolicy(settings.policy);
  refuseOwnWitness(policy, { publicKeys, prefixes: new Set(options.urls.map((url) => `${url}/witness`)) });
  const files = new CheckpointFile(prover.files.directory);
  const rounds = new WitnessRounds({
    policy,
    prover,
    record,
    reader,
    crypto,
    files,
    lateMs: settings.lateMs,
    log: options.logger,
    tell: (state) => metrics.witnesses(state),
  });
  return {
    own: { policy, rounds },
    door,
    async stop() {
      await rounds.stop();
      files.close();
    },
  };
}

/** Every Ed25519 key the service ever had, in hex of its 32 bytes. */
async function ownPublicKeys(reader: Reader): Promise<Set<string>> {
  const raw = new Set<string>();
  for (const { algorithm, publicKeyPem } of await serviceKeys(reader)) {
    if (algorithm !== "ed25519") continue;
    const { x } = createPublicKey(publicKeyPem).export({ format: "jwk" });
    if (x !== undefined) raw.add(Buffer.from(x, "base64url").toString("hex"));
  }
  return raw;
}

async function requireWitnessKey(reader: Reader, keyring: Keyring): Promise<void> {
  const current = (await serviceKeys(reader, "witness")).findLast(({ retired }) => !retired);
  if (current !== undefined && keyring.find(current.id) !== undefined) return;
  throw new ServerError(
    "key-missing",
    "ASSAY_WITNESS_LOGS is set, but the private key of this record's witness is not here",
    {
      hint: "copy keys/witness.key.json from the host that has it, or leave ASSAY_WITNESS_LOGS to that host. If no host has it any more, delete the row of the table bound_key: the next start makes a new key",
    },
  );
}
