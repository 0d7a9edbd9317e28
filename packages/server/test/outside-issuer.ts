/** An OpenID Connect issuer on loopback: discovery, keys, and tokens as the CI systems shape them. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type GenerateKeyPairResult, type JWK, type JWTPayload, SignJWT } from "jose";

export interface IssuerKey {
  readonly id: string;
  readonly algorithm: string;
  readonly pair: GenerateKeyPairResult;
  /** As the key set shows it. */
  readonly jwk: JWK;
}

export interface OutsideIssuer {
  readonly url: string;
  readonly host: string;
  readonly keys: IssuerKey[];
  /** What each path was asked for, in order. */
  readonly asked: string[];
  /** Answers a path in place of what the issuer would. */
  readonly answers: Map<string, (request: IncomingMessage, response: ServerResponse) => void>;
  addKey(id: string, algorithm: string): Promise<IssuerKey>;
  /** A token of these claims, good for ten minutes from `now` unless they say otherwise. */
  token(
    claims: JWTPayload,
    options?: { key?: IssuerKey; header?: Record<string, unknown>; now?: number },
  ): Promise<string>;
  stop(): Promise<void>;
}

export const DISCOVERY = "/.well-known/openid-configuration";
export const KEYS = "/jwks";

/** Starts an issuer with one RSA key of the id `first`. */
export async function startIssuer(): Promise<OutsideIssuer> {
  const keys: IssuerKey[] = [];
  const asked: string[] = [];
  const answers: OutsideIssuer["answers"] = new Map();
  const server: Server = createServer((request, response) => {
    const path = request.url ?? "/";
    asked.push(path);
    const own = answers.get(path);
    if (own !== undefined) return own(request, response);
    const json = (value: unknown) => response.setHeader("content-type", "application/json").end(JSON.stringify(value));
    if (path === DISCOVERY) return json({ issuer: url, jwks_uri: `${url}${KEYS}` });
    if (path === KEYS) return json({ keys: keys.map(({ jwk }) => jwk) });
    return response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `http://${host}`;
  const issuer: OutsideIssuer = {
    url,
    host,
    keys,
    asked,
    answers,
    async addKey(id, algorithm) {
      const pair = await generateKeyPair(algorithm, { extractable: true });
      const jwk = { ...(await exportJWK(pair.publicKey)), kid: id, use: "sig", alg: algorithm };
      const key = { id, algorithm, pair, jwk };
      keys.push(key);
      return key;
    },
    async token(claims, { key = keys[0], header = {}, now = Date.now() } = {}) {
      if (key === undefined) throw new Error("the issuer has no key");
      const seconds = Math.floor(now / 1000);
      const payload = { iss: url, iat: seconds, nbf: seconds, exp: seconds + 600, ...claims };
      return await new SignJWT(Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined)))
        .setProtectedHeader({ alg: key.algorithm, kid: key.id, typ: "JWT", ...header })
        .sign(key.pair.privateKey);
    },
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  await issuer.addKey("first", "RS256");
  return issuer;
}

/** Claims as GitHub Actions puts them into a job's identity token, of a push to main. */
export function githubClaims(audience: string): JWTPayload {
  return {
    jti: "6d8d5e51-1f0e-4f2f-a3f8-3b7f4fd1a001",
    sub: "repo:acme/app:ref:refs/heads/main",
    aud: audience,
    ref: "refs/heads/main",
    sha: "3f9a1c5d7e2b4a6c8d0e1f2a3b4c5d6e7f8a9b0c",
    repository: "acme/app",
    repository_owner: "acme",
    repository_owner_id: "1001",
    repository_id: "2002",
    repository_visibility: "private",
    run_id: "77",
    run_number: "7",
    run_attempt: "1",
    actor: "alice",
    workflow: "release",
    event_name: "push",
    ref_type: "branch",
    job_workflow_ref: "acme/app/.github/workflows/release.yml@refs/heads/main",
    runner_environment: "github-hosted",
  };
}

/** Claims as GitLab puts them into a job's `id_tokens`, of a pipeline of a protected branch. */
export function gitlabClaims(audience: string): JWTPayload {
  return {
    jti: "0e5c1bb0-19a4-4d6e-8a43-4b4ac0f0b002",
    sub: "project_path:acme/app:ref_type:branch:ref:main",
    aud: audience,
    namespace_id: "72",
    namespace_path: "acme",
    project_id: "20",
    project_path: "acme/app",
    user_login: "alice",
    pipeline_id: "574",
    pipeline_source: "push",
    job_id: "302",
    ref: "main",
    ref_type: "branch",
    ref_path: "refs/heads/main",
    ref_protected: "true",
    runner_environment: "gitlab-hosted",
    ci_config_ref_uri: "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
  };
}
