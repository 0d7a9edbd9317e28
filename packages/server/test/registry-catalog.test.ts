/** The list of all repositories, among many organisations. */
import type { FastifyReply } from "fastify";
import { expect, it } from "vitest";
import { parseApiKey } from "../src/access/api-key.ts";
import type { Actor } from "../src/record/command.ts";
import type { Services } from "../src/registry/exchange.ts";
import { catalog } from "../src/registry/list-routes.ts";
import type { Reader } from "../src/storage/database.ts";
import { openRegistryRoom } from "./registry-room.ts";

it("costs the same however many organisations there are in which somebody may see nothing", async () => {
  const organisations = Array.from({ length: 25 }, (_, at) => `org${String(at).padStart(2, "0")}`);
  const room = await openRegistryRoom(organisations);
  try {
    for (const org of organisations) await room.pushImage(`${org}/app`, "1.0.0");
    const id = parseApiKey(await room.person("ron", { org07: "reader", org19: "member" }))?.id ?? "";
    const actor: Actor = { id: "person:ron", credential: { kind: "api-key", id } };
    let asked = 0;
    const reader: Reader = {
      tables() {
        asked += 1;
        return room.reader.tables();
      },
    };
    let sent = "";
    const reply = {
      header: () => reply,
      send(body: Buffer) {
        sent = body.toString();
        return reply;
      },
    };
    await catalog(
      { reader } as unknown as Services,
      { actor, query: new URLSearchParams() },
      reply as unknown as FastifyReply,
    );
    expect(JSON.parse(sent)).toEqual({ repositories: ["org07/app", "org19/app"] });
    expect(asked).toBeLessThan(30);
  } finally {
    await room.stop();
  }
});
