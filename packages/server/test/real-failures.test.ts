/** Real disks that are full or read-only, under a real server process: nothing here is pretended. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { freePort } from "./free-port.ts";
import { ADMIN_TOKEN } from "./instance.ts";
import { type PrivateDisk, privateDisk } from "./private-disk.ts";
import { ADMIN_BASIC, sha256 } from "./pushing.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";

/** An answer to a write. */
interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly text: string;
}

/** What was acknowledged and what was refused while clients pushed images and posted reports without a pause. */
class Clients {
  readonly images: { tag: string; manifest: string; layer: string }[] = [];
  readonly reports: number[] = [];
  readonly refused: { door: "registry" | "api"; answer: Answer }[] = [];
  readonly #url: string;
  readonly #name: string;
  #running = true;
  readonly #done: Promise<unknown>;

  constructor(url: string, name: string, pushers: number, reporters: number) {
    this.#url = url;
    this.#name = name;
    this.#done = Promise.all([
      ...Array.from({ length: pushers }, (_, pusher) => this.#push(pusher)),
      ...Array.from({ length: reporters }, () => this.#report()),
    ]);
    // Whoever stops them hears of a failure; when the test has failed before that, nobody need.
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #send(door: "registry" | "api", method: string, path: string, type: string, body: Uint8Array | string) {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: door === "registry" ? ADMIN_BASIC : `Bearer ${ADMIN_TOKEN}`,
        "content-type": type,
      },
      body: typeof body === "string" ? body : new Uint8Array(body),
    });
    const answer = {
      status: response.status,
      retryAfter: response.headers.get("retry-after"),
      text: await response.text(),
    };
    if (answer.status === 201) return answer;
    this.refused.push({ door, answer });
    await sleep(20);
    return undefined;
  }

  async #push(pusher: number): Promise<void> {
    const config = Buffer.from("{}");
    for (let count = 0; this.#running; count += 1) {
      const layer = randomBytes(20_000 + Math.floor(Math.random() * 200_000));
      const blob = (bytes: Buffer) =>
        this.#send(
          "registry",
          "POST",
          `/v2/default/app/blobs/uploads/?digest=${sha256(bytes)}`,
          "application/octet-stream",
          bytes,
        );
      if ((await blob(layer)) === undefined || (await blob(config)) === undefined) continue;
      const mediaType = "application/vnd.oci.image.manifest.v1+json";
      const manifest = JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
        layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: sha256(layer), size: layer.length }],
      });
      const tag = `${this.#name}-${pusher}-${count}`;
      if ((await this.#send("registry", "PUT", `/v2/default/app/manifests/${tag}`, mediaType, manifest)) === undefined)
        continue;
      this.images.push({ tag, manifest: sha256(manifest), layer: sha256(layer) });
    }
  }

  async #report(): Promise<void> {
    while (this.#running) {
      const answer = await this.#send(
        "api",
        "POST",
        "/api/assay/v1/orgs/default/reports",
        "application/json",
        JSON.stringify({
          subject: `sha256:${randomBytes(32).toString("hex")}`,
          predicateType: "https://example.com/report/v1",
          predicate: { padding: randomBytes(1000).toString("hex") },
        }),
      );
      if (answer !== undefined) {
        this.reports.push((JSON.parse(answer.text) as { receipt: { sequence: number } }).receipt.sequence);
      }
    }
  }
}

/**
 * What is wrong with an answer to a write that a failing disk refused: it must be an error in the door's form that says why and asks to
 * come back; or, of a write that was recorded before the disk failed, one that says so and does not ask to send it again.
 */
function complaint({ door, answer }: Clients["refused"][number]): string | undefined {
  const body = JSON.parse(answer.text) as {
    errors?: { code: string; message: string }[];
    error?: { code: string; message: string };
  };
  const comesBack = answer.status === 503 && Number(answer.retryAfter) > 0;
  const [first] = body.errors ?? [];
  const plain =
    door === "registry"
      ? comesBack && first?.code === "TOOMANYREQUESTS" && first.message.includes("disk")
      : (comesBack && body.error?.code === "storage-failed") ||
        (answer.status === 500 && answer.retryAfter === null && body.error?.code === "receipt-unavailable");
  return plain ? undefined : `${door}: ${JSON.stringify(answer)}`;
}

/** {@link complaint}s about all that was refused. */
function complaints(clients: Clients): string[] {
  return clients.refused.map(complaint).filter((found) => found !== undefined);
}

async function readiness(url: string): Promise<{ status: number; body: string }> {
  const answer = await fetch(`${url}/readyz`);
  return { status: answer.status, body: await answer.text() };
}

/** Every acknowledged image is there, whole. */
async function expectImages(url: string, clients: Clients): Promise<void> {
  const headers = { authorization: ADMIN_BASIC };
  for (const { tag, manifest, layer } of clients.images) {
    const answer = await fetch(`${url}/v2/default/app/manifests/${tag}`, { headers });
    expect(`${answer.status} ${answer.headers.get("docker-content-digest")}`, tag).toBe(`200 ${manifest}`);
    const blob = await fetch(`${url}/v2/default/app/blobs/${layer}`, { headers });
    expect(sha256(new Uint8Array(await blob.arrayBuffer()))).toBe(layer);
  }
}

/** Everything acknowledged is there, whole. */
async function expectAll(url: string, clients: Clients): Promise<void> {
  await expectImages(url, clients);
  for (const sequence of clients.reports) {
    const answer = await fetch(`${url}/api/assay/v1/record/${sequence}/receipt`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    expect(answer.status, `the receipt of ${sequence}`).toBe(200);
  }
}

const ADMIN = fileURLToPath(new URL("../src/admin.ts", import.meta.url));

/** What `assay server check` says within, and the code it ends with: SQLite cannot open the database from outside the namespace. */
function check(on: PrivateDisk, data: string): string {
  const [command, ...args] = [...on.within, process.execPath, ADMIN, "check", "--data", data];
  const { status, stdout, stderr } = spawnSync(command ?? "", args, {
    env: { PATH: process.env["PATH"] },
    encoding: "utf8",
  });
  return `${stdout}${stderr}exit ${status}`;
}

/** Temporary files that were left behind. */
function temporaries(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".tmp"));
}

