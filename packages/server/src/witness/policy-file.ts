import { readFileSync } from "node:fs";
import {
  EvidenceError,
  isQuorum,
  NOTE_COSIGNATURE_ED25519,
  type PolicyWitness,
  parseTlogPolicy,
  type TlogPolicy,
  toHex,
} from "@assay/evidence";
import { ServerError } from "../errors.ts";

/** A place that cosigns, with the policy's witnesses whose cosignatures it gives. */
export interface Endpoint {
  /** The submission prefix, without a slash at its end. */
  readonly url: string;
  readonly witnesses: readonly PolicyWitness[];
}

/** The policy our own log is witnessed by. */
export interface WitnessPolicy {
  readonly policy: TlogPolicy;
  readonly endpoints: readonly Endpoint[];
  /** Witnesses that are never asked, and why: no URL, or a key of a type not verified here. */
  readonly unasked: readonly { readonly witness: PolicyWitness; readonly reason: string }[];
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Reads the policy (C2SP tlog-policy) our log is to be witnessed by.
 *
 * @throws ServerError `config-invalid` when it is no policy, a URL is not https (http on this machine), or the witnesses that can be
 *   asked are no quorum whatever they answer.
 */
export function readWitnessPolicy(path: string): WitnessPolicy {
  let policy: TlogPolicy;
  try {
    policy = parseTlogPolicy(new Uint8Array(readFileSync(path)));
  } catch (cause) {
    const reason = cause instanceof EvidenceError ? cause.message : "it cannot be read";
    throw new ServerError("config-invalid", `ASSAY_WITNESS_POLICY: ${path}: ${reason}`, {
      cause,
      ...(cause instanceof EvidenceError ? { hint: cause.hint } : {}),
    });
  }
  const byUrl = new Map<string, PolicyWitness[]>();
  const unasked: { witness: PolicyWitness; reason: string }[] = [];
  for (const witness of policy.witnesses) {
    if (witness.key.algorithm !== NOTE_COSIGNATURE_ED25519) {
      unasked.push({ witness, reason: `its key is of type ${witness.key.algorithm}, which is not verified here` });
    } else if (witness.url === undefined) {
      unasked.push({ witness, reason: "the policy gives no URL for it" });
    } else {
      const url = submissionPrefix(witness.name, witness.url);
      byUrl.set(url, [...(byUrl.get(url) ?? []), witness]);
    }
  }
  const endpoints = [...byUrl].map(([url, witnesses]) => ({ url, witnesses }));
  const all = new Set(endpoints.flatMap(({ witnesses }) => witnesses.map(({ name }) => name)));
  if (!isQuorum(policy, all)) {
    throw new ServerError("config-invalid", `ASSAY_WITNESS_POLICY: ${path}: its quorum can never be reached`, {
      hint: unasked.map(({ witness, reason }) => `${witness.name} cannot be asked: ${reason}`).join("\n"),
    });
  }
  return { policy, endpoints, unasked };
}

function submissionPrefix(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const secure = url?.protocol === "https:" || (url?.protocol === "http:" && LOOPBACK.test(url.hostname));
  if (
    url === undefined ||
    !secure ||
    url.username !== "" ||
    url.password !== "" ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw new ServerError(
      "config-invalid",
      `ASSAY_WITNESS_POLICY: the URL of ${name} is not one to send checkpoints to`,
      {
        hint: "use https://host/path without credentials, query or fragment; http only to this machine",
      },
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

/**
 * Refuses a policy that names this server as a witness of its own log.
 *
 * @param own every public key the service ever had, in hex, and the prefixes under which its own witness answers.
 * @throws ServerError `config-invalid`.
 */
export function refuseOwnWitness(
  { policy, endpoints }: WitnessPolicy,
  own: { readonly publicKeys: ReadonlySet<string>; readonly prefixes: ReadonlySet<string> },
): void {
  const ours = [
    ...policy.witnesses.filter(({ key }) => own.publicKeys.has(toHex(key.publicKey))),
    ...endpoints.filter(({ url }) => own.prefixes.has(url)).flatMap(({ witnesses }) => witnesses),
  ];
  const [first] = ours;
  if (first === undefined) return;
  throw new ServerError("config-invalid", `ASSAY_WITNESS_POLICY: ${first.name} is this server's own witness`, {
    hint: "our own witness counts for nothing on our own log: name witnesses that others run",
  });
}
