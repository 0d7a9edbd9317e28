/** Logs, witnesses and places between them for tests of both sides of witnessing: each does only what a test tells it to. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  consistencyProof,
  cosignatureLine,
  cosignedBytes,
  formatCheckpoint,
  formatNote,
  formatVkey,
  leafHash,
  NOTE_COSIGNATURE_ED25519,
  NOTE_ED25519,
  type NodeAt,
  nodeHash,
  noteKey,
  noteSignatureLine,
  noteSignedBytes,
  parseNote,
  rootHash,
  utf8Encode,
} from "@assay/evidence";
import { generateKeyPair, nodeCrypto as crypto } from "@assay/evidence/node";
import { expect } from "vitest";
import { type AddCheckpoint, formatAddCheckpoint, parseAddCheckpoint } from "../src/witness/wire.ts";

/** A log held in memory, with its key: honest until a test makes it fork. */
export class MemoryLog {
  readonly origin: string;
  readonly #key = generateKeyPair("ed25519");
  readonly entries: string[];

  constructor(origin: string, entries: readonly string[] = []) {
    this.origin = origin;
    this.entries = [...entries];
  }

  get vkey(): string {
    return formatVkey(this.origin, NOTE_ED25519, this.#key.publicKey.spki.slice(-32));
  }

  add(...entries: string[]): this {
    this.entries.push(...entries);
    return this;
  }

  root(entries: readonly string[] = this.entries): Uint8Array {
    return rootHash(crypto, entries.length, nodesOf(entries));
  }

  /** Signs any text as this log. */
  sign(text: string): string {
    const key = noteKey(this.origin, NOTE_ED25519, this.#key.publicKey.spki.slice(-32));
    return noteSignatureLine(key, this.#key.sign(noteSignedBytes(text)));
  }

  note(entries: readonly string[] = this.entries): string {
    const checkpoint = { origin: this.origin, size: entries.length, root: this.root(entries), extensions: [] };
    const text = formatCheckpoint(checkpoint);
    return formatNote(text, [this.sign(text)]);
  }

  /** A request from `old` entries to these. */
  request(old: number, entries: readonly string[] = this.entries): string {
    const proof = old > entries.length ? [] : consistencyProof(crypto, old, entries.length, nodesOf(entries));
    return formatAddCheckpoint({ old, proof, note: this.note(entries) });
  }
}

function nodesOf(entries: readonly string[]): NodeAt {
  const nodeAt: NodeAt = (level, index) => {
    const entry = entries[index];
    if (level > 0) return nodeHash(crypto, nodeAt(level - 1, 2 * index), nodeAt(level - 1, 2 * index + 1));
    if (entry === undefined) throw new Error(`no entry ${index}`);
    return leafHash(crypto, utf8Encode(entry));
  };
  return nodeAt;
}

export interface Scripted {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An HTTP server that answers what it is told to, and remembers what it was asked. */
export class Place {
  readonly asked: { method: string; path: string; body: string }[] = [];
  answer: (body: string, path: string) => Scripted | Promise<Scripted> = () => ({ status: 404, body: "" });
  readonly #server: Server;
  url = "";

  constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  async open(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    this.url = `http://127.0.0.1:${address.port}`;
    return this;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    this.asked.push({ method: request.method ?? "", path: request.url ?? "", body });
    const {
      status,
      body: text,
      headers,
    } = await Promise.resolve()
      .then(() => this.answer(body, request.url ?? ""))
      // What a place stands before may have ended.
      .catch(() => ({ status: 502, body: "", headers: {} }));
    response.writeHead(status, { ...headers }).end(text);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A witness that cosigns whatever it is sent, unless a test puts other words into its mouth. */
export class ScriptedWitness extends Place {
  readonly name: string;
  readonly #key = generateKeyPair("ed25519");

  constructor(name: string) {
    super();
    this.name = name;
    this.answer = (body, path) => (path === "/add-checkpoint" ? this.cosign(body) : { status: 404, body: "" });
  }

  get vkey(): string {
    return formatVkey(this.name, NOTE_COSIGNATURE_ED25519, this.#key.publicKey.spki.slice(-32));
  }

  request(index = -1): AddCheckpoint {
    const asked = this.asked.filter(({ method }) => method === "POST").at(index);
    if (asked === undefined) throw new Error("it was not asked");
    return parseAddCheckpoint(utf8Encode(asked.body));
  }

  cosign(body: string, time = Math.floor(Date.now() / 1000), text = parseNote(noteOf(body)).text): Scripted {
    const key = noteKey(this.name, NOTE_COSIGNATURE_ED25519, this.#key.publicKey.spki.slice(-32));
    return { status: 200, body: `${cosignatureLine(key, time, this.#key.sign(cosignedBytes(time, text)))}\n` };
  }

  /** Its line of a policy. */
  line(url = this.url): string {
    return `witness ${this.name} ${this.vkey} ${url}\n`;
  }
}

function noteOf(body: string): string {
  return parseAddCheckpoint(utf8Encode(body)).note;
}

/** Files of a test. */
export class Files {
  readonly #folder = mkdtempSync(join(tmpdir(), "assay-witness-"));

  path(name: string): string {
    return join(this.#folder, name);
  }

  write(name: string, text: string): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export async function until(condition: () => Promise<boolean> | boolean, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A text that has this in it, where an answer is compared with a pattern. */
export function saying(part: string | RegExp): unknown {
  return typeof part === "string" ? expect.stringContaining(part) : expect.stringMatching(part);
}
