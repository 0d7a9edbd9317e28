import { createServer, type IncomingMessage, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { parseDigest } from "@assay/evidence";
import { afterEach, describe, expect, it, vi } from "vitest";
import { readConfig } from "../src/config.ts";
import { DiskWatch } from "../src/pressure/disk-watch.ts";
import { pressureLimits } from "../src/pressure/limits.ts";
import { MemoryBudget } from "../src/pressure/memory-budget.ts";
import { endWhenStalled } from "../src/pressure/stalled-bodies.ts";
import { ChannelClient } from "../src/record/port.ts";
import { incoming } from "../src/registry/incoming.ts";
import { IDLE_MS } from "../src/registry/limits.ts";
import { PullCounter } from "../src/registry/pull-counter.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, pushImage, sha256 } from "./pushing.ts";

const MIB = 1024 * 1024;

const lowDisk = expect.objectContaining({ code: "disk-low" }) as unknown;
const lowMemory = expect.objectContaining({ code: "memory-low" }) as unknown;

describe("the disk's floor", () => {
  function watchOf(free: { bytes: number | Error }, floor = 100 * MIB) {
    const log: string[] = [];
    const watch = new DiskWatch({
      directory: "/nowhere",
      floor,
      log: { warn: (_detail, message) => log.push(message), info: (_detail, message) => log.push(message) },
      ask: async () => {
        if (free.bytes instanceof Error) throw free.bytes;
        return free.bytes;
      },
    });
    return { watch, log };
  }

  it("refuses writes below it, says so once, and takes them again when there is room", async () => {
    const free = { bytes: (100 * MIB) as number | Error };
    const { watch, log } = watchOf(free);
    await watch.look();
    await watch.admit(0, () => 0);
    free.bytes = 100 * MIB - 1;
    for (let look = 0; look < 3; look += 1) await watch.look();
    await expect(watch.admit(0, () => 0)).rejects.toEqual(lowDisk);
    expect(() => watch.goOn()).toThrow(lowDisk);
    expect(watch.problem).toBe("100.0 MiB free, and 100.0 MiB are kept");
    free.bytes = 200 * MIB;
    for (let look = 0; look < 3; look += 1) await watch.look();
    await watch.admit(0, () => 0);
    watch.goOn();
    expect(watch.problem).toBeUndefined();
    expect(log).toHaveLength(2);
  });

  it("takes a large body only when it and what others were promised fit above it", async () => {
    const { watch } = watchOf({ bytes: 200 * MIB });
    await watch.admit(100 * MIB, () => 0);
    await expect(watch.admit(100 * MIB + 1, () => 0)).rejects.toEqual(lowDisk);
    await expect(watch.admit(60 * MIB, () => 50 * MIB)).rejects.toEqual(lowDisk);
    await watch.admit(50 * MIB, () => 50 * MIB);
    await watch.admit(1000, () => 1000 * MIB);
  });

  it("looks again for a large body, whatever it saw before", async () => {
    const free = { bytes: (200 * MIB) as number | Error };
    const { watch } = watchOf(free);
    await watch.look();
    free.bytes = 101 * MIB;
    await expect(watch.admit(50 * MIB, () => 0)).rejects.toEqual(lowDisk);
  });

  it("looks again for a body under way, as soon as the last look is old", async () => {
    const free = { bytes: (200 * MIB) as number | Error };
    const { watch } = watchOf(free);
    await watch.look();
    free.bytes = 10 * MIB;
    await vi.waitFor(() => expect(() => watch.goOn()).toThrow(lowDisk), { timeout: 500, interval: 10 });
  });

  it("counts space that cannot be asked for as none", async () => {
    const { watch, log } = watchOf({ bytes: new Error("EIO") });
    await watch.look();
    await expect(watch.admit(0, () => 0)).rejects.toEqual(lowDisk);
    expect(log).toHaveLength(1);
  });

  it("of 0 keeps nothing free", async () => {
    const { watch } = watchOf({ bytes: 0 }, 0);
    await watch.look();
    await watch.admit(1000 * MIB, () => 0);
    expect(watch.low).toBe(false);
  });
});

describe("the memory for bodies", () => {
  it("is given out up to its sum, and comes back once", () => {
    const budget = new MemoryBudget({ bodies: 100, process: 0 });
    const first = budget.take(60);
    expect(() => budget.take(41)).toThrow(lowMemory);
    const second = budget.take(40);
    expect(budget.held).toBe(100);
    first();
    first();
    expect(budget.held).toBe(40);
    second();
    expect(budget.held).toBe(0);
  });

  it("is given to one body whatever its size, so that no body is too large for ever", () => {
    const budget = new MemoryBudget({ bodies: 100, process: 0 });
    const give = budget.take(1000);
    expect(() => budget.take(1)).toThrow(lowMemory);
    give();
    budget.take(1000);
  });

  it("is given to one body at a time while the process is over its limit", () => {
    const measure = { resident: 1001, now: 0 };
    const budget = new MemoryBudget(
      { bodies: 0, process: 1000 },
      { resident: () => measure.resident, now: () => measure.now },
    );
    const give = budget.take(10);
    expect(() => budget.take(10)).toThrow(lowMemory);
    measure.resident = 900;
    expect(() => budget.take(10)).toThrow(lowMemory);
    measure.now = 1000;
    budget.take(10);
    give();
  });
});

describe("each process's share", () => {
  it("is of what is set, and by default of what there is", () => {
    const gib = 1024 * MIB;
    expect(pressureLimits({ workers: 1 }, 4 * gib)).toEqual({
      diskFloor: 256 * MIB,
      memory: 3 * gib,
      bodies: 768 * MIB,
      connections: 4096,
    });
    expect(
      pressureLimits({ workers: 4, diskFloor: 0, maxBuffered: 400, maxMemory: 1000, maxConnections: 10 }, 4 * gib),
    ).toEqual({ diskFloor: 0, memory: 200, bodies: 100, connections: 3 });
    expect(pressureLimits({ workers: 1, maxMemory: 0 }, 4 * gib)).toMatchObject({ memory: 0, bodies: gib });
  });

  it("is read from settings with units, and wrong ones are named", () => {
    const config = readConfig(
      { ASSAY_DISK_FLOOR: "2G", ASSAY_MAX_BUFFERED: "512K", ASSAY_MAX_MEMORY: "0", ASSAY_DRAIN_GRACE: "5" },
      ["--max-connections", "100"],
    );
    expect(config).toMatchObject({
      diskFloor: 2 * 1024 * MIB,
      maxBuffered: 512 * 1024,
      maxMemory: 0,
      maxConnections: 100,
      drainGraceMs: 5000,
    });
    expect(() => readConfig({ ASSAY_DISK_FLOOR: "much", ASSAY_MAX_MEMORY: "1e9" }, [])).toThrow(
      /ASSAY_DISK_FLOOR[\s\S]*ASSAY_MAX_MEMORY/,
    );
  });
});

describe("a body that does not get on", () => {
  it("ends its connection when it is for a door that reads at once", async () => {
    const server = createServer((request, response) => {
      endWhenStalled(request, 100);
      request.resume();
      request.on("end", () => response.end("whole"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const send = (step: (write: (bytes: number) => void) => NodeJS.Timeout): Promise<string> =>
      new Promise((resolve) => {
        const request = httpRequest({
          port,
          host: "127.0.0.1",
          method: "POST",
          headers: { "content-length": 200_000 },
        });
        const timer = step((bytes) => request.write(Buffer.alloc(bytes)));
        request.on("response", (answer) => {
          clearInterval(timer);
          answer.resume();
          answer.on("end", () => resolve("answered"));
        });
        request.on("error", () => {
          clearInterval(timer);
          resolve("cut");
        });
      });
    expect(await send((write) => setInterval(() => write(1), 20))).toBe("cut");
    expect(await send((write) => setInterval(() => write(20_000), 30))).toBe("answered");
    server.closeAllConnections();
    server.close();
  });

  it("is cut off by the registry's door after a minute, but not while the server itself is slow", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const request = new Readable({ read: () => undefined }) as unknown as IncomingMessage & Readable;
      const body = incoming(request, 1000);
      request.push(Buffer.from("a"));
      await body.next();
      vi.advanceTimersByTime(10 * IDLE_MS);
      expect(request.destroyed).toBe(false);
      const next = body.next().catch((error: unknown) => error);
      await Promise.resolve();
      vi.advanceTimersByTime(IDLE_MS);
      expect(request.destroyed).toBe(true);
      expect(await next).toMatchObject({ name: "BodyInterrupted" });
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("what waits in memory", () => {
  it("on its way to a writer that answers nobody is bounded", async () => {
    let sent = 0;
    const client = new ChannelClient(() => {
      sent += 1;
    });
    const waiting = Array.from({ length: 8192 }, () => client.operate("record.ping", {}).catch(() => undefined));
    await expect(client.operate("record.ping", {})).rejects.toMatchObject({ code: "writer-overloaded" });
    expect(sent).toBe(8192);
    client.close("the test is over");
    await Promise.all(waiting);
  });

  it("of pulls that cannot be written is bounded, however often that fails", async () => {
    const written: number[] = [];
    let failing = true;
    const counter = new PullCounter({
      append: () => Promise.reject(new Error("nobody appends here")),
      operate: async (_type, body) => {
        if (failing) throw new Error("no writer");
        written.push((body["pulls"] as unknown[]).length);
        return null;
      },
    });
    for (let round = 0; round < 4; round += 1) {
      for (let n = 0; n < 30_000; n += 1) {
        const digest = parseDigest(`sha256:${(round * 30_000 + n).toString(16).padStart(64, "0")}`);
        counter.count({ org: "o", repository: "o/r", digest, actor: "admin", time: 0 });
      }
      await expect(counter.flush()).rejects.toThrow("no writer");
    }
    failing = false;
    await counter.flush();
    expect(written.reduce((sum, count) => sum + count, 0)).toBe(40_000);
  });
});

describe("a server whose disk is low", () => {
  let instance: Instance | undefined;

  afterEach(async () => {
    await instance?.stop();
  });

  it("refuses at each door, in its form, what would grow it; reads and deletes; says so; and stops whole", async () => {
    instance = await startInstance();
    const image = await pushImage(instance.url, "default/app", "1.0.0", Buffer.from("layer"));
    const made = await instance.api("POST", "/api/assay/v1/people", { name: "alice" });
    expect(made.status).toBe(201);
    // More than any disk has.
    const running = instance;
    await running.restart({ diskFloor: Number.MAX_SAFE_INTEGER });
    const { url } = instance;
    const api: Instance["api"] = (...request) => running.api(...request);
    expect(await api("POST", "/api/assay/v1/people", { name: "bob" })).toMatchObject({
      status: 503,
      body: { error: { code: "disk-low" } },
    });
    const registry = { authorization: ADMIN_BASIC };
    const push = await fetch(`${url}/v2/default/app/blobs/uploads/?digest=${sha256("x")}`, {
      method: "POST",
      headers: registry,
      body: "x",
    });
    expect(push.status).toBe(503);
    expect(push.headers.get("retry-after")).toBe("30");
    expect(await push.json()).toMatchObject({ errors: [{ code: "TOOMANYREQUESTS" }] });
    const put = await fetch(`${url}/v2/default/app/manifests/2`, { method: "PUT", headers: registry, body: "{}" });
    expect(put.status).toBe(503);
    const pulled = await fetch(`${url}/v2/default/app/blobs/${image.layer}`, { headers: registry });
    expect(await pulled.text()).toBe("layer");
    const token = await fetch(`${url}/v2/token?service=${new URL(url).host}`, { headers: registry });
    expect(token.status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({
      checks: { writer: "ok", disk: expect.stringMatching(/^low: .* free/) as unknown },
    });
    const metrics = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    const text = await metrics.text();
    expect(text).toMatch(/^assay_disk_low 1$/m);
    expect(text).toMatch(/^assay_disk_free_bytes \d+$/m);
    expect(text).toMatch(/^assay_requests_refused_total\{reason="disk-low"\} 3$/m);
    expect((await api("DELETE", "/api/assay/v1/people/alice")).status).toBeLessThan(300);
    const deleted = await fetch(`${url}/v2/default/app/manifests/1.0.0`, { method: "DELETE", headers: registry });
    expect(deleted.status).toBe(202);
  });
});
