/** Packages built by rpmbuild and signed by rpmsign: what rpmkeys says of them, Assay says. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readRpm, verifyRpm } from "@assay/evidence/openpgp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clientProgram } from "../clients.ts";
import { Gpg, provenAt } from "./gpg.ts";

const gpg = new Gpg();
const NOW = Math.floor(Date.now() / 1000);

/** rpmsign looks for gpg where it was built. */
const gpgProgram = execFileSync("sh", ["-c", "command -v gpg"], { encoding: "utf8" }).trim();

/** Runs one of rpm's programs; those unpacked from packages find their macros beside them. */
function rpm(name: "rpmbuild" | "rpmsign" | "rpmkeys", ...args: string[]): { ok: boolean; output: string } {
  const macros = fileURLToPath(
    new URL(`../../.cache/interop/modules/${name}/${join("root", "usr", "lib", "rpm")}`, import.meta.url),
  );
  const { status, stdout, stderr } = spawnSync(clientProgram(name), ["--dbpath", join(gpg.home, "rpmdb"), ...args], {
    env: {
      PATH: process.env["PATH"],
      HOME: gpg.home,
      GNUPGHOME: gpg.home,
      ...(existsSync(macros) ? { RPM_CONFIGDIR: macros } : {}),
    },
  });
  return { ok: status === 0, output: `${stdout.toString()}${stderr.toString()}` };
}

function done(result: { ok: boolean; output: string }): void {
  if (!result.ok) throw new Error(result.output);
}

/** A signed package, by the key of this name. */
function signedPackage(name: string, key: string, ...options: string[]): string {
  const spec = gpg.file(
    `${name}.spec`,
    `Name: ${name}\nVersion: 1\nRelease: 1\nSummary: A package\nLicense: none\nBuildArch: noarch\n%description\nA package.\n%install\nmkdir -p %{buildroot}/opt\necho ${name} > %{buildroot}/opt/${name}\n%files\n/opt/${name}\n`,
  );
  const top = join(gpg.home, "rpm");
  mkdirSync(top, { recursive: true });
  done(rpm("rpmbuild", "-bb", "--define", `_topdir ${top}`, "--define", "__os_install_post %{nil}", spec));
  const path = join(top, "RPMS", "noarch", `${name}-1-1.noarch.rpm`);
  if (key !== "")
    done(
      rpm(
        "rpmsign",
        "--define",
        `_gpg_name ${key}@example.org`,
        "--define",
        `_gpg_path ${gpg.home}`,
        "--define",
        `__gpg ${gpgProgram}`,
        ...options,
        "--addsign",
        path,
      ),
    );
  return path;
}

beforeAll(() => {
  for (const [name, algorithm] of [
    ["rsa", "rsa3072"],
    ["edward", "ed25519"],
    ["stranger", "rsa2048"],
  ] as const) {
    gpg.generate(name, algorithm, NOW - 86_400);
  }
  mkdirSync(join(gpg.home, "rpmdb"));
  for (const name of ["rsa", "edward"])
    done(rpm("rpmkeys", "--import", gpg.file(`${name}.asc`, gpg.certificate(name))));
});
afterAll(() => gpg.close());

async function bothSay(path: string): Promise<{ assay: boolean; rpm: boolean }> {
  const certificates = [gpg.certificate("rsa"), gpg.certificate("edward")];
  const result = await verifyRpm(new Uint8Array(readFileSync(path)), { certificates, times: provenAt(NOW + 60) });
  const { ok, output } = rpm("rpmkeys", "--checksig", path);
  return { assay: result.outcome === "good", rpm: ok && /signatures OK/.test(output) };
}

test("packages signed by RSA and Ed25519 keys, of the header alone and of both parts, are good to both", async () => {
  for (const [key, ...options] of [["rsa"], ["edward"], ["rsa", "--rpmv3"]] as const) {
    const path = signedPackage(`good-${key}${options.length}`, key, ...options);
    expect(await bothSay(path), `${key} ${options.join(" ")}`).toEqual({ assay: true, rpm: true });
  }
});

test("packages that are not signed, or by a stranger, are good to neither", async () => {
  expect(await bothSay(signedPackage("unsigned", ""))).toEqual({ assay: false, rpm: false });
  expect(await bothSay(signedPackage("strange", "stranger"))).toEqual({ assay: false, rpm: false });
});

test("a package altered anywhere behind its signatures is good to neither", async () => {
  const path = signedPackage("altered", "rsa");
  const file = new Uint8Array(readFileSync(path));
  const { payload, signatures } = readRpm(file);
  expect(signatures).toHaveLength(1);
  const header = signatures[0]?.document.length ?? 0;
  const start = file.length - payload.length - header;
  for (const at of [start + 20, start + header - 10, file.length - payload.length, file.length - 1]) {
    const altered = file.slice();
    altered[at] = (altered[at] ?? 0) ^ 1;
    expect(await bothSay(gpg.file("altered.rpm", altered)), `byte ${at}`).toEqual({ assay: false, rpm: false });
  }
});
