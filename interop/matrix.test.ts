import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLIENTS } from "./clients.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { MATRIX } from "./matrix/clients.ts";
import { type Cell, Place, VERBS } from "./matrix/place.ts";

let server: Server;

beforeAll(async () => {
  server = await startServer();
});

afterAll(async () => {
  await server.stop();
});

describe.each(MATRIX)("$name, of the clients that a registry is for", (client) => {
  let home: Home;
  let place: Place;

  beforeAll(async () => {
    home = makeHome();
    place = new Place(client.name, server, home);
    expect(await client.login(place, server.adminToken)).toBe(true);
  });

  afterAll(() => home.remove());

  it("gets nowhere with a wrong password", async () => {
    const stranger = makeHome();
    try {
      const elsewhere = new Place(client.name, server, stranger);
      const cell: Cell = client.cells.push;
      if ("none" in cell) throw new Error("each of them pushes");
      // Some ask the server at once; others keep what they were told, and hear of it when they push.
      const tried = (await client.login(elsewhere, "wrong"))
        ? cell(elsewhere)
        : Promise.reject(new Error("unauthorized"));
      await expect(tried).rejects.toThrow(/UNAUTHORIZED|401|unauthorized/);
      expect(await place.digest("pushed")).toBeUndefined();
    } finally {
      stranger.remove();
    }
  });

  for (const verb of VERBS) {
    const cell = client.cells[verb];
    if ("none" in cell) continue;
    it(`can ${verb}`, async () => {
      await expect(cell(place)).resolves.toBeUndefined();
    });
  }
});

describe("the matrix", () => {
  it("is the one that the registry's README shows", () => {
    const rows = MATRIX.map(({ name, cells }) => {
      const version = CLIENTS.find((client) => client.name === name)?.version.replace(/^v/, "");
      return `| ${[`${name} ${version}`, ...VERBS.map((verb) => ("none" in cells[verb] ? "–" : "yes"))].join(" | ")} |`;
    });
    const readme = readFileSync(new URL("../packages/server/src/registry/README.md", import.meta.url), "utf8");
    expect(readme).toContain(
      [`| | ${VERBS.join(" | ")} |`, `|${" --- |".repeat(VERBS.length + 1).replaceAll(" ", "")}`, ...rows].join("\n"),
    );
  });

  it("says of each client why it cannot do what it cannot", () => {
    const silent = MATRIX.flatMap(({ name, cells }) =>
      VERBS.filter((verb) => "none" in cells[verb] && cells[verb].none === "").map((verb) => `${name}: ${verb}`),
    );
    expect(silent).toEqual([]);
  });
});
