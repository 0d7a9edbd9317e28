import type { Context } from "@opentelemetry/api";
import { readTraceparent, runUnder, type Span, type SpanKind, spanUnderway, type Tracing } from "./tracing.ts";

/** Where spans are sent: the operator's collector. */
export interface Collector {
  /** OTLP/HTTP (JSON), without `/v1/traces`. */
  readonly endpoint: string;
  /** Sent with every request to it: its credentials, if it wants any. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of traces that begin here, the part that is sent: 0 to 1. Those that come with a decision keep theirs. */
  readonly ratio: number;
}

/** Spans that wait for the collector at most, those sent at once, and how long they are gathered, ms. What is beyond is dropped. */
const QUEUE = {
  maxQueueSize: 4_096,
  maxExportBatchSize: 512,
  scheduledDelayMillis: 2_000,
  exportTimeoutMillis: 10_000,
};

/** How long the end of the process waits for the last spans, ms. */
const STOP_MS = 2_000;

/**
 * Loads OpenTelemetry and begins to send spans. Nothing of it is loaded by a server that has no collector.
 *
 * @param trouble told what the library complains of (a collector that cannot be reached), a few times at most.
 */
export async function startTracing(
  collector: Collector,
  version: string,
  trouble: (message: string) => void,
): Promise<Tracing> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  api.diag.setLogger(complaints(trouble), { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true });
  const exporter = new OTLPTraceExporter({
    url: `${collector.endpoint.replace(/\/+$/, "")}/v1/traces`,
    headers: { ...collector.headers },
    timeoutMillis: QUEUE.exportTimeoutMillis,
  });
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ "service.name": "assay", "service.version": version }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(collector.ratio) }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter, ...QUEUE })],
    spanLimits: { attributeValueLengthLimit: 1_024, attributeCountLimit: 64 },
  });
  const tracer = provider.getTracer("assay", version);
  const kinds = { server: api.SpanKind.SERVER, client: api.SpanKind.CLIENT, internal: api.SpanKind.INTERNAL };

  const parentOf = (from: { readonly traceparent: string } | undefined): Context => {
    if (from === undefined) {
      const span = spanUnderway();
      return span === undefined ? api.ROOT_CONTEXT : api.trace.setSpan(api.ROOT_CONTEXT, span as never);
    }
    const remote = readTraceparent(from.traceparent);
    if (remote === undefined) return api.ROOT_CONTEXT;
    const { traceId, spanId, flags } = remote;
    return api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId, traceFlags: flags & 1, isRemote: true });
  };

  return {
    begin(kind: SpanKind, name, from): Span {
      const span = tracer.startSpan(name, { kind: kinds[kind] }, parentOf(from));
      const { traceId, spanId, traceFlags } = span.spanContext();
      const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
      return {
        traceId,
        run: (work) => runUnder({ traceparent, span }, work),
        end(finalName, attributes, failed) {
          span.updateName(finalName);
          span.setAttributes(attributes);
          if (failed !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: failed });
          span.end();
        },
      };
    },
    async stop() {
      const late = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS).unref());
      await Promise.race([provider.shutdown().catch((error: unknown) => trouble(String(error))), late]);
    },
  };
}

/** The library's complaints, as far as they are repeated. */
function complaints(
  trouble: (message: string) => void,
): Record<"error" | "warn" | "info" | "debug" | "verbose", (message: string) => void> {
  const said = new Set<string>();
  const say = (message: string): void => {
    const text = message.slice(0, 500);
    if (said.has(text) || said.size >= 20) return;
    said.add(text);
    trouble(text);
  };
  const nothing = (): void => undefined;
  return { error: say, warn: say, info: nothing, debug: nothing, verbose: nothing };
}
