/** A small OpenTelemetry collector: takes OTLP/HTTP in JSON on loopback, as the specification spells it, and keeps the spans. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { z } from "zod";

const attribute = z.object({
  key: z.string(),
  value: z.object({
    stringValue: z.string().optional(),
    intValue: z.union([z.string(), z.number()]).optional(),
    boolValue: z.boolean().optional(),
    doubleValue: z.number().optional(),
  }),
});

const span = z.object({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z.string().optional(),
  name: z.string(),
  kind: z.int(),
  startTimeUnixNano: z.string().regex(/^\d+$/),
  endTimeUnixNano: z.string().regex(/^\d+$/),
  attributes: z.array(attribute),
  status: z.object({ code: z.int().optional(), message: z.string().optional() }).optional(),
});

/** ExportTraceServiceRequest (opentelemetry-proto, trace/v1), as far as it is looked at. */
const exported = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(attribute) }),
      scopeSpans: z.array(z.object({ scope: z.object({ name: z.string() }), spans: z.array(span) })),
    }),
  ),
});

type Attribute = z.output<typeof attribute>;

/** A span that came, its attributes as an object. */
export interface CollectedSpan extends Omit<z.output<typeof span>, "attributes"> {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface Collector {
  readonly endpoint: string;
  readonly spans: CollectedSpan[];
  readonly authorizations: (string | undefined)[];
  /** Resolves with the first span for which `wanted` holds. */
  span(wanted: (span: CollectedSpan) => boolean, ms?: number): Promise<CollectedSpan>;
  stop(): Promise<void>;
}

function plain(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? value.boolValue ?? value.doubleValue ?? Number(value.intValue),
    ]),
  );
}

export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const authorizations: (string | undefined)[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (request.url !== "/v1/traces" || request.headers["content-type"] !== "application/json") {
        response.writeHead(404).end();
        return;
      }
      const sent = Buffer.concat(chunks);
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
      authorizations.push(request.headers.authorization);
      for (const { resource, scopeSpans } of exported.parse(JSON.parse(body.toString("utf8"))).resourceSpans) {
        for (const one of scopeSpans.flatMap((scope) => scope.spans)) {
          spans.push({ ...one, attributes: plain(one.attributes), resource: plain(resource.attributes) });
        }
      }
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    authorizations,
    async span(wanted, ms = 15_000) {
      const end = performance.now() + ms;
      for (;;) {
        const found = spans.find(wanted);
        if (found !== undefined) return found;
        if (performance.now() > end) throw new Error(`no such span among ${spans.map(({ name }) => name).join(", ")}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
