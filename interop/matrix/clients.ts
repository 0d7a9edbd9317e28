/** The rows of the matrix: how each client does what a registry is for, and what it cannot do. */
import { writeFileSync } from "node:fs";
import { expect } from "vitest";
import { buildah, podman } from "./containers.ts";
import { helm } from "./helm.ts";
import type { MatrixClient, Place } from "./place.ts";

const REPORT = "application/vnd.example.report";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

/** A manifest of its own under a tag, which `remove` takes away by its digest. */
async function expectDeleted(place: Place, remove: (digest: string) => Promise<unknown>): Promise<void> {
  const digest = await place.another("doomed");
  expect(await place.digest("doomed")).toBe(digest);
  await remove(digest);
  expect(await place.digest(digest)).toBeUndefined();
  expect(await place.tags()).not.toContain("doomed");
  expect(await place.digest("pushed")).toBeDefined();
}

/** A file to attach, in the home. @returns its name. */
function report({ home }: Place): string {
  writeFileSync(home.path("report.json"), '{"findings":[]}\n');
  return "report.json";
}

const crane: MatrixClient = {
  name: "crane",
  login: async ({ home, server }, password) =>
    (await home.run("crane", ["auth", "login", server.host, "-u", "admin", "-p", password])).code === 0,
  cells: {
    "log in": async ({ home, server }) => {
      expect(await home.must("crane", ["catalog", server.host])).toBeDefined();
    },
    push: async ({ home, image, repository }) => {
      const pushed = await home.must("crane", ["push", image.layout, `${repository}:pushed`]);
      expect(pushed).toBe(`${repository}@${image.digest}`);
    },
    pull: async (place) => {
      const { home, image, repository } = place;
      await home.must("crane", ["pull", "--format=oci", `${repository}:pushed`, "pulled"]);
      for (const digest of [image.digest, image.config, ...image.layers])
        expect(place.blob(home.path("pulled"), digest)).toEqual(place.blob(image.layout, digest));
    },
    copy: async (place) => {
      const { home, image, repository, path } = place;
      await home.must("crane", ["copy", `${repository}:pushed`, `${repository}-copy:copied`]);
      expect(await place.digest("copied", `${path}-copy`)).toBe(image.digest);
    },
    list: async (place) => {
      expect(lines(await place.home.must("crane", ["ls", place.repository]))).toEqual(await place.tags());
    },
    attach: { none: "it sets no subject" },
    discover: { none: "it does not ask for referrers" },
    delete: (place) =>
      expectDeleted(place, (digest) => place.home.must("crane", ["delete", `${place.repository}@${digest}`])),
  },
};

const oras: MatrixClient = {
  name: "oras",
  login: async ({ home, server }, password) =>
    (
      await home.run("oras", ["login", "--plain-http", server.host, "-u", "admin", "--password-stdin"], {
        input: password,
      })
    ).code === 0,
  cells: {
    "log in": async ({ home, server }) => {
      expect(await home.must("oras", ["repo", "ls", "--plain-http", server.host])).toBeDefined();
    },
    push: async (place) => {
      const { home, repository } = place;
      const push = ["push", "--plain-http", `${repository}:pushed`, "--artifact-type", "application/vnd.example.files"];
      await home.must("oras", [...push, report(place)]);
      expect(await place.digest("pushed")).toBeDefined();
      const { image } = place;
      const copy = ["cp", "--to-plain-http", "--from-oci-layout", `${image.layout}@${image.digest}`];
      await home.must("oras", [...copy, `${repository}:pushed`]);
      expect(await place.digest("pushed")).toBe(image.digest);
    },
    pull: async (place) => {
      const { home, image, repository } = place;
      const copy = ["cp", "--from-plain-http", "--to-oci-layout", `${repository}:pushed`];
      await home.must("oras", [...copy, "pulled:pushed"]);
      for (const digest of [image.digest, image.config, ...image.layers])
        expect(place.blob(home.path("pulled"), digest)).toEqual(place.blob(image.layout, digest));
    },
    copy: async (place) => {
      const { home, image, repository, path } = place;
      const copy = ["cp", "--from-plain-http", "--to-plain-http", `${repository}:pushed`];
      await home.must("oras", [...copy, `${repository}-copy:copied`]);
      expect(await place.digest("copied", `${path}-copy`)).toBe(image.digest);
    },
    list: async (place) => {
      const tags = await place.home.must("oras", ["repo", "tags", "--plain-http", place.repository]);
      expect(lines(tags)).toEqual(await place.tags());
    },
    attach: async (place) => {
      const attach = ["attach", "--plain-http", `${place.repository}:pushed`, "--artifact-type", REPORT];
      await place.home.must("oras", [...attach, report(place)]);
      expect(await place.referrers(place.image.digest)).toEqual([REPORT]);
    },
    discover: async ({ home, repository }) => {
      const discover = ["discover", "--plain-http", "--format", "json", "--artifact-type", REPORT];
      const found = JSON.parse(await home.must("oras", [...discover, `${repository}:pushed`])) as {
        referrers: { artifactType: string }[];
      };
      expect(found.referrers.map(({ artifactType }) => artifactType)).toEqual([REPORT]);
    },
    delete: (place) =>
      expectDeleted(place, (digest) =>
        place.home.must("oras", ["manifest", "delete", "--plain-http", "--force", `${place.repository}@${digest}`]),
      ),
  },
};

