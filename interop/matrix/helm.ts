import { readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import type { MatrixClient, Place } from "./place.ts";

/** Makes and packs a chart of one template. @returns the archive's name in the home. */
async function pack({ home }: Place, version: string): Promise<string> {
  await home.must("mkdir", ["-p", "chart/templates"]);
  writeFileSync(home.path("chart/Chart.yaml"), `apiVersion: v2\nname: chart\nversion: ${version}\n`);
  writeFileSync(
    home.path("chart/templates/map.yaml"),
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  version: {{ .Chart.Version | quote }}\n",
  );
  await home.must("helm", ["package", "chart"]);
  return `chart-${version}.tgz`;
}

/** Charts: a repository of its own for each, named after it, below the one that is pushed to. */
export const helm: MatrixClient = {
  name: "helm",
  login: async ({ home, server }, password) => {
    const login = ["registry", "login", "--plain-http", server.host, "-u", "admin", "--password-stdin"];
    return (await home.run("helm", login, { input: password })).code === 0;
  },
  cells: {
    "log in": async (place) => {
      const { home, server } = place;
      await home.must("helm", ["registry", "logout", server.host]);
      const refused = await home.run("helm", [
        "push",
        await pack(place, "0.0.1"),
        `oci://${place.repository}`,
        "--plain-http",
      ]);
      expect(refused.code).not.toBe(0);
      expect(await helm.login(place, server.adminToken)).toBe(true);
    },
    push: async (place) => {
      const { home, repository, path } = place;
      for (const version of ["1.2.3", "1.10.0"]) {
        const pushed = await home.run("helm", [
          "push",
          await pack(place, version),
          `oci://${repository}`,
          "--plain-http",
        ]);
        expect(pushed.code, pushed.stderr).toBe(0);
        expect(pushed.stderr).toContain(await place.digest(version, `${path}/chart`));
      }
    },
    pull: async ({ home, repository }) => {
      const chart = `oci://${repository}/chart`;
      await home.must("helm", ["pull", chart, "--version", "1.2.3", "--plain-http", "-d", home.folder]);
      await home.must("mkdir", ["-p", "pulled"]);
      await home.must("helm", ["pull", chart, "--version", "1.2.3", "--plain-http", "-d", "pulled"]);
      expect(readFileSync(home.path("pulled/chart-1.2.3.tgz"))).toEqual(readFileSync(home.path("chart-1.2.3.tgz")));
      expect(await home.must("helm", ["show", "chart", chart, "--version", "1.2.3", "--plain-http"])).toContain(
        "1.2.3",
      );
      const shown = ["template", "release", chart, "--version", "1.2.3", "--plain-http"];
      expect(await home.must("helm", shown)).toContain('version: "1.2.3"');
    },
    copy: { none: "it pulls and pushes again" },
    list: async (place) => {
      // It lists in order to choose: the newest version that a range allows is a tag that it has to find.
      const { home, repository, path } = place;
      expect(await place.tags(`${path}/chart`)).toEqual(["1.10.0", "1.2.3"]);
      const show = ["show", "chart", `oci://${repository}/chart`, "--plain-http"];
      expect(await home.must("helm", show)).toContain("version: 1.10.0");
      expect(await home.must("helm", [...show, "--version", "~1.2"])).toContain("version: 1.2.3");
    },
    attach: { none: "a chart's provenance file is a layer of the chart; oras, regctl and cosign attach to it" },
    discover: { none: "it does not ask for referrers" },
    delete: { none: "it has no verb for it; oras and regctl delete charts" },
  },
};
