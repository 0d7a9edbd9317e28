import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { EvidenceError, parseTilePath, toHex } from "@assay/evidence";
import type { FastifyInstance } from "fastify";
import { Problem } from "../http/problem.ts";
import type { LogProver } from "./prover.ts";

/** Full tiles never change; partial tiles neither, but they go away once the full one is there. */
const IMMUTABLE = "public, max-age=31536000, immutable";

export interface LogRoutesContext {
  readonly prover: LogProver;
  /** The newest checkpoint that a quorum of witnesses cosigned; undefined when there is none, or nobody is asked. */
  readonly witnessed: () => Promise<string | undefined>;
}

function queryNumber(query: unknown, name: string): number {
  const text = (query as Readonly<Record<string, unknown>>)[name];
  if (typeof text !== "string" || !/^(0|[1-9]\d{0,14})$/.test(text)) {
    throw new Problem(400, "query-invalid", `${name} must be a decimal number`);
  }
  return Number(text);
}

/**
 * The public side of a log: its checkpoint and tiles as plain files (C2SP tlog-tiles), and proofs computed from those same files
 * for whoever does not want to. Entries are salted commitments, so the log reveals no bodies and needs no credentials.
 */
export function registerLogRoutes(app: FastifyInstance, context: LogRoutesContext): void {
  const { prover } = context;
  const base = `/logs/${prover.name}`;

  app.get(`${base}/checkpoint`, async (_request, reply) => {
    // With witnesses configured readers are given what was witnessed, all of whose tiles are there, as soon as there is such a thing.
    const note = (await context.witnessed()) ?? (await prover.files.checkpoint());
    if (note === undefined) throw new Problem(404, "checkpoint-unknown", "nothing is published yet");
    return reply.header("content-type", "text/plain; charset=utf-8").header("cache-control", "no-cache").send(note);
  });

  app.get(`${base}/vkey`, async (_request, reply) =>
    reply.header("content-type", "text/plain; charset=utf-8").send(`${prover.vkey}\n`),
  );

  app.get(`${base}/tile/*`, async (request, reply) => {
    const rest = (request.params as { "*": string })["*"];
    try {
      // The parser accepts only what tlog-tiles names, so no path of a request reaches the file system unread.
      parseTilePath(`tile/${rest}`);
    } catch (error) {
      if (error instanceof EvidenceError) throw new Problem(400, "tile-path-invalid", error.message);
      throw error;
    }
    const path = join(prover.files.directory, "tile", rest);
    let size: number;
    try {
      const found = await stat(path);
      if (!found.isFile()) throw new Problem(404, "tile-unknown", "there is no such tile");
      size = found.size;
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Problem(404, "tile-unknown", "there is no such tile (a partial tile goes once the full one is there)", {
        cause: error,
      });
    }
    return reply
      .header("content-type", "application/octet-stream")
      .header("content-length", size)
      .header("cache-control", IMMUTABLE)
      .header("x-content-type-options", "nosniff")
      .send(createReadStream(path));
  });

  app.get(`${base}/proof/inclusion`, async (request) => {
    const index = queryNumber(request.query, "index");
    const entry = await prover.entry(index);
    const proof = entry === undefined ? undefined : await prover.prove(index, entry);
    if (entry === undefined || proof === undefined) {
      throw new Problem(404, "entry-unknown", `the published log has no entry ${index}`);
    }
    return {
      index,
      size: proof.size,
      entry: toHex(entry),
      proof: proof.proof.map(toHex),
      checkpoint: proof.checkpoint,
    };
  });

  app.get(`${base}/proof/consistency`, async (request) => {
    const old = queryNumber(request.query, "old");
    const proof = await prover.consistency(old);
    if (proof === undefined) throw new Problem(404, "size-unknown", `the published log has fewer than ${old} entries`);
    return { old, size: proof.size, proof: proof.proof.map(toHex), checkpoint: proof.checkpoint };
  });
}
