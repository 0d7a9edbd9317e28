import { randomBytes } from "node:crypto";
import { cp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { rotateDirectory } from "../src/admin/rotate-master-key.ts";
import { Keyring } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import { type RotationOptions, type RotationStep, rotateMasterKey } from "../src/keys/rotation.ts";
import { keyDirectory } from "../src/record/open.ts";
import { openCore, take, temporaryDirectory } from "./core.ts";
import { dropPlace, ENGINE, placeOf } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { s3Of } from "./stored-blobs.ts";

const OLD = randomBytes(32).toString("base64");
const NEW = randomBytes(32).toString("hex");
const quiet = (): void => undefined;

let origin: { path: string; dispose: () => Promise<void> };
let ids: string[];

const idsUnder = (directory: string, master: MasterKey): string[] => {
  const keyring = Keyring.open(keyDirectory(directory), master);
  return (["log-record", "registry-token", "vsa"] as const).map((purpose) => keyring.key(purpose).id);
};

/** A record's keys, under a master key of the data directory. */
beforeAll(async () => {
  origin = await temporaryDirectory();
  const core = await openCore(origin.path);
  await core.stop();
  ids = idsUnder(origin.path, MasterKey.fromDirectory(origin.path, false));
});
afterAll(() => origin.dispose());

/** The four ways: from the directory's file or the environment, to a fresh one or a given one. */
const WAYS: readonly { what: string; configured: string | undefined; next: string | undefined }[] = [
  { what: "from master.key to a fresh one", configured: undefined, next: undefined },
  { what: "from master.key to a given one", configured: undefined, next: NEW },
  { what: "from ASSAY_MASTER_KEY to a given one", configured: OLD, next: NEW },
  { what: "from ASSAY_MASTER_KEY to a fresh one", configured: OLD, next: undefined },
];

async function copyFor(
  way: (typeof WAYS)[number],
): Promise<{ directory: string; options: RotationOptions; dispose: () => Promise<void> }> {
  const { path, dispose } = await temporaryDirectory();
  await cp(keyDirectory(origin.path), keyDirectory(path), { recursive: true });
  await cp(join(origin.path, "master.key"), join(path, "master.key"));
  if (way.configured !== undefined) {
    await rotateDirectory({ dataDirectory: path, newMasterKey: way.configured, tell: quiet });
  }
  const options = {
    dataDirectory: path,
    keyDirectory: keyDirectory(path),
    configured: way.configured,
    next: way.next,
  };
  return { directory: path, options, dispose };
}

/** Runs the change and ends it, as a crash would, after so many durable steps. */
async function crashAfter(count: number, options: RotationOptions): Promise<RotationStep[]> {
  const steps: RotationStep[] = [];
  for await (const step of rotateMasterKey(options)) {
    steps.push(step);
    if (steps.length === count) break;
  }
  return steps;
}

describe.each(WAYS)("a change of the master key $what", (way) => {
  it("leaves the same keys under the new master key alone", async () => {
    const { directory, options, dispose } = await copyFor(way);
    const before = MasterKey.choose(way.configured, directory, false);
    await crashAfter(Number.POSITIVE_INFINITY, options);
    const after = MasterKey.choose(way.next, directory, false);
    expect(idsUnder(directory, after)).toEqual(ids);
    expect(() => Keyring.open(keyDirectory(directory), before)).toThrowError(
      expect.objectContaining({ code: "key-unreadable" }),
    );
    for (const name of Keyring.fileNames(keyDirectory(directory)))
      Keyring.inspect(keyDirectory(directory), name, after);
    expect((await readdir(directory)).includes("master.key")).toBe(way.next === undefined);
    const mode = way.next === undefined ? (await stat(join(directory, "master.key"))).mode & 0o777 : 0o600;
    expect(mode).toBe(0o600);
    await dispose();
  });

  it("goes on where it was after a crash at any step", async () => {
    const { options: whole, dispose } = await copyFor(way);
    const steps = (await crashAfter(Number.POSITIVE_INFINITY, whole)).length;
    await dispose();
    expect(steps).toBeGreaterThanOrEqual(ids.length);
    for (let count = 1; count <= steps; count += 1) {
      const { directory, options, dispose: done } = await copyFor(way);
      expect((await crashAfter(count, options)).length).toBe(count);
      // With a fresh key a server starts at every moment; the last step from the environment waits for the operator.
      const last = count === steps && way.configured !== undefined;
      const starts = way.next === undefined && !last;
      expect(starts ? idsUnder(directory, MasterKey.choose(way.configured, directory, false)) : ids).toEqual(ids);
      await crashAfter(Number.POSITIVE_INFINITY, options);
      expect(idsUnder(directory, MasterKey.choose(way.next, directory, false))).toEqual(ids);
      expect(await readdir(directory)).not.toContain("master.key.new");
      await done();
    }
  });
});

describe("a change of the master key that cannot be ended", () => {
  it("is not begun: a file under a third key leaves all as they are", async () => {
    const { directory, options, dispose } = await copyFor({ what: "", configured: undefined, next: NEW });
    const path = join(keyDirectory(directory), "vsa.key.json");
    const file = JSON.parse(await readFile(path, "utf8")) as { sealed: { tag: string } };
    file.sealed.tag = randomBytes(16).toString("base64");
    await writeFile(path, JSON.stringify(file));
    const before = await Promise.all(
      (await readdir(keyDirectory(directory))).map((name) => readFile(join(keyDirectory(directory), name))),
    );
    await expect(crashAfter(1, options)).rejects.toMatchObject({ code: "key-unreadable" });
    expect(
      await Promise.all(
        (await readdir(keyDirectory(directory))).map((name) => readFile(join(keyDirectory(directory), name))),
      ),
    ).toEqual(before);
    await dispose();
  });

  it("is refused where there are no keys, to the same key, and to a given one over a fresh one half done", async () => {
    const empty = await temporaryDirectory();
    await expect(rotateDirectory({ dataDirectory: empty.path, tell: quiet })).rejects.toMatchObject({
      code: "key-missing",
    });
    await empty.dispose();
    const { options, dispose } = await copyFor({ what: "", configured: OLD, next: OLD });
    await expect(crashAfter(1, options)).rejects.toMatchObject({ code: "config-invalid" });
    const own = await copyFor({ what: "", configured: undefined, next: NEW });
    const same = (await readFile(join(own.directory, "master.key"), "utf8")).trim();
    await expect(crashAfter(1, { ...own.options, next: same })).rejects.toMatchObject({ code: "config-invalid" });
    await own.dispose();
    await crashAfter(1, { ...options, next: undefined });
    await expect(crashAfter(1, { ...options, next: NEW })).rejects.toMatchObject({ code: "config-invalid" });
    await dispose();
  });
});

describe("a change of the master key of a server", () => {
  const rotate = async ({ dataDirectory }: Instance) =>
    rotateDirectory({ ...(await placeOf(dataDirectory)), tell: quiet });

  /** Starts a stopped server again, lets it write, and looks whether everything holds. */
  async function goesOn(instance: Instance): Promise<void> {
    const place = await placeOf(instance.dataDirectory);
    await instance.restart();
    expect((await instance.api("POST", "/api/assay/v1/orgs", { name: "later" })).status).toBe(201);
    await instance.published();
    await instance.halt();
    const report = await checkDirectory({ ...place, s3: s3Of(instance.dataDirectory), tell: quiet });
    expect(report.findings).toEqual([]);
    await dropPlace(instance.dataDirectory);
    await rm(instance.dataDirectory, { recursive: true, force: true });
  }

  it.runIf(ENGINE === "sqlite")("waits for the server to stop with SQLite; then it starts and holds", async () => {
    const instance = await startInstance();
    await expect(rotate(instance)).rejects.toMatchObject({ code: "data-directory-busy" });
    await instance.halt();
    await rotate(instance);
    await goesOn(instance);
  });

  it.runIf(ENGINE === "postgres")("goes on beside the server with PostgreSQL; then it starts and holds", async () => {
    const instance = await startInstance();
    await rotate(instance);
    expect((await instance.api("POST", "/api/assay/v1/orgs", { name: "meanwhile" })).status).toBe(201);
    await instance.halt();
    await goesOn(instance);
  });

  it.runIf(ENGINE === "postgres")("is each host's own where hosts have copies of the keys", async () => {
    const first = await temporaryDirectory();
    const place = await placeOf(first.path);
    const core = await openCore(first.path);
    const second = await temporaryDirectory();
    await cp(keyDirectory(first.path), keyDirectory(second.path), { recursive: true });
    await cp(join(first.path, "master.key"), join(second.path, "master.key"));
    await rotateDirectory({ dataDirectory: second.path, databaseUrl: place.databaseUrl, tell: quiet });
    const other = await openCore(second.path, undefined, {
      dataDirectory: second.path,
      databaseUrl: place.databaseUrl,
    });
    for (const [index, { writer }] of [core, other].entries()) {
      expect((await writer.append(take(`by ${index}`))).ok).toBe(true);
    }
    await other.stop();
    await core.stop();
    await second.dispose();
    await first.dispose();
  });
});
