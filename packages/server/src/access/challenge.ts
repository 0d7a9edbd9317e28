/** The name of the registry service in challenges and the audience of its tokens: host and port of the public URL. */
export function registryService(publicUrl: string): string {
  return new URL(publicUrl).host;
}

/** Where registry tokens are given out. */
export const TOKEN_PATH = "/v2/token";

/** Why a bearer token was not enough (RFC 6750 §3.1). */
export type ChallengeError = "invalid_token" | "insufficient_scope";

/** Keeps a quoted-string a quoted-string (RFC 9110 §5.6.4), whatever it is made of. */
function quoted(text: string): string {
  return `"${text.replaceAll(/[^\x20-\x7e]|["\\]/g, "")}"`;
}

/**
 * The WWW-Authenticate values of a 401 under /v2/ (Docker registry token authentication; RFC 6750 §3). Only Bearer is announced, which
 * every client of the field follows; Basic with an API key is accepted as well from those that send it unasked.
 *
 * @param scope what the request needed, e.g. `repository:org/app:pull`.
 */
export function challenge(publicUrl: string, scope?: string, error?: ChallengeError): string[] {
  const parameters = [
    `realm=${quoted(`${publicUrl.replace(/\/$/, "")}${TOKEN_PATH}`)}`,
    `service=${quoted(registryService(publicUrl))}`,
    ...(scope === undefined ? [] : [`scope=${quoted(scope)}`]),
    ...(error === undefined ? [] : [`error=${quoted(error)}`]),
  ];
  return [`Bearer ${parameters.join(",")}`];
}
