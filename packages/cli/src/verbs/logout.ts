import type { Command } from "commander";
import { readConfig, writeConfig } from "../config.ts";
import type { Session } from "../session.ts";
import { normalizeServer, requireServer } from "../settings.ts";

export function define(command: Command, session: Session): void {
  command
    .description("forget what `assay login` keeps of a server")
    .argument("[server]", "the server's address (else the one in use)")
    .action(async (named: string | undefined) => {
      const server = named === undefined ? requireServer(await session.settings()) : normalizeServer(named);
      const config = await readConfig(session.env);
      const servers = new Map(config.servers);
      const known = servers.delete(server);
      const current = config.current === server ? undefined : config.current;
      if (known) await writeConfig(session.env, { current, servers });
      session.output.result({ server, forgotten: known }, known ? `forgot ${server}` : `nothing was kept of ${server}`);
    });
}
