import { lookup as resolveName } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { ServerError } from "../errors.ts";
import { isLoopbackAddress, isPublicAddress } from "./address.ts";

/** What may be asked, and how much of an answer is taken. */
export interface EgressRules {
  /**
   * Places (`host` or `host:port`, as URLs spell them) that may have private addresses: an issuer inside the organisation's network. For those of
   * them that are this machine plain http is allowed as well.
   */
  readonly privatePlaces: ReadonlySet<string>;
}

/** Resolves a name to all its addresses. */
export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

export const systemResolve: Resolve = (host) => resolveName(host, { all: true, verbatim: true });

function refused(url: string, why: string, hint?: string): ServerError {
  return new ServerError("egress-refused", `${url} is not asked: ${why}`, hint === undefined ? {} : { hint });
}

/** There was no answer that can be used. `shown` is the URL without its query, which may hold what nobody should read. */
export function egressFailed(shown: string, why: string, cause?: unknown): ServerError {
  return new ServerError("egress-failed", `${shown} gave no answer that can be used: ${why}`, { cause });
}

/** A URL as messages show it: without its query. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`.slice(0, 500);
}

/** Somewhere that may be asked, at addresses that were looked at. */
export interface PermittedPlace {
  readonly url: URL;
  /** The URL as messages show it. */
  readonly shown: string;
  /** Answers with those addresses and no others, whatever the name says by now. */
  readonly lookup: LookupFunction;
}

/**
 * Whether a URL that comes from somebody else may be asked, and where exactly.
 *
 * INVARIANT: the connection goes to an address that was checked: the name is resolved once, here, every address of it is looked at, and the
 * socket gets no other. What a second look-up would say (DNS rebinding) is never asked.
 *
 * @throws ServerError `egress-refused` when the rules forbid to ask; `egress-failed` when the name has no address in time.
 */
export async function permittedPlace(
  address: string,
  rules: EgressRules,
  deadline: AbortSignal,
  resolve: Resolve,
): Promise<PermittedPlace> {
  if (!URL.canParse(address)) throw refused(address.slice(0, 200), "it is no URL");
  const url = new URL(address);
  const shown = shownUrl(url);
  if (url.username !== "" || url.password !== "") throw refused(shown, "it carries credentials");
  if (url.protocol !== "https:" && url.protocol !== "http:") throw refused(shown, `${url.protocol} is not https`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const addresses = await Promise.race([addressesOf(host, shown, resolve), expiry(deadline, shown)]);
  const mayBePrivate = rules.privatePlaces.has(url.host) || rules.privatePlaces.has(url.hostname);
  const forbidden = addresses.find((found) => !isPublicAddress(found.address));
  if (forbidden !== undefined && !mayBePrivate) {
    throw refused(
      shown,
      "its address is not a public one",
      "if it is meant to be inside your network, the operator lists its host in ASSAY_EGRESS_PRIVATE",
    );
  }
  const here = addresses.every((found) => isLoopbackAddress(found.address));
  if (url.protocol === "http:" && !(mayBePrivate && here)) throw refused(shown, "http is not https");
  const [first] = addresses;
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all === true) done(null, [...addresses]);
    else done(null, first?.address ?? "", first?.family);
  };
  return { url, shown, lookup };
}

async function addressesOf(
  host: string,
  shown: string,
  resolve: Resolve,
): Promise<readonly { readonly address: string; readonly family: number }[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  try {
    const found = await resolve(host);
    if (found.length > 0) return found;
  } catch (cause) {
    throw egressFailed(shown, "its name has no address", cause);
  }
  throw egressFailed(shown, "its name has no address");
}

function expiry(deadline: AbortSignal, shown: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    deadline.addEventListener("abort", () => reject(egressFailed(shown, "it took too long")), { once: true });
  });
}
