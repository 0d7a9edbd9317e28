import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { helperErase, helperGet, helperStore } from "../src/keyring/docker-helper.ts";
import { type Keyring, keyringHere, keyringNamed } from "../src/keyring/keyring.ts";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

/** Programs that keep secrets in files of a folder, speaking as the real ones do; ARGS sees what everybody would see. */
const FAKES: Readonly<Record<string, string>> = {
  "secret-tool": `verb=$1; shift
[ -e "$VAULT/locked" ] && { echo "secret-tool: Cannot reach the keyring" >&2; exit 1; }
[ "$verb" = store ] && shift
f="$VAULT/$(printf '%s' "$*" | base64 -w0 | tr / _)"
case $verb in
  store) cat > "$f" ;;
  lookup) [ -e "$f" ] || exit 1; cat "$f" ;;
  clear) rm -f "$f" ;;
esac`,
  security: `if [ "$1" = -i ]; then
  read -r line; account=$(printf '%s' "$line" | sed 's/.* -a "\\([^"]*\\)".*/\\1/'); hex=\${line##* -X }
  printf "$(printf '%s' "$hex" | sed 's/../\\\\x&/g')" > "$VAULT/$(printf '%s' "$account" | base64 -w0 | tr / _)"; exit 0
fi
f="$VAULT/$(printf '%s' "$5" | base64 -w0 | tr / _)"
[ -e "$f" ] || { echo "The specified item could not be found in the keychain." >&2; exit 44; }
case $1 in
  find-generic-password) cat "$f"; echo ;;
  delete-generic-password) rm "$f" ;;
esac`,
  "docker-credential-fake": `input=$(cat)
key() { printf '%s' "$1" | base64 -w0 | tr / _; }
case $1 in
  store) url=$(printf '%s' "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); printf '%s' "$input" > "$VAULT/$(key "$url")" ;;
  get) [ -e "$VAULT/$(key "$input")" ] || { echo "credentials not found in native keychain"; exit 1; }; cat "$VAULT/$(key "$input")" ;;
  erase) [ -e "$VAULT/$(key "$input")" ] || { echo "credentials not found in native keychain"; exit 1; }; rm "$VAULT/$(key "$input")" ;;
esac`,
  "docker-credential-broken": "echo nonsense",
  "docker-credential-forgetful": "cat > /dev/null; [ $1 = get ] && { echo credentials not found; exit 1; }; exit 0",
};

let desk: Desk;
let env: Record<string, string>;

beforeEach(() => {
  desk = new Desk();
  for (const folder of ["bin", "vault"]) mkdirSync(desk.path(folder));
  for (const [name, script] of Object.entries(FAKES)) {
    const traced = `#!/bin/bash\necho "$0 $*" >> "$VAULT/../args"\n${script}\n`;
    writeFileSync(desk.path(join("bin", name)), traced, { mode: 0o755 });
  }
  env = {
    PATH: `${desk.path("bin")}:/usr/bin:/bin`,
    VAULT: desk.path("vault"),
    DBUS_SESSION_BUS_ADDRESS: "unix:path=/nowhere",
  };
});
afterEach(() => desk.remove());

const SECRET = 'assay_0123_"quo\\te$ $(x)';
const KEYRINGS = ["secret-service", "macos-keychain", "docker-credential-fake"];

describe.each(KEYRINGS)("the keyring %s", (name) => {
  let keyring: Keyring;
  beforeEach(() => {
    keyring = keyringNamed(name, env);
  });

  it("gives back what it was given, under each account its own, until it is erased", async () => {
    await keyring.set("https://one", SECRET);
    await keyring.set("https://two (profile ci)", "other");
    expect(await keyring.get("https://one")).toBe(SECRET);
    expect(await keyring.get("https://two (profile ci)")).toBe("other");
    await keyring.erase("https://one");
    expect(await keyring.get("https://one")).toBeUndefined();
    await keyring.erase("https://one");
    expect(await keyring.get("https://two (profile ci)")).toBe("other");
  });

  it("never puts a secret into arguments, which everybody sees", async () => {
    await keyring.set("https://one", SECRET);
    await keyring.get("https://one");
    const args = readFileSync(desk.path("args"), "utf8");
    expect(args).not.toContain(SECRET);
    expect(args).not.toContain(Buffer.from(SECRET).toString("hex"));
  });

  it("that is not installed is an error and no missing secret", async () => {
    const nowhere = keyringNamed(name, { ...env, PATH: desk.path("vault") });
    await expect(nowhere.get("https://one")).rejects.toMatchObject({
      exit: 3,
      code: name.startsWith("docker") ? "credential-helper" : "keyring-failed",
    });
  });
});

