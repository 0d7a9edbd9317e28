import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { selfSignedCertificate } from "../src/tls.ts";
import { temporaryDirectory } from "./core.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;

beforeEach(async () => {
  directory = await temporaryDirectory();
});

afterEach(() => directory.dispose());

const file = (name: string): string => join(directory.path, "tls", name);
const make = (): Promise<{ cert: string; key: string }> =>
  selfSignedCertificate(join(directory.path, "tls"), "localhost");

it("keeps a self-signed certificate from one start to the next", async () => {
  const first = await make();
  expect(await make()).toEqual(first);
});

it("makes certificate and key anew when a crash left the key of one beside another", async () => {
  const first = await make();
  const other = await selfSignedCertificate(join(directory.path, "other"), "localhost");
  await writeFile(file("key.pem"), other.key);
  const next = await make();
  expect(new X509Certificate(next.cert).checkPrivateKey(createPrivateKey(next.key))).toBe(true);
  expect(next.cert).not.toBe(first.cert);
  expect(await readFile(file("key.pem"), "utf8")).toBe(next.key);
});
