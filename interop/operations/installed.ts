import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RecordReceipt } from "@assay/evidence";
import { expect } from "vitest";
import { type Home, makeHome } from "../harness.ts";
import { stepsOf } from "./guide.ts";
import { type Machine, startMachine } from "./machine.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A machine with a reader's clone on it, in which procedures are followed. */
export interface ReadersMachine {
  readonly machine: Machine;
  /** Where the clone is. */
  readonly clone: string;
  /** Follows lines in the clone. Expects them to end well; gives their standard output. */
  readonly must: (script: string) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** Boots a machine and puts a clone there. `clients`: folders of programs that the procedures call. */
export async function startReadersMachine(clients: readonly string[] = []): Promise<ReadersMachine> {
  const home: Home = makeHome();
  const clone = home.path("clone");
  mkdirSync(clone);
  for (const name of ["bin", "docs", "packages", "scripts", "package.json", "tsconfig.base.json"])
    cpSync(join(root, name), join(clone, name), { recursive: true, filter: (path) => !path.includes("node_modules") });
  symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
  const machine = await startMachine([...clients, join(root, "node_modules/.bin"), dirname(process.execPath)]);
  return {
    machine,
    clone,
    async must(script) {
      const { code, stdout, stderr } = await machine.follow(script, { cwd: clone });
      expect(code, `${script}\n${stdout}${stderr}`).toBe(0);
      return stdout;
    },
    async stop() {
      await machine.stop();
      home.remove();
    },
  };
}

const INSTALL = "Install as a systemd unit";

/** Follows "Install as a systemd unit" up to the running service. */
export async function installService({ must }: ReadersMachine): Promise<void> {
  const [build, install, ready] = stepsOf(INSTALL);
  // What `npm ci` installs is there already, and the machine reaches no registry.
  expect(build).toBe("npm ci && npm run build\n");
  await must("npm run build");
  await must(install ?? "");
  expect(await must(ready ?? "")).toContain('"status":"ready"');
}

/** Waits until the service is ready, as the guide does. */
export async function ready({ must }: ReadersMachine): Promise<void> {
  expect(await must(stepsOf(INSTALL)[2] ?? "")).toContain('"status":"ready"');
}

const SERVICE = "http://127.0.0.1:8400";

/** What a person or a pipeline does with the service of a machine: through its doors, as the bootstrap admin. */
export interface Client {
  /** Pushes an image of `size` random bytes; gives its digest. */
  push(tag: string, size?: number): Promise<string>;
  /** The digest a tag has; undefined when there is none. */
  digest(tag: string): Promise<string | undefined>;
  /** The body of an answer. */
  get(path: string): Promise<string>;
  post(path: string, body: object): Promise<string>;
  /** A line of the command line: `record prove 3`. */
  assay(line: string): Promise<string>;
  /** Entries under the published checkpoint. */
  size(): Promise<number>;
  /** The newest event's receipt. */
  receipt(): Promise<RecordReceipt>;
}

/** A client of the service on its own machine. Needs crane there. */
export function clientOf({ must }: ReadersMachine): Client {
  // The data directory moves in some procedures; the token in it is the newest.
  const token =
    'token=$(cat "$(sed -n s/^ASSAY_DATA=//p /etc/assay/assay.env | grep . || echo /var/lib/assay)/admin-token")';
  const curl = `curl --silent --show-error --fail -H "authorization: Bearer $token"`;
  const client: Client = {
    async push(tag, size = 100_000) {
      const pushed = await must(`${token}
        export DOCKER_CONFIG=$(mktemp -d)
        printf '{"auths":{"127.0.0.1:8400":{"auth":"%s"}}}' "$(printf %s "admin:$token" | base64 -w 0)" > "$DOCKER_CONFIG/config.json"
        cd "$DOCKER_CONFIG" && head -c ${size} /dev/urandom > big && tar -cf layer.tar big
        crane append --insecure --new_layer layer.tar --new_tag 127.0.0.1:8400/app:${tag} 2>/dev/null
        rm -rf "$DOCKER_CONFIG"
        sleep 0.5 # crane waits for no receipt: what it wrote is published a moment later`);
      return pushed.trim().split("@")[1] ?? "";
    },
    async digest(tag) {
      const head = await must(
        `${token}; curl --silent --head --user "admin:$token" ${SERVICE}/v2/default/app/manifests/${tag}`,
      );
      return /^docker-content-digest: (\S+)/im.exec(head)?.[1];
    },
    get: (path) => must(`${token}; ${curl} '${SERVICE}${path}'`),
    post: (path, body) =>
      must(`${token}; ${curl} -H 'content-type: application/json' -d '${JSON.stringify(body)}' '${SERVICE}${path}'`),
    assay: (line) => must(`${token}; ASSAY_URL=${SERVICE} ASSAY_TOKEN="$token" assay ${line}`),
    size: async () => Number((await client.get("/logs/record/checkpoint")).split("\n")[1]),
    receipt: async () =>
      JSON.parse(await client.get(`/api/assay/v1/record/${(await client.size()) - 1}/receipt`)) as RecordReceipt,
  };
  return client;
}