describe.skipIf(process.platform !== "linux")("a server on a real disk (Linux only: it needs mount namespaces)", () => {
  let disk: PrivateDisk | undefined;
  let server: ServerProcess | undefined;

  afterEach(async () => {
    server?.signal("SIGKILL");
    await server?.ended;
    server = undefined;
    await disk?.end();
    disk = undefined;
  });

  /** Fails the disk under load, mends it, and looks whether everything is as it should be. */
  async function expectSurvival(on: PrivateDisk, fail: () => void, mend: () => void, rounds: number): Promise<void> {
    const data = join(on.path, "data");
    server = await startProcess(data, await freePort(), { ASSAY_DISK_FLOOR: "0" }, on.within);
    const { url } = server;
    for (let round = 0; round < rounds; round += 1) {
      const clients = new Clients(url, `r${round}`, 4, 2);
      await expect.poll(() => clients.images.length, { timeout: 20_000 }).toBeGreaterThan(3);
      fail();
      await expect.poll(() => clients.refused.length, { timeout: 20_000 }).toBeGreaterThan(10);
      const acknowledged = clients.images.length;
      mend();
      const mended = Date.now();
      // By itself: the same process, without a word to it.
      await expect.poll(() => clients.images.length, { timeout: 20_000 }).toBeGreaterThan(acknowledged + 3);
      await expect.poll(async () => (await readiness(url)).status, { timeout: 20_000 }).toBe(200);
      expect(Date.now() - mended).toBeLessThan(20_000);
      await clients.stop();
      expect(complaints(clients)).toEqual([]);
      await expectAll(url, clients);
      expect(check(on, data)).toMatch(/exit 0$/);
    }
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(check(on, data)).toMatch(/exit 0$/);
    expect(temporaries(join(on.seen, "data"))).toEqual([]);
  }

  it("that fills up refuses writes with what is wrong, leaves nothing half-written, and goes on by itself when there is room", async () => {
    disk = await privateDisk('mount -t tmpfs -o size=64m none "$DISK"');
    const { fill, free } = disk;
    await expectSurvival(disk, fill, free, 3);
  }, 120_000);

  it("that turns read-only for everything it opens refuses writes, serves reads, and goes on by itself when it can write again", async () => {
    disk = await privateDisk('mount -t tmpfs -o size=256m none "$DISK"');
    const { run } = disk;
    // The kernel does not make a file system read-only that somebody writes to; a read-only mount over it is what new files meet.
    const fail = (): void =>
      run(`
        for attempt in $(seq 200); do
          mount --bind "$DISK" "$DISK"
          # Refused when somebody has opened a file to write to through it in between.
          if mount -o remount,bind,ro "$DISK" 2>/dev/null; then exit 0; fi
          umount --lazy "$DISK"
        done
        exit 1`);
    await expectSurvival(disk, fail, () => run('umount --lazy "$DISK"'), 2);
  }, 120_000);

  const whyNot = process.getuid?.() === 0 ? undefined : "not run: only root may use a loop device";

  it.skipIf(whyNot !== undefined)(
    `whose file system turns read-only over an error refuses writes, serves reads, and loses nothing (${whyNot ?? "ext4 on a loop device"})`,
    async () => {
      const attach =
        'loop=$(losetup --find --show "$DISK.img"); mount -o errors=remount-ro "$loop" "$DISK"; losetup --detach "$loop"';
      disk = await privateDisk(`truncate --size=256M "$DISK.img"; mkfs.ext4 -q -F "$DISK.img"; ${attach}`);
      try {
        const data = join(disk.path, "data");
        const port = await freePort();
        server = await startProcess(data, port, { ASSAY_DISK_FLOOR: "0" }, disk.within);
        const { url } = server;
        const clients = new Clients(url, "before", 4, 2);
        await expect.poll(() => clients.images.length, { timeout: 20_000 }).toBeGreaterThan(5);
        // What the kernel does when it finds such a file system damaged, with every file still open.
        disk.run('echo 1 > /sys/fs/ext4/$(basename $(findmnt --noheadings --output SOURCE "$DISK"))/trigger_fs_error');
        await expect.poll(() => clients.refused.length, { timeout: 20_000 }).toBeGreaterThan(10);
        await expect.poll(async () => (await readiness(url)).status, { timeout: 10_000 }).toBe(503);
        await clients.stop();
        expect(complaints(clients)).toEqual([]);
        await expectImages(url, clients);
        // Nothing makes it writable again but unmounting it: that is the operator's part.
        server.signal("SIGTERM");
        await server.ended;
        disk.run(`umount "$DISK"; e2fsck -p "$DISK.img" || test $? -eq 1; ${attach}`);
        server = await startProcess(data, port, { ASSAY_DISK_FLOOR: "0" }, disk.within);
        await expectAll(url, clients);
        const after = new Clients(url, "after", 2, 1);
        await expect.poll(() => after.images.length, { timeout: 20_000 }).toBeGreaterThan(3);
        await after.stop();
        expect(after.refused).toEqual([]);
        expect(check(disk, data)).toMatch(/exit 0$/);
        server.signal("SIGTERM");
        expect(await server.ended).toBe(0);
      } finally {
        rmSync(`${disk.path}.img`, { force: true });
      }
    },
    120_000,
  );
});
