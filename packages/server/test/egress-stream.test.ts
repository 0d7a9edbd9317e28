/** Answers and bodies as large as they like, through the egress guard: how they break off, stall and end. */
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { guardedStream, type StreamQuestion } from "../src/egress/guarded-stream.ts";

const LIMITS = { headMs: 300, idleMs: 300, totalMs: 3_000 };
const GET = { method: "GET", headers: {} } as const;

let server: Server | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
});

/** Asks a server on this machine that answers so. */
async function ask(answer: RequestListener, question: StreamQuestion = GET, limits = LIMITS) {
  server = createServer(answer);
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return await guardedStream(`http://${host}/x`, { privatePlaces: new Set([host]) }, question, limits);
}

async function sizeOf(body: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const chunk of body) size += chunk.length;
  return size;
}

describe("a guarded answer", () => {
  test("comes in pieces, whatever its status", async () => {
    const answer = await ask((_request, response) => response.writeHead(404).end(Buffer.alloc(1_000_000)));
    expect([answer.status, await sizeOf(answer.body())]).toEqual([404, 1_000_000]);
  });

  test.each([
    ["whose head does not come", () => undefined],
    ["of a connection that is closed at once", (_request, response) => response.destroy()],
  ] as [string, RequestListener][])("%s is none", async (_what, listener) => {
    await expect(ask(listener)).rejects.toMatchObject({ code: "egress-failed" });
  });

  test.each([
    ["stalls", (_request, response) => void response.write("x")],
    ["breaks off", (_request, response) => response.write("x", () => response.destroy())],
    [
      "is shorter than it says",
      (_request, response) => {
        response.writeHead(200, { "content-length": 10 });
        response.write("x", () => response.socket?.end());
      },
    ],
  ] as [string, RequestListener][])(
    "that %s ends in an error, and never as if it were whole",
    async (_what, listener) => {
      const answer = await ask(listener);
      await expect(sizeOf(answer.body())).rejects.toMatchObject({ code: "egress-failed" });
    },
  );

  test("that drips without end ends when its time is over", async () => {
    const listener: RequestListener = (_request, response) => {
      const timer = setInterval(() => response.write("x"), 50);
      response.on("close", () => clearInterval(timer));
    };
    const answer = await ask(listener, GET, { ...LIMITS, totalMs: 700 });
    await expect(sizeOf(answer.body())).rejects.toMatchObject({ code: "egress-failed" });
  });

  test("is not waited for while whoever reads it takes their time", async () => {
    const answer = await ask((_request, response) => response.end(Buffer.alloc(3_000_000)));
    let size = 0;
    for await (const chunk of answer.body()) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, 500));
      size += chunk.length;
    }
    expect(size).toBe(3_000_000);
  });

  test("to a private address that nobody allowed is not asked for", async () => {
    const asked = guardedStream("https://169.254.169.254/", { privatePlaces: new Set() }, GET, LIMITS);
    await expect(asked).rejects.toMatchObject({ code: "egress-refused" });
  });
});

describe("a streamed body", () => {
  const put = (body: () => AsyncGenerator<Uint8Array>, size: number): StreamQuestion => ({
    method: "PUT",
    headers: { "content-length": String(size) },
    body: body(),
  });

  test("is sent as it is made, and what made it is let go of", async () => {
    let released = false;
    const body = async function* () {
      try {
        for (let piece = 0; piece < 10; piece += 1) yield new Uint8Array(100_000);
      } finally {
        released = true;
      }
    };
    let size = 0;
    const answer = await ask(
      (request, response) => {
        request.on("data", (chunk: Buffer) => (size += chunk.length));
        request.on("end", () => response.writeHead(201).end());
      },
      put(body, 1_000_000),
    );
    answer.discard();
    expect([answer.status, size, released]).toEqual([201, 1_000_000, true]);
  });

  test("that nobody takes is given up, and what made it is let go of", async () => {
    let released = false;
    const body = async function* () {
      try {
        for (;;) yield new Uint8Array(1_000_000);
      } finally {
        released = true;
      }
    };
    const asked = ask((request) => request.pause(), put(body, 1e12));
    await expect(asked).rejects.toMatchObject({ code: "egress-failed" });
    await expect.poll(() => released).toBe(true);
  });

  test("that cannot be read ends the question", async () => {
    const body = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(10);
      throw new Error("the disk is gone");
    };
    await expect(ask((request) => request.resume(), put(body, 1_000))).rejects.toMatchObject({ code: "egress-failed" });
  });
});
