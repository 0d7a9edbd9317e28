/** Assay's own API as the interop tests and the demo use it. */
import type { Server } from "./harness.ts";

export type Evidence = {
  evidence: string;
  predicateType: string | null;
  primary: boolean;
  status: { status: "verified"; by: { name: string } } | { status: "reported" } | { status: "refused"; code: string };
};

export type Decision = {
  id: string;
  decision: { result: "allowed" | "denied"; reasons: string[]; rules: { rule: string; outcome: string }[] };
};

/** Whom an organisation is to believe, about what. */
export type Trusted = { name: string; publicKeyPem: string; repositories: string[]; primary?: boolean };

export type Api = {
  /** @throws Error with the answer's body unless it is 2xx. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  trust(org: string, entry: Trusted): Promise<unknown>;
  evidence(org: string, digest: string, repository: string): Promise<Evidence[]>;
  decide(org: string, digest: string, repository: string, policy: string): Promise<Decision>;
};

/** The API of `server`, as its administrator. */
export function apiOf(server: Server): Api {
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${server.url}/api/assay/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${server.adminToken}`,
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return JSON.parse(text);
  };
  return {
    call,
    trust: (org, { name, publicKeyPem, repositories, primary = false }) =>
      call("POST", `/orgs/${org}/trust/entries`, {
        name,
        publicKeyPem,
        scope: { repositories, predicateTypes: ["*"] },
        primary,
      }),
    evidence: async (org, digest, repository) => {
      const answer = await call(
        "GET",
        `/orgs/${org}/attestations/${digest}?repository=${encodeURIComponent(repository)}`,
      );
      return (answer as { items: Evidence[] }).items;
    },
    decide: async (org, digest, repository, policy) =>
      (await call("POST", "/decisions", { org, digest, repository, policy: { yaml: policy } })) as Decision,
  };
}
