import type { Socket } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { aboutOf } from "./about.ts";
import type { AccessLog } from "./access-log.ts";
import { artifactAttributes } from "./artifact-attributes.ts";
import type { OperationMetrics } from "./operation-metrics.ts";
import { outcomeOf } from "./outcome.ts";
import type { Span, Tracing } from "./tracing.ts";

/** Who asked, as far as it was found out. */
export interface Asker {
  readonly actor: string;
  readonly credential?: string | undefined;
  readonly credentialId?: string | undefined;
  readonly workload?: string | undefined;
}

/** Who is told of requests. */
export interface RequestSignals {
  readonly metrics: OperationMetrics;
  readonly accessLog?: AccessLog | undefined;
  readonly tracing?: Tracing | undefined;
  readonly askerOf: (request: FastifyRequest) => Asker;
  /** The server's host, as clients name it. */
  readonly host: string;
}

/**
 * Tells of every request once it is over: when its answer went out, or when its connection broke, whichever room served it and whether or
 * not it was taken up.
 */
export function watchRequests(server: FastifyInstance, signals: RequestSignals): void {
  const { tracing } = signals;
  const spans = new WeakMap<FastifyRequest, Span>();
  const moved = movedBytes();
  server.addHook("onRequest", (request, reply, done) => {
    const begun = performance.now();
    const { traceparent } = request.headers;
    const span = tracing?.begin(
      "server",
      request.method,
      // What is in no form begins a trace of its own, as none does.
      { traceparent: typeof traceparent === "string" ? traceparent : "" },
    );
    reply.raw.once("close", () =>
      tell(signals, { request, reply, span, ms: performance.now() - begun, ...moved(request.raw.socket) }),
    );
    if (span === undefined) return done();
    spans.set(request, span);
    span.run(done);
  });
  if (tracing === undefined) return;
  // A body is read in the events of its connection, which are part of nothing: from here on it is the request again.
  server.addHook("preValidation", (request, _reply, done) => {
    const span = spans.get(request);
    if (span === undefined) done();
    else span.run(done);
  });
}

/** Bytes a connection has moved since it was last asked: of one request after the other. Where they overlap, the sum is right. */
function movedBytes(): (socket: Socket) => { readonly received: number; readonly sent: number } {
  const before = new WeakMap<Socket, { readonly read: number; readonly written: number }>();
  return (socket) => {
    const [read, written] = [socket.bytesRead ?? 0, socket.bytesWritten ?? 0];
    const last = before.get(socket) ?? { read: 0, written: 0 };
    before.set(socket, { read, written });
    return { received: Math.max(read - last.read, 0), sent: Math.max(written - last.written, 0) };
  };
}

interface Ended {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly span: Span | undefined;
  readonly ms: number;
  readonly received: number;
  readonly sent: number;
}

function tell(signals: RequestSignals, { request, reply, span, ms, received, sent }: Ended): void {
  const { metrics, accessLog, askerOf, host } = signals;
  const about = aboutOf(request);
  const route = request.routeOptions.url;
  const operation = about.operation ?? (route === undefined ? "unknown" : `${request.method} ${route}`);
  const status = reply.raw.headersSent ? reply.raw.statusCode : null;
  const outcome = outcomeOf(status ?? 0, reply.raw.writableFinished);
  metrics.observe({ operation, outcome, seconds: ms / 1000, received, sent });
  const asker = askerOf(request);
  const { org, repository, tag, digest, attestation, granted } = about;
  accessLog?.write({
    request: request.id,
    trace: span?.traceId,
    operation,
    method: request.method,
    ...asker,
    org,
    repository,
    tag,
    digest,
    attestation,
    granted,
    status,
    outcome,
    received,
    sent,
    ms: Math.round(ms * 1000) / 1000,
    remote: request.ip,
  });
  span?.end(
    operation,
    {
      "http.request.method": request.method,
      ...(route === undefined ? {} : { "http.route": route }),
      ...(status === null ? {} : { "http.response.status_code": status }),
      "assay.outcome": outcome,
      "assay.actor": asker.actor,
      ...artifactAttributes(about, host),
    },
    outcome === "failed" || outcome === "broken-off" ? outcome : undefined,
  );
}
