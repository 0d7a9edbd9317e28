import { z } from "zod";
import { Problem } from "../http/problem.ts";
import type { RepositoryExchange, Services } from "./exchange.ts";

const exceeded = z.object({ scope: z.string(), used: z.int(), needed: z.int() });

/** Puts on record that something was refused for want of room. The refusal itself stands whatever comes of this. */
export async function noteExceeded(services: Services, exchange: RepositoryExchange, error: unknown): Promise<void> {
  if (!(error instanceof Problem) || error.code !== "quota-exceeded") return;
  const { org, actor, repository, request } = exchange;
  try {
    const { scope, used, needed } = exceeded.parse(error.detail);
    const body = { repository, scope, used, needed };
    const note = await services.record.append({ type: "registry.note-quota-exceeded", org, actor, body });
    // Whoever may not push here any more leaves no trace.
    if (note.ok) request.log.info({ ...body, actor: actor.id }, "a quota was exceeded");
  } catch (failure) {
    request.log.error({ err: failure }, "an exceeded quota could not be recorded");
  }
}