const regctl: MatrixClient = {
  name: "regctl",
  login: async ({ home, server }, password) => {
    await home.must("regctl", ["registry", "set", "--skip-check", "--tls", "disabled", server.host]);
    const login = ["registry", "login", server.host, "-u", "admin", "--pass-stdin"];
    return (await home.run("regctl", login, { input: password })).code === 0;
  },
  cells: {
    "log in": async ({ home, server }) => {
      expect(await home.must("regctl", ["repo", "ls", server.host])).toBeDefined();
    },
    push: async (place) => {
      const { home, image, repository } = place;
      await home.must("regctl", ["image", "copy", `ocidir://${image.layout}@${image.digest}`, `${repository}:pushed`]);
      expect(await place.digest("pushed")).toBe(image.digest);
    },
    pull: async (place) => {
      const { home, image, repository } = place;
      await home.must("regctl", ["image", "copy", `${repository}:pushed`, "ocidir://pulled:pushed"]);
      for (const digest of [image.digest, image.config, ...image.layers])
        expect(place.blob(home.path("pulled"), digest)).toEqual(place.blob(image.layout, digest));
    },
    copy: async (place) => {
      const { home, image, repository, path } = place;
      await home.must("regctl", ["image", "copy", `${repository}:pushed`, `${repository}-copy:copied`]);
      expect(await place.digest("copied", `${path}-copy`)).toBe(image.digest);
    },
    list: async (place) => {
      expect(lines(await place.home.must("regctl", ["tag", "ls", place.repository]))).toEqual(await place.tags());
    },
    attach: async (place) => {
      const put = ["artifact", "put", "--subject", `${place.repository}:pushed`, "--artifact-type", REPORT];
      await place.home.must("regctl", [...put, "-f", report(place)]);
      expect(await place.referrers(place.image.digest)).toEqual([REPORT]);
    },
    discover: async ({ home, repository }) => {
      const list = ["artifact", "list", "--filter-artifact-type", REPORT, "--format", "{{json .Descriptors}}"];
      const found = JSON.parse(await home.must("regctl", [...list, `${repository}:pushed`])) as {
        artifactType: string;
      }[];
      expect(found.map(({ artifactType }) => artifactType)).toEqual([REPORT]);
    },
    delete: (place) =>
      expectDeleted(place, (digest) =>
        place.home.must("regctl", ["manifest", "delete", `${place.repository}@${digest}`]),
      ),
  },
};

