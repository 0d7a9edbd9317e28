/** C2SP tlog-policy: which logs are known, and which witnesses together are enough. */
import { type Checkpoint, parseCheckpoint } from "./checkpoint.ts";
import { type Cosignature, verifyCosignatures } from "./cosignature.ts";
import type { Crypto } from "./crypto.ts";
import { toHex, utf8Decode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { NOTE_COSIGNATURE_ED25519, NOTE_COSIGNATURE_ML_DSA_44, type NoteKey, openNote, parseVkey } from "./note.ts";

/** A log of a policy. Its key's name is the log's origin. */
export type PolicyLog = { readonly key: NoteKey; readonly url: string | undefined };

/** A witness of a policy. `name` means something in the policy only; the key's own name is the one on signature lines. */
export type PolicyWitness = { readonly name: string; readonly key: NoteKey; readonly url: string | undefined };

/** A group of a policy: it has witnessed what at least `threshold` of its members have. */
export type PolicyGroup = { readonly name: string; readonly threshold: number; readonly members: readonly string[] };

/** A policy as written. */
export type TlogPolicy = {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  /** In the order of the lines: a member is a witness, or a group that comes before. */
  readonly groups: readonly PolicyGroup[];
  /** The witness or group that must have witnessed; undefined for `quorum none`. */
  readonly quorum: string | undefined;
};

/** A checkpoint that a log of the policy signed and a quorum of its witnesses cosigned. */
export type WitnessedCheckpoint = {
  readonly checkpoint: Checkpoint;
  readonly cosignatures: readonly Cosignature[];
};

/** The predefined quorum that asks for no witness. */
const NONE = "none";
const DECIMAL = /^[1-9][0-9]{0,5}$/;
/** All that the specification allows but tab and newline themselves: 0x20-0x7E and everything above 0x7F. */
const FORBIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f]/;

/**
 * Reads a policy. Strict: every line ends in a newline, comments have lines of their own, unknown lines, repeated names, repeated public
 * keys, members used twice and names used before they are defined are errors; so is anything but exactly one quorum line.
 *
 * The specification lets names and comments be any bytes; here they must be UTF-8, in which different bytes are different names.
 *
 * Throws `witness-policy-invalid` naming the line, `too-large`.
 */
export function parseTlogPolicy(bytes: Uint8Array): TlogPolicy {
  if (bytes.length > LIMITS.policyBytes) {
    throw new EvidenceError("too-large", `A witness policy has at most ${LIMITS.policyBytes} bytes.`);
  }
  const reader = new PolicyReader();
  for (const [index, line] of policyLines(bytes).entries()) {
    try {
      reader.line(line);
    } catch (cause) {
      if (!(cause instanceof EvidenceError)) throw cause;
      const code = cause.code === "too-large" ? cause.code : "witness-policy-invalid";
      throw new EvidenceError(code, `Line ${index + 1} of the policy: ${cause.message}`, { cause });
    }
  }
  return reader.end();
}

/**
 * Whether the witnesses of these policy names together are a quorum. The names must stand for cosignatures that were verified; a name
 * that is no witness of the policy counts nothing.
 */
export function isQuorum(policy: TlogPolicy, cosigned: ReadonlySet<string>): boolean {
  if (policy.quorum === undefined) return true;
  const witnessed = new Set(policy.witnesses.map(({ name }) => name).filter((name) => cosigned.has(name)));
  // Members are defined before their group, so one pass in order sees every member decided.
  for (const { name, threshold, members } of policy.groups) {
    if (members.filter((member) => witnessed.has(member)).length >= threshold) witnessed.add(name);
  }
  return witnessed.has(policy.quorum);
}

/** The policy's names of the witnesses whose keys made these cosignatures. */
export function cosigners(policy: TlogPolicy, cosignatures: readonly Cosignature[]): Set<string> {
  const keys = new Set(cosignatures.map(({ key }) => key));
  return new Set(policy.witnesses.filter(({ key }) => keys.has(key)).map(({ name }) => name));
}

/**
 * Opens a checkpoint as the policy asks: signature of one of the logs under its own origin → cosignatures → quorum. `logs` are the
 * trusted logs' keys, the policy's own unless said otherwise. Throws `note-unverified`, `note-signature-invalid`,
 * `quorum-missing`, and what `parseNote` and `parseCheckpoint` throw.
 */
export async function openWitnessed(
  crypto: Crypto,
  note: string,
  policy: TlogPolicy,
  logs: readonly NoteKey[] = policy.logs.map(({ key }) => key),
): Promise<WitnessedCheckpoint> {
  const opened = await openNote(crypto, note, logs);
  const checkpoint = parseCheckpoint(opened.text);
  if (!opened.verifiedBy.some((key) => key.name === checkpoint.origin)) {
    throw new EvidenceError(
      "note-unverified",
      `The checkpoint of ${checkpoint.origin} is not signed by that log's key.`,
    );
  }
  const keys = policy.witnesses.map(({ key }) => key);
  const cosignatures = await verifyCosignatures(crypto, note, keys);
  if (!isQuorum(policy, cosigners(policy, cosignatures))) {
    const names = cosignatures.map(({ key }) => key.name).join(", ");
    throw new EvidenceError(
      "quorum-missing",
      `The checkpoint is cosigned by ${names || "none of the witnesses"}, no quorum.`,
    );
  }
  return { checkpoint, cosignatures };
}

