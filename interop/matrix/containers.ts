import { mkdirSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import { clientProgram } from "../clients.ts";
import type { MatrixClient, Place } from "./place.ts";

/** What refers by a subject is not theirs: they knew of no referrers yet. */
const NO_SUBJECT = { none: "it sets no subject" } as const;
const NO_REFERRERS = { none: "it does not ask for referrers" } as const;

/** Both want files of the machine's; here they are the home's. Neither runs a container. */
function settle({ home, server }: Place): Record<string, string> {
  const policies = home.path(".config/containers");
  mkdirSync(policies, { recursive: true });
  mkdirSync(home.path("runtime"), { recursive: true });
  writeFileSync(`${policies}/policy.json`, '{"default":[{"type":"insecureAcceptAnything"}]}\n');
  writeFileSync(home.path("registries.conf"), `[[registry]]\nlocation = "${server.host}"\ninsecure = true\n`);
  const quoted = (name: string): string => JSON.stringify(clientProgram(name));
  writeFileSync(
    home.path("containers.conf"),
    `[engine]
runtime = "crun"
tmp_dir = ${JSON.stringify(home.path("libpod"))}
conmon_path = [${quoted("conmon")}]
[engine.runtimes]
crun = [${quoted("crun")}]
`,
  );
  return {
    CONTAINERS_CONF: home.path("containers.conf"),
    CONTAINERS_REGISTRIES_CONF: home.path("registries.conf"),
    // Logins are kept below it: the machine's own are none of theirs.
    XDG_RUNTIME_DIR: home.path("runtime"),
    // It looks here first, and holds that the file is there.
    DOCKER_CONFIG: home.path("no-docker"),
  };
}

type Program = "podman" | "buildah";

/** A storage of the home's that needs no kernel's help. */
const storage = ({ home }: Place): string[] => {
  return ["--root", home.path("storage"), "--runroot", home.path("run"), "--storage-driver", "vfs"];
};

/** Runs one of the two, which must end well. */
const runIn = (program: Program, place: Place, args: string[]): Promise<string> =>
  place.home.must(program, [...storage(place), ...args], { env: settle(place) });

async function loginWith(program: Program, place: Place, password: string): Promise<boolean> {
  const login = [
    ...storage(place),
    "login",
    "--tls-verify=false",
    "-u",
    "admin",
    "--password-stdin",
    place.server.host,
  ];
  const { code, stdout, stderr } = await place.home.run(program, login, { env: settle(place), input: password });
  if (code !== 0 && !stderr.includes("invalid username/password")) throw new Error(`${program}: ${stdout}${stderr}`);
  return code === 0;
}

async function loggedIn(program: Program, place: Place): Promise<void> {
  await runIn(program, place, ["logout", place.server.host]);
  await expect(runIn(program, place, ["pull", `${place.repository}:pushed`])).rejects.toThrow(
    /unauthorized|authenticat/,
  );
  expect(await loginWith(program, place, place.server.adminToken)).toBe(true);
}

/** Takes the image into the storage, and pushes it from there. Its layers are packed anew, so that its digest is another. */
async function push(program: Program, place: Place): Promise<void> {
  await runIn(program, place, ["pull", "oci:image"]);
  await runIn(program, place, ["push", "--digestfile", "digest", "localhost/image", `${place.repository}:pushed`]);
  expect(await place.digest("pushed")).toBeDefined();
}

/** The image's id is the digest of its config: the same in the storage, at the server, and in what came out of it again. */
async function pull(program: Program, place: Place): Promise<void> {
  await runIn(program, place, ["rmi", "--all", "--force"]);
  const pulled = await runIn(program, place, ["pull", `${place.repository}@${await place.digest("pushed")}`]);
  expect(`sha256:${pulled.split("\n").at(-1)}`).toBe(place.image.config);
}

/** An index over what was pushed, pushed itself with all that it names: what these two have for a copy. */
async function copyIndex(program: Program, place: Place): Promise<void> {
  const { repository, path } = place;
  await runIn(program, place, ["manifest", "create", "list"]);
  await runIn(program, place, ["manifest", "add", "--tls-verify=false", "list", `docker://${repository}:pushed`]);
  await runIn(program, place, [
    "manifest",
    "push",
    "--tls-verify=false",
    "--all",
    "list",
    `docker://${repository}-copy:copied`,
  ]);
  const member = await place.digest("pushed");
  expect(await place.digest(member ?? "", `${path}-copy`)).toBe(member);
}

export const buildah: MatrixClient = {
  name: "buildah",
  login: (place, password) => loginWith("buildah", place, password),
  cells: {
    "log in": (place) => loggedIn("buildah", place),
    push: (place) => push("buildah", place),
    pull: (place) => pull("buildah", place),
    copy: (place) => copyIndex("buildah", place),
    list: { none: "it lists its own storage only; skopeo is its companion" },
    attach: NO_SUBJECT,
    discover: NO_REFERRERS,
    delete: { none: "it deletes from its own storage only; skopeo is its companion" },
  },
};

export const podman: MatrixClient = {
  name: "podman",
  login: (place, password) => loginWith("podman", place, password),
  cells: {
    "log in": (place) => loggedIn("podman", place),
    push: (place) => push("podman", place),
    pull: (place) => pull("podman", place),
    copy: async (place) => {
      await copyIndex("podman", place);
      const seen = await runIn("podman", place, ["manifest", "inspect", `${place.repository}-copy:copied`]);
      expect(seen).toContain(await place.digest("pushed"));
    },
    list: async (place) => {
      const listed = (await runIn("podman", place, ["search", "--list-tags", place.repository])).split("\n").slice(1);
      expect(listed.map((row) => row.split(/\s+/)[1])).toEqual(await place.tags());
      const found = await runIn("podman", place, ["search", "--format", "{{.Name}}", place.repository]);
      expect(found.split("\n")).toContain(place.repository);
    },
    attach: NO_SUBJECT,
    discover: NO_REFERRERS,
    delete: { none: "it deletes from its own storage only; skopeo is its companion" },
  },
};