describe("choosing a keyring", () => {
  it("takes the helper that is configured", () => {
    expect(keyringHere(env, "fake")?.name).toBe("docker-credential-fake");
  });

  it.runIf(process.platform === "linux")("takes the Secret Service where there is a session to ask", () => {
    expect(keyringHere(env, undefined)?.name).toBe("secret-service");
    expect(keyringHere({ ...env, DBUS_SESSION_BUS_ADDRESS: "" }, undefined)).toBeUndefined();
    expect(keyringHere({ ...env, PATH: desk.path("vault") }, undefined)).toBeUndefined();
    // What lies in a relative part of the PATH is anybody's.
    expect(keyringHere({ ...env, PATH: "bin:." }, undefined)).toBeUndefined();
  });

  it("refuses our own helper, which would ask itself for ever, and a name that is none", () => {
    expect(() => keyringHere(env, "assay")).toThrow(expect.objectContaining({ exit: 2 }));
    expect(() => keyringNamed("nonsense", env)).toThrow(expect.objectContaining({ code: "keyring-unknown" }));
  });

  it("tells a locked secret service from one that has nothing", async () => {
    writeFileSync(desk.path("vault/locked"), "");
    await expect(keyringNamed("secret-service", env).get("https://one")).rejects.toMatchObject({
      code: "keyring-failed",
      message: "the keyring secret-service failed: secret-tool: Cannot reach the keyring",
    });
  });
});

describe("a credential helper of Docker's", () => {
  it("is refused when it does not keep to the protocol, or its name could be another program", async () => {
    await expect(helperGet("broken", "k", env)).rejects.toMatchObject({ code: "credential-helper" });
    await expect(helperGet("../../bin/sh", "k", env)).rejects.toMatchObject({ code: "credential-helper" });
    await helperStore("fake", "k", { username: "u", secret: "s" }, env);
    expect(await helperGet("fake", "k", env)).toEqual({ username: "u", secret: "s" });
    await helperErase("fake", "k", env);
    expect(await helperGet("fake", "k", env)).toBeUndefined();
  });
});

describe("assay login", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.stop());

  const file = (): string => desk.path(".config/assay/config.json");
  const login = (...words: string[]) => desk.assayWith(env, "login", server.url, "--token", server.token, ...words);

  it("keeps the token in the keyring where there is one, and every verb finds it there", async () => {
    const ran = await login();
    expect(ran).toMatchObject({ exit: 0, stderr: "" });
    expect(ran.stdout).toMatch(/kept in +the keyring (?:secret-service|macos-keychain)/);
    expect(readFileSync(file(), "utf8")).not.toContain(server.token);
    expect((await desk.assayWith(env, "org", "list")).exit).toBe(0);
    // Gone from the keyring, it is said so: nothing else is tried in its place.
    rmSync(desk.path("vault"), { recursive: true });
    mkdirSync(desk.path("vault"));
    const gone = await desk.assayWith(env, "org", "list");
    expect(gone).toMatchObject({ exit: 3, stdout: "" });
    expect(gone.stderr).toContain("[token-gone]");
  });

  it("keeps it in a file for its owner only when told to, and says so", async () => {
    expect((await login("--store", "file")).stdout).toMatch(/kept in +.*config\.json, a file that only you can read\n/);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });

  it.runIf(process.platform === "linux")("keeps it in the file where there is no keyring, and says so", async () => {
    env = { ...env, DBUS_SESSION_BUS_ADDRESS: "" };
    expect((await login()).stdout).toContain("a file that only you can read (no keyring was found)");
    const ran = await login("--store", "keyring");
    expect(ran).toMatchObject({ exit: 2, stdout: "" });
    expect(ran.stderr).toContain("[keyring-missing]");
  });

  it("falls back to the file, with a warning, where a keyring fails that nobody asked for by name", async () => {
    writeFileSync(desk.path("vault/locked"), "");
    await desk.must("config", "set", "credential-helper", "broken");
    const ran = await login();
    expect(ran.exit).toBe(0);
    expect(ran.stderr).toContain("warning: the credential helper");
    expect(readFileSync(file(), "utf8")).toContain(server.token);
    expect(await login("--store", "keyring")).toMatchObject({ exit: 3, stdout: "" });
  });

  it("does not trust a keyring that takes a token and does not give it back", async () => {
    await desk.must("config", "set", "credential-helper", "forgetful");
    expect(await login("--store", "keyring")).toMatchObject({ exit: 3 });
    expect((await login()).stderr).toContain("did not give back");
  });

  it("uses the credential helper that is configured", async () => {
    await desk.must("config", "set", "credential-helper", "fake");
    expect((await login()).stdout).toContain("the keyring docker-credential-fake");
    expect((await desk.assayWith(env, "org", "list")).exit).toBe(0);
  });

  it("leaves nothing behind in the keyring after logout, nor when the token moves into the file", async () => {
    const kept = (): boolean => vault().length > 0;
    await login();
    expect(kept()).toBe(true);
    expect((await desk.assayWith(env, "logout")).stdout).toContain("forgot");
    expect(kept()).toBe(false);
    await login();
    await login("--store", "file");
    expect(kept()).toBe(false);
  });

  it("under a profile is that profile's alone", async () => {
    await desk.must("profile", "add", "me", "--server", server.url);
    expect((await login("--profile", "me")).exit).toBe(0);
    expect((await desk.assayWith(env, "org", "list", "--server", server.url)).exit).toBe(3);
    expect((await desk.assayWith(env, "org", "list", "--profile", "me")).exit).toBe(0);
    expect((await desk.assayWith(env, "profile", "remove", "me")).exit).toBe(0);
    expect(vault()).toEqual([]);
  });

  /** What the keyring holds. */
  function vault(): string[] {
    return readdirSync(desk.path("vault"));
  }
});
