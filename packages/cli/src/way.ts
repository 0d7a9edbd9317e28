import { Agent, type Dispatcher, EnvHttpProxyAgent, request } from "undici";

/** The HTTP library and its two pools of connections. A module of its own, because loading it takes longer than many verbs do. */
export type Way = {
  readonly request: typeof request;
  readonly direct: Dispatcher;
  /** Through the proxies that the environment names. */
  readonly proxied: Dispatcher;
};

/** Opens both pools. Times in ms: until a connection stands, and for how long no byte may come. */
export function openWay(connectMs: number, silenceMs: number): Way {
  const options = { connect: { timeout: connectMs }, headersTimeout: silenceMs, bodyTimeout: silenceMs };
  return { request, direct: new Agent(options), proxied: new EnvHttpProxyAgent(options) };
}
