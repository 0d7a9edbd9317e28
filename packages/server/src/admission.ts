import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { TOKEN_PATH } from "./access/challenge.ts";
import type { Connections } from "./pressure/connections.ts";
import type { DiskWatch } from "./pressure/disk-watch.ts";
import type { MemoryBudget } from "./pressure/memory-budget.ts";
import { endWhenStalled } from "./pressure/stalled-bodies.ts";
import { contentLength, hasBody, lingerOver } from "./registry/incoming.ts";
import { REGISTRY_LIMITS } from "./registry/limits.ts";
import { parseRegistryPath } from "./registry/path.ts";
import type { Metrics } from "./signals/metrics.ts";
import { SEGMENT_BYTES } from "./storage/s3-segments.ts";

/** What one upload holds of its body in memory at most: a few reads on their way to a file, or two segments on their way to S3. */
const DIRECTORY_UPLOAD_BYTES = 1024 * 1024;
const S3_UPLOAD_BYTES = 2 * SEGMENT_BYTES;

/** Asked even of a server that has its connections: who watches over it must not take a full one for a dead one. */
const ALWAYS_ANSWERED: ReadonlySet<string> = new Set(["/healthz", "/readyz"]);

export interface AdmissionOptions {
  readonly disk: DiskWatch;
  readonly memory: MemoryBudget;
  readonly connections: Connections;
  readonly metrics: Metrics;
  /** Whether blobs lie under the data directory, so that their bytes are taken from its disk. */
  readonly blobsOnDisk: boolean;
}

/** What a request would take. */
interface Cost {
  /** Bytes of its body in memory at most. */
  readonly memory: number;
  /** Bytes it is known to bring to the disk; undefined when it writes nothing. */
  readonly disk: number | undefined;
  /** Its body is read as fast as it comes. */
  readonly prompt: boolean;
}

/**
 * Decides which requests a process takes up at all, before anything of their bodies is read: none that would grow a disk that is low,
 * none for whose body there is no memory, none beyond the connections there may be. What is refused is refused with 503 and Retry-After
 * in the form of the door it was meant for. Reading, deleting and ending an upload go on.
 */
export class Admission {
  readonly disk: DiskWatch;
  readonly #options: AdmissionOptions;
  /** Uploads under way that said how long they are: what they have not yet brought is still to come out of the free space. */
  readonly #promises = new Set<() => number>();
  #draining = false;

  constructor(options: AdmissionOptions) {
    this.disk = options.disk;
    this.#options = options;
    options.metrics.observePressure({
      diskFree: () => options.disk.free,
      diskLow: () => options.disk.low,
      bodies: () => options.memory.held,
      connections: () => options.connections.open,
      requests: () => options.connections.requests,
    });
  }

  /** Whether the process is about to stop. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Whether somebody is being answered at this moment. */
  get serving(): boolean {
    return this.#options.connections.requests > 0;
  }

  /** From now on every answer asks the client to open a new connection next time: it will find another process, or none. */
  drain(): void {
    this.#draining = true;
  }

