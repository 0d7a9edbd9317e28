/** An OpenID Connect issuer on this machine that gives a token for any claims: what stands behind a private certificate authority in tests. */
import { createSign, generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export type Issuer = {
  /** `http://127.0.0.1:PORT` */
  url: string;
  /** A token for audience "sigstore", good for ten minutes. RS256: cosign takes any other for a file name. */
  token(claims: Readonly<Record<string, unknown>>): string;
  stop(): Promise<void>;
};

export async function startIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "1", use: "sig", alg: "RS256" };
  let url = "";
  const server = createServer((request, response) => {
    const answers: Record<string, () => object> = {
      "/.well-known/openid-configuration": () => ({
        issuer: url,
        authorization_endpoint: `${url}/auth`,
        token_endpoint: `${url}/token`,
        jwks_uri: `${url}/jwks`,
        response_types_supported: ["code"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["RS256"],
        code_challenge_methods_supported: ["S256"],
      }),
      "/jwks": () => ({ keys: [jwk] }),
    };
    const answer = answers[request.url ?? ""];
    response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer?.() ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    token: (claims) => {
      const now = Math.floor(Date.now() / 1000);
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      const body = { iss: url, aud: "sigstore", iat: now, nbf: now, exp: now + 600, ...claims };
      const signed = `${part({ alg: "RS256", typ: "JWT", kid: "1" })}.${part(body)}`;
      return `${signed}.${createSign("sha256").update(signed).sign(privateKey).toString("base64url")}`;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
