import type { FastifyBaseLogger } from "fastify";
import { z } from "zod";
import type { RecordClient } from "../record/client.ts";
import type { Actor, Refusal } from "../record/command.ts";

/** Who tried to move a tag, where. */
export interface TriedMove {
  readonly org: string;
  readonly actor: Actor;
  /** The canonical name, `org/path`. */
  readonly repository: string;
  readonly log: Pick<FastifyBaseLogger, "info" | "error">;
}

const moved = z.object({ tag: z.string(), refused: z.string() });
const noted = z.object({ recorded: z.boolean() });

/**
 * Puts on record, or counts, that somebody tried to move a tag that never moves, by whatever way. Nothing for every other refusal. The refusal itself
 * stands whatever comes of this.
 */
export async function noteRefusedMove(record: RecordClient, by: TriedMove, refusal: Refusal): Promise<void> {
  if (refusal.code !== "tag-immutable") return;
  const { org, actor, repository, log } = by;
  const { tag, refused } = moved.parse(refusal.detail);
  try {
    const note = await record.append({
      type: "registry.note-refused-move",
      org,
      actor,
      body: { repository, tag, digest: refused },
    });
    // Whoever may not push here any more leaves no trace: what they are refused from now on is counted as such.
    if (!note.ok) return;
    await record.operate("registry.count-refused-move", { org, repository, tag, actor: actor.id });
    const { recorded } = noted.parse(note.results[0]);
    log.info({ repository, tag, refused, actor: actor.id, recorded }, "an immutable tag was not moved");
  } catch (error) {
    log.error({ err: error }, "a refused move of a tag could not be recorded");
  }
}