  /** Guards every door of `server`. Called before any of them is registered. */
  guard(server: FastifyInstance): void {
    this.#options.connections.watch(server.server);
    server.addHook("onRequest", (request, reply, done) => {
      if (this.#draining) reply.header("connection", "close");
      let refusal: Error | undefined;
      try {
        const cost = costOf(request, this.#options.blobsOnDisk);
        if (cost !== undefined) {
          this.#admit(request, cost)
            .then((taken) => this.#underWay(request, reply, ...taken))
            .then(
              () => done(),
              (error: unknown) => done(this.#refused(request, reply, error)),
            );
          return;
        }
        // Most requests neither write nor bring a body: nothing has to be waited for.
        this.#underWay(request, reply, this.#connection(request));
      } catch (error) {
        refusal = this.#refused(request, reply, error);
      }
      done(refusal);
    });
    server.addHook("onSend", (_request, reply, _payload, done) => {
      // For those that were under way when it began.
      if (this.#draining && !reply.raw.headersSent) reply.header("connection", "close");
      done();
    });
  }

  /** Keeps what a request has taken until it is over. */
  #underWay(request: FastifyRequest, reply: FastifyReply, ...taken: readonly (() => void)[]): void {
    const giveBack = (): void => {
      for (const give of taken) give();
    };
    // A client that left meanwhile is not heard of again.
    if (request.raw.socket.destroyed) giveBack();
    else reply.raw.once("close", giveBack);
  }

  /** Readies the answer to a request that is not taken up. @returns why it is not. */
  #refused(request: FastifyRequest, reply: FastifyReply, error: unknown): Error {
    this.#options.metrics.refused(error);
    // The connection of one that is too many ends with its answer; on any other the client may go on.
    if (this.#options.connections.isRefused(request.raw.socket)) reply.header("connection", "close");
    if (hasBody(request.raw)) lingerOver(request.raw);
    return error instanceof Error ? error : new Error(String(error));
  }

  /** Counts a request among those of its connection. @returns what is called at its end. @throws ServerError `connections-full`. */
  #connection(request: FastifyRequest): () => void {
    if (ALWAYS_ANSWERED.has(request.routeOptions.url ?? "")) return () => undefined;
    return this.#options.connections.admit(request.raw.socket);
  }

  /** @returns what is called at its end. @throws ServerError `connections-full`, `disk-low`, `memory-low`. */
  async #admit(request: FastifyRequest, cost: Cost): Promise<(() => void)[]> {
    const { disk, memory } = this.#options;
    const taken: (() => void)[] = [];
    try {
      taken.push(this.#connection(request));
      if (cost.disk !== undefined) {
        // Promised before it is asked for: of several that come together each counts those before it.
        const own = cost.disk > 0 ? this.#promise(request.raw, cost.disk) : undefined;
        if (own !== undefined) taken.push(() => this.#promises.delete(own));
        await disk.admit(cost.disk, () => this.#promisedBefore(own));
      }
      if (cost.memory > 0) taken.push(memory.take(cost.memory));
      if (cost.prompt) endWhenStalled(request.raw);
      return taken;
    } catch (error) {
      for (const giveBack of taken) giveBack();
      throw error;
    }
  }

  #promisedBefore(own: (() => number) | undefined): number {
    let sum = 0;
    for (const missing of this.#promises) {
      if (missing === own) break;
      sum += missing();
    }
    return sum;
  }

  #promise(request: IncomingMessage, bytes: number): () => number {
    const { socket } = request;
    const before = socket.bytesRead;
    const missing = (): number => Math.max(bytes - (socket.bytesRead - before), 0);
    this.#promises.add(missing);
    return missing;
  }
}

/** What a request would take; undefined for one that neither writes nor brings a body. */
function costOf(request: FastifyRequest, blobsOnDisk: boolean): Cost | undefined {
  const { method, raw } = request;
  if (method === "GET" || method === "HEAD" || method === "OPTIONS") return undefined;
  const url = raw.url ?? "/";
  const path = url.split("?", 1)[0] ?? "/";
  const body = hasBody(raw);
  const length = contentLength(raw);
  const atMost = (limit: number): number => (body ? Math.min(length ?? limit, limit) : 0);
  // Deleting makes room in the end; what its event takes is what the floor is for.
  const writes = method !== "DELETE" && path !== TOKEN_PATH;
  if (path !== TOKEN_PATH && /^\/v2(\/|$)/.test(path)) {
    const named = parseRegistryPath(path);
    if (named.kind === "manifest") {
      return { memory: atMost(REGISTRY_LIMITS.manifestBytes), disk: writes ? 0 : undefined, prompt: false };
    }
    // An upload that is here to its last byte is only named: refusing that would throw away what the disk has taken already.
    const ends = named.kind === "upload" && method === "PUT" && !body;
    return {
      memory: atMost(blobsOnDisk ? DIRECTORY_UPLOAD_BYTES : S3_UPLOAD_BYTES),
      disk: writes && !ends ? (blobsOnDisk ? (length ?? 0) : 0) : undefined,
      prompt: false,
    };
  }
  const { bodyLimit } = request.routeOptions;
  return { memory: atMost(bodyLimit ?? 0), disk: writes ? 0 : undefined, prompt: body };
}