function policyLines(bytes: Uint8Array): string[] {
  let text: string;
  try {
    text = utf8Decode(bytes);
  } catch (cause) {
    throw new EvidenceError("witness-policy-invalid", "The policy is not UTF-8.", { cause });
  }
  if (!text.endsWith("\n")) {
    throw new EvidenceError(
      "witness-policy-invalid",
      "The policy's last line does not end in a newline: is it cut off?",
    );
  }
  return text.slice(0, -1).split("\n");
}

function invalid(message: string): EvidenceError {
  return new EvidenceError("witness-policy-invalid", message);
}

/** Takes in a policy line by line. */
class PolicyReader {
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #groups: PolicyGroup[] = [];
  /** Names of witnesses and groups; true once a group has taken it as a member. */
  readonly #names = new Map<string, boolean>();
  readonly #publicKeys = { log: new Set<string>(), witness: new Set<string>() };
  #quorum: string | undefined;

  line(line: string): void {
    if (FORBIDDEN.test(line)) throw invalid("it holds a control character.");
    const items = line.split(/[ \t]+/).filter((item) => item !== "");
    const [keyword, ...rest] = items;
    if (keyword === undefined || keyword.startsWith("#")) return;
    switch (keyword) {
      case "log":
        return this.#log(rest);
      case "witness":
        return this.#witness(rest);
      case "group":
        return this.#group(rest);
      case "quorum":
        return this.#defineQuorum(rest);
      default:
        throw invalid(`it starts with ${JSON.stringify(keyword.slice(0, 50))}, not log, witness, group, quorum or #.`);
    }
  }

  end(): TlogPolicy {
    if (this.#quorum === undefined) throw invalid("The policy has no quorum line.");
    return {
      logs: this.#logs,
      witnesses: this.#witnesses,
      groups: this.#groups,
      quorum: this.#quorum === NONE ? undefined : this.#quorum,
    };
  }

  #log(items: readonly string[]): void {
    const [vkey, url, ...more] = items;
    if (vkey === undefined || more.length > 0) throw invalid("it is not of the form: log <vkey> [<url>].");
    this.#logs.push({ key: this.#key(vkey, "log"), url });
    room(this.#logs, "logs");
  }

  #witness(items: readonly string[]): void {
    const [name, vkey, url, ...more] = items;
    if (name === undefined || vkey === undefined || more.length > 0) {
      throw invalid("it is not of the form: witness <name> <vkey> [<url>].");
    }
    this.#define(name);
    const key = this.#key(vkey, "witness");
    if (key.algorithm !== NOTE_COSIGNATURE_ED25519 && key.algorithm !== NOTE_COSIGNATURE_ML_DSA_44) {
      throw invalid(`the key of ${name} is of type ${key.algorithm}, which makes no cosignatures.`);
    }
    this.#witnesses.push({ name, key, url });
    room(this.#witnesses, "witnesses");
  }

  #group(items: readonly string[]): void {
    const [name, count, ...members] = items;
    if (name === undefined || count === undefined || members.length === 0) {
      throw invalid("it is not of the form: group <name> <all, any or a number> <member>….");
    }
    for (const member of members) {
      const taken = this.#names.get(member);
      if (taken === undefined) throw invalid(`${member} is no witness or group of a line before.`);
      // Each witness contributes to the quorum in one way only.
      if (taken) throw invalid(`${member} is a member already.`);
      this.#names.set(member, true);
    }
    this.#define(name);
    const threshold = count === "any" ? 1 : count === "all" ? members.length : DECIMAL.test(count) ? Number(count) : 0;
    if (threshold < 1 || threshold > members.length) {
      throw invalid(`${count} is not all, any or a number from 1 to ${members.length}.`);
    }
    this.#groups.push({ name, threshold, members });
    room(this.#groups, "groups");
  }

  #defineQuorum(items: readonly string[]): void {
    const [name, ...more] = items;
    if (name === undefined || more.length > 0) throw invalid("it is not of the form: quorum <name or none>.");
    if (this.#quorum !== undefined) throw invalid("the quorum is defined already.");
    if (name !== NONE && !this.#names.has(name)) throw invalid(`${name} is no witness or group of a line before.`);
    this.#quorum = name;
  }

  #define(name: string): void {
    if (name === NONE) throw invalid(`${NONE} is predefined.`);
    if (this.#names.has(name)) throw invalid(`${name} is defined already.`);
    this.#names.set(name, false);
  }

  /** Two vkeys are the same when they hold the same public key, whatever their names and types. */
  #key(vkey: string, of: "log" | "witness"): NoteKey {
    const key = parseVkey(vkey);
    const publicKey = toHex(key.publicKey);
    if (this.#publicKeys[of].has(publicKey)) throw invalid(`the public key of ${key.name} is there already.`);
    this.#publicKeys[of].add(publicKey);
    return key;
  }
}

function room(list: readonly unknown[], what: string): void {
  if (list.length > LIMITS.policyLines) {
    throw new EvidenceError("too-large", `A policy defines at most ${LIMITS.policyLines} ${what}.`);
  }
}
