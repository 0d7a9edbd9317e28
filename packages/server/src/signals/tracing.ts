import { AsyncLocalStorage } from "node:async_hooks";

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** Who is told of something that takes time: a server span for a request, a client one for asking others, internal for work between. */
export type SpanKind = "server" | "client" | "internal";

/** Something under way that is told of when it ends. */
export interface Span {
  readonly traceId: string;
  /** Runs work as part of it: spans begun and requests sent in it are its children. */
  run<T>(work: () => T): T;
  /** @param failed why it failed on our side; undefined when it did not. */
  end(name: string, attributes: Attributes, failed?: string): void;
}

/** Tells a collector of spans. It is told, and asks nothing of anybody. */
export interface Tracing {
  /** @param from a `traceparent` header; absent: part of what is under way. */
  begin(kind: SpanKind, name: string, from?: { readonly traceparent: string }): Span;
  /** Sends what is gathered, and ends. Never rejects. */
  stop(): Promise<void>;
}

/** What is under way, as a `traceparent` header names it, and as the collector's library knows it. */
interface Underway {
  readonly traceparent: string;
  readonly span: object;
}

const UNDERWAY = new AsyncLocalStorage<Underway>();

export function runUnder<T>(underway: Underway, work: () => T): T {
  return UNDERWAY.run(underway, work);
}

export function spanUnderway(): object | undefined {
  return UNDERWAY.getStore()?.span;
}

/** The `traceparent` header for a request sent now (W3C Trace Context 1 §3.2); undefined when nothing is traced. */
export function traceparentNow(): string | undefined {
  return UNDERWAY.getStore()?.traceparent;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * Reads a `traceparent` header (W3C Trace Context 1 §3.2): undefined when it is not one, and a new trace begins. A later version may have
 * more behind the four fields; version 00 has not, and ff is none.
 */
export function readTraceparent(
  header: unknown,
): { readonly traceId: string; readonly spanId: string; readonly flags: number } | undefined {
  const match = typeof header === "string" && header.length <= 512 ? TRACEPARENT.exec(header) : null;
  if (match === null) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", more] = match;
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

/** Work as a span of its own; only the work, where nothing is traced. */
export async function traced<T>(
  tracing: Tracing | undefined,
  span: { readonly kind: SpanKind; readonly name: string; readonly attributes: Attributes },
  work: () => Promise<T>,
): Promise<T> {
  if (tracing === undefined) return await work();
  const begun = tracing.begin(span.kind, span.name);
  let failed: string | undefined = "it did not end";
  try {
    const result = await begun.run(work);
    failed = undefined;
    return result;
  } catch (error) {
    failed = error instanceof Error ? error.name : "error";
    throw error;
  } finally {
    begun.end(span.name, span.attributes, failed);
  }
}