const skopeo: MatrixClient = {
  name: "skopeo",
  login: async ({ home, server }, password) => {
    const login = ["login", "--tls-verify=false", authfile(home), "-u", "admin", "--password-stdin", server.host];
    return (await home.run("skopeo", login, { input: password })).code === 0;
  },
  cells: {
    "log in": async ({ home, server }) => {
      await home.must("skopeo", ["logout", authfile(home), server.host]);
      const login = ["login", "--tls-verify=false", authfile(home), "-u", "admin", "--password-stdin", server.host];
      expect(await home.must("skopeo", login, { input: server.adminToken })).toContain("Login Succeeded");
    },
    push: async (place) => {
      await skopeoCopy(place, `oci:${place.image.layout}`, `docker://${place.repository}:pushed`);
      expect(await place.digest("pushed")).toBe(place.image.digest);
    },
    pull: async (place) => {
      const { home, image, repository } = place;
      await skopeoCopy(place, `docker://${repository}:pushed`, "oci:pulled:pushed");
      for (const digest of [image.digest, image.config, ...image.layers])
        expect(place.blob(home.path("pulled"), digest)).toEqual(place.blob(image.layout, digest));
    },
    copy: async (place) => {
      const { image, repository, path } = place;
      await skopeoCopy(place, `docker://${repository}:pushed`, `docker://${repository}-copy:copied`);
      expect(await place.digest("copied", `${path}-copy`)).toBe(image.digest);
    },
    list: async (place) => {
      const list = ["list-tags", authfile(place.home), "--tls-verify=false", `docker://${place.repository}`];
      const { Tags: tags } = JSON.parse(await place.home.must("skopeo", list)) as { Tags: string[] };
      expect(tags).toEqual(await place.tags());
    },
    attach: { none: "it sets no subject" },
    discover: { none: "it does not ask for referrers" },
    delete: (place) =>
      expectDeleted(place, () =>
        place.home.must("skopeo", [
          "--insecure-policy",
          "delete",
          authfile(place.home),
          "--tls-verify=false",
          `docker://${place.repository}:doomed`,
        ]),
      ),
  },
};

const authfile = (home: Place["home"]): string => `--authfile=${home.path("auth.json")}`;

const skopeoCopy = ({ home }: Place, from: string, to: string): Promise<string> =>
  home.must("skopeo", [
    "--insecure-policy",
    "copy",
    authfile(home),
    "--preserve-digests",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
    from,
    to,
  ]);

const cosign: MatrixClient = {
  name: "cosign",
  login: async ({ home, server }, password) =>
    (await home.run("cosign", ["login", server.host, "-u", "admin", "-p", password])).code === 0,
  cells: {
    // It keeps what it was given; `push` uses it.
    "log in": async (place) => {
      expect(await cosign.login(place, place.server.adminToken)).toBe(true);
    },
    push: async (place) => {
      const { home, image, repository } = place;
      await home.must("crane", ["push", image.layout, `${repository}:source`]);
      await home.must("cosign", ["save", "--dir", "saved", `${repository}:source`]);
      await home.must("cosign", ["load", "--dir", "saved", `${repository}:pushed`]);
      expect(await place.digest("pushed")).toBe(image.digest);
    },
    pull: async (place) => {
      const { home, image, repository } = place;
      await home.must("cosign", ["save", "--dir", "pulled", `${repository}:pushed`]);
      for (const digest of [image.digest, image.config, ...image.layers])
        expect(place.blob(home.path("pulled"), digest)).toEqual(place.blob(image.layout, digest));
    },
    copy: async (place) => {
      const { home, image, repository, path } = place;
      await home.must("cosign", ["copy", `${repository}:pushed`, `${repository}-copy:copied`]);
      expect(await place.digest("copied", `${path}-copy`)).toBe(image.digest);
    },
    list: { none: "it names one image at a time" },
    attach: async (place) => {
      const { home, image, repository } = place;
      await home.must("cosign", ["generate-key-pair", "--output-key-prefix", "ours"]);
      await home.must("cosign", ["signing-config", "create", "--out", "signing-config.json"]);
      const sign = ["sign", "--yes", "--key", "ours.key", "--signing-config", "signing-config.json"];
      await home.must("cosign", [...sign, `${repository}@${image.digest}`]);
      expect(await place.referrers(image.digest)).toEqual([BUNDLE]);
    },
    discover: async ({ home, image, repository }) => {
      const verify = ["verify", "--key", "ours.pub", "--insecure-ignore-tlog", `${repository}@${image.digest}`];
      expect(await home.must("cosign", verify)).toContain(image.digest);
      expect(await home.must("cosign", ["tree", `${repository}@${image.digest}`])).toContain(
        "sign/v1 artifacts via OCI referrer",
      );
    },
    delete: async (place) => {
      // The tags of cosign 2: of what refers by a subject it deletes nothing.
      const { home, image, repository } = place;
      const old = ["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"];
      const named = `${repository}@${image.digest}`;
      await home.must("cosign", ["sign", "--yes", "--key", "ours.key", ...old, "--allow-http-registry", named]);
      const tag = `${image.digest.replace(":", "-")}.sig`;
      expect(await place.tags()).toContain(tag);
      await home.must("cosign", ["clean", "--force", named]);
      expect(await place.tags()).not.toContain(tag);
    },
  },
};

export const MATRIX: readonly MatrixClient[] = [crane, oras, regctl, skopeo, cosign, helm, buildah, podman];
