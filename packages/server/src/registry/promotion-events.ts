import { sql } from "kysely";
import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import { contentOf } from "./quota-queries.ts";
import { countAnew } from "./quota-usage.ts";
import { copyAliases, endTag } from "./rows.ts";
import type { RegistryTables } from "./schema.ts";
import { isTag } from "./tag-rules.ts";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** Digests one statement names at most. */
const CHUNK = 200;

/** An artifact came from another repository, with all that belongs to it: one fact. */
export const promotionEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "registry.promoted",
    version: 1,
    body: z.strictObject({
      /** Where it came from; it may be another organisation's. */
      from: z.string(),
      repository: z.string(),
      digest,
      /** What was not there yet: the artifact, what it consists of, what refers to it. */
      manifests: z.array(digest),
      tags: z.array(z.strictObject({ tag: z.string(), digest, previous: digest.nullable() })),
      /** The decision that allowed it, where the destination demanded one. */
      allowed: z.strictObject({ policy: z.string(), decision: z.string() }).nullable(),
    }),
    redactable: { "/from": isSiblingRepository, "/repository": isSiblingRepository, "/tags/*/tag": isTag },
    project: async (transactor, event) => {
      const { body, org, sequence, actor, time } = event;
      const { from, repository } = body;
      const tables = transactor.tables<RegistryTables>();
      await tables
        .insertInto("repository")
        .values({ name: repository, org, created_seq: sequence, ended_seq: null, ended_as: null, heir: null })
        .onConflict((conflict) => conflict.column("name").doNothing())
        .execute();
      const text = (value: string) => sql<string>`cast(${value} as text)`;
      const whole = (value: number) => sql<number>`cast(${value} as bigint)`;
      const open = sql<null>`cast(null as bigint)`.as("to_seq");
      for (let at = 0; at < body.manifests.length; at += CHUNK) {
        const some = body.manifests.slice(at, at + CHUNK);
        await tables
          .insertInto("manifest")
          .columns([
            "repository",
            "org",
            "pushed_by",
            "pushed_time",
            "from_seq",
            "to_seq",
            "digest",
            "size",
            "media_type",
            "artifact_type",
            "subject",
            "annotations",
          ])
          .expression((is) =>
            is
              .selectFrom("manifest")
              .select([text(repository).as("repository"), text(org).as("org"), text(actor).as("pushed_by")])
              .select([whole(time).as("pushed_time"), whole(sequence).as("from_seq"), open, "digest", "size"])
              .select(["media_type", "artifact_type", "subject", "annotations"])
              .where("repository", "=", from)
              .where("digest", "in", some)
              .where("to_seq", "is", null),
          )
          .execute();
        await tables
          .insertInto("manifest_reference")
          .columns([
            "repository",
            "org",
            "from_seq",
            "to_seq",
            "manifest",
            "kind",
            "digest",
            "size",
            "media_type",
            "held",
          ])
          .expression((is) =>
            is
              .selectFrom("manifest_reference")
              .select([text(repository).as("repository"), text(org).as("org"), whole(sequence).as("from_seq"), open])
              .select(["manifest", "kind", "digest", "size", "media_type", "held"])
              .where("repository", "=", from)
              .where("manifest", "in", some)
              .where("to_seq", "is", null),
          )
          .execute();
      }
      await countAnew(transactor, { org, repository }, async () => [
        ...(await contentOf(transactor, repository, body.manifests)).keys(),
      ]);
      if (from !== repository) await copyAliases(transactor, from, { repository, org, sequence }, body.manifests);
      for (const { tag, digest: named } of body.tags) {
        await endTag(transactor, repository, tag, sequence);
        await tables
          .insertInto("tag")
          .values({ repository, name: tag, org, digest: named, named_as: null, from_seq: sequence, to_seq: null })
          .execute();
      }
    },
  }),
];
