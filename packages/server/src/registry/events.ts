import type { JsonObject } from "@assay/evidence";
import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent } from "../record/command.ts";
import { isSha512 } from "./digest.ts";
import { noteDeletion } from "./deletion-events.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { countAnew, endedDigests } from "./quota-usage.ts";
import { words } from "./repository-events.ts";
import type { RegistryTables } from "./schema.ts";
import { isTag } from "./tag-rules.ts";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const sha512 = z.string().refine(isSha512, "not a sha512 digest");
const size = z.int().nonnegative();

/** Tags removed with one manifest, and tags one push sets, stand in one event each. */
export const manifestPushedBody = z.strictObject({
  repository: z.string(),
  digest,
  size,
  mediaType: z.string(),
  artifactType: z.string().optional(),
  /** A SHA-512 digest only where it stood for nothing in the repository. */
  subject: digest.or(sha512).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  references: z
    .array(
      z.strictObject({
        kind: z.enum(["config", "layer", "child", "blob"]),
        /** A SHA-512 digest only where it stood for nothing in the repository: then it is not held. */
        digest: digest.or(sha512),
        size,
        mediaType: z.string(),
        /** Whether the repository held the bytes at this moment. */
        held: z.boolean(),
      }),
    )
    .max(2 * REGISTRY_LIMITS.manifestReferences),
});

export const tagSetBody = z.strictObject({
  repository: z.string(),
  tag: z.string(),
  digest,
  /** What the tag named before; null when it named nothing. */
  previous: digest.nullable(),
  /** The digest it was set by, where that was of another algorithm. */
  namedAs: sha512.optional(),
});

/** What else digests are called in a repository. This server computed each from the bytes. */
export const digestsAliasedBody = z.strictObject({
  repository: z.string(),
  aliases: z.array(z.strictObject({ alias: sha512, digest })).max(2 * REGISTRY_LIMITS.manifestReferences + 2),
});

/** Why, as who deleted it wrote it. */
const reason = z.string().optional();

export const tagDeletedBody = z.strictObject({ repository: z.string(), tag: z.string(), digest, reason });

export const manifestDeletedBody = z.strictObject({
  repository: z.string(),
  digest,
  /** The tags that named it, which end with it. */
  tags: z.array(z.string()),
  reason,
});

/** What manifests named and the repository did not have has come. */
export const referenceHeldBody = z.strictObject({
  repository: z.string(),
  digest,
  /** The digest it came by, where that is of another algorithm: what manifests may have named. */
  alias: sha512.optional(),
  /** Bytes: what names it with another size does not mean it. */
  size,
  as: z.enum(["manifest", "blob"]),
});

/** A body as plain JSON: absent members are left out, as JSON has no `undefined`. */
export function manifestPushed(body: z.output<typeof manifestPushedBody>): JsonObject {
  return {
    repository: body.repository,
    digest: body.digest,
    size: body.size,
    mediaType: body.mediaType,
    ...(body.artifactType === undefined ? {} : { artifactType: body.artifactType }),
    ...(body.subject === undefined ? {} : { subject: body.subject }),
    ...(body.annotations === undefined ? {} : { annotations: body.annotations }),
    references: body.references,
  };
}

export const registryEvents = [
  defineEvent({
    type: "registry.manifest-pushed",
    version: 1,
    body: manifestPushedBody,
    redactable: { "/repository": isSiblingRepository, "/annotations/*": () => true },
    project: async (transactor, event) => {
      const { body, org, sequence } = event;
      const tables = transactor.tables<RegistryTables>();
      await tables
        .insertInto("repository")
        .values({ name: body.repository, org, created_seq: sequence, ended_seq: null, ended_as: null, heir: null })
        .onConflict((conflict) => conflict.column("name").doNothing())
        .execute();
      await tables
        .insertInto("manifest")
        .values({
          repository: body.repository,
          digest: body.digest,
          org,
          size: body.size,
          media_type: body.mediaType,
          artifact_type: body.artifactType ?? null,
          subject: body.subject ?? null,
          annotations: body.annotations === undefined ? null : JSON.stringify(body.annotations),
          pushed_by: event.actor,
          pushed_time: event.time,
          from_seq: sequence,
          to_seq: null,
        })
        .execute();
      for (const reference of body.references) {
        await tables
          .insertInto("manifest_reference")
          .values({
            repository: body.repository,
            manifest: body.digest,
            kind: reference.kind,
            digest: reference.digest,
            org,
            size: reference.size,
            media_type: reference.mediaType,
            held: reference.held ? 1 : 0,
            from_seq: sequence,
            to_seq: null,
          })
          .execute();
      }
      await countAnew(transactor, { org, repository: body.repository }, async () => [
        body.digest,
        ...body.references.flatMap((reference) => (reference.held ? [reference.digest] : [])),
      ]);
    },
  }),
  defineEvent({
    type: "registry.digests-aliased",
    version: 1,
    body: digestsAliasedBody,
    redactable: { "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      const { body, org, sequence } = event;
      const tables = transactor.tables<RegistryTables>();
      for (const { alias, digest: named } of body.aliases) {
        await tables
          .insertInto("digest_alias")
          .values({ repository: body.repository, alias, digest: named, org, sequence })
          .execute();
        // What came before what it is about is from here on about the digest.
        await tables
          .updateTable("manifest")
          .set({ subject: named })
          .where("repository", "=", body.repository)
          .where("subject", "=", alias)
          .where("to_seq", "is", null)
          .execute();
      }
    },
  }),
  defineEvent({
    type: "registry.reference-held",
    version: 1,
    body: referenceHeldBody,
    redactable: { "/repository": isSiblingRepository },
    project: async (transactor, event) => {
      const { repository, digest: held, alias, size: bytes, as } = event.body;
      const tables = transactor.tables<RegistryTables>();
      let query = tables
        .selectFrom("manifest_reference")
        .selectAll()
        .where("repository", "=", repository)
        .where("digest", "in", alias === undefined ? [held] : [held, alias])
        .where("to_seq", "is", null)
        .where("held", "=", 0)
        .where("size", "=", bytes);
      if (as === "manifest") query = query.where("kind", "=", "child");
      // Each row ends and goes on as another: what was held when can still be told.
      for (const row of await query.execute()) {
        await tables
          .updateTable("manifest_reference")
          .set({ to_seq: event.sequence })
          .where("repository", "=", repository)
          .where("manifest", "=", row.manifest)
          .where("kind", "=", row.kind)
          .where("digest", "=", row.digest)
          .where("from_seq", "=", row.from_seq)
          .execute();
        await tables
          .insertInto("manifest_reference")
          .values({
            ...row,
            // An index may list what is no manifest.
            kind: as === "blob" && row.kind === "child" ? "blob" : row.kind,
            digest: held,
            held: 1,
            from_seq: event.sequence,
          })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
      await countAnew(transactor, { org: event.org, repository }, async () => [held]);
    },
  }),
  defineEvent({
    type: "registry.tag-set",
    version: 1,
    body: tagSetBody,
    redactable: { "/repository": isSiblingRepository, "/tag": isTag },
    project: async (transactor, event) => {
      const { repository, tag, digest: named, namedAs } = event.body;
      const tables = transactor.tables<RegistryTables>();
      await tables
        .updateTable("tag")
        .set({ to_seq: event.sequence })
        .where("repository", "=", repository)
        .where("name", "=", tag)
        .where("to_seq", "is", null)
        .execute();
      await tables
        .insertInto("tag")
        .values({
          repository,
          name: tag,
          org: event.org,
          digest: named,
          named_as: namedAs ?? null,
          from_seq: event.sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "registry.tag-deleted",
    version: 1,
    body: tagDeletedBody,
    redactable: { "/repository": isSiblingRepository, "/tag": isTag, "/reason": words },
    project: async (transactor, event) => {
      const { repository, tag, digest: named } = event.body;
      await transactor
        .tables<RegistryTables>()
        .updateTable("tag")
        .set({ to_seq: event.sequence })
        .where("repository", "=", repository)
        .where("name", "=", tag)
        .where("to_seq", "is", null)
        .execute();
      await noteDeletion(transactor, event, { kind: "tag", tag, digest: named });
    },
  }),
  defineEvent({
    type: "registry.manifest-deleted",
    version: 1,
    body: manifestDeletedBody,
    redactable: { "/repository": isSiblingRepository, "/tags/*": isTag, "/reason": words },
    project: async (transactor, event) => {
      const { repository, digest: gone } = event.body;
      await noteDeletion(transactor, event, { kind: "manifest", tag: null, digest: gone });
      const tables = transactor.tables<RegistryTables>();
      const ended = { to_seq: event.sequence };
      await tables
        .updateTable("tag")
        .set(ended)
        .where("repository", "=", repository)
        .where("digest", "=", gone)
        .where("to_seq", "is", null)
        .execute();
      await tables
        .updateTable("manifest_reference")
        .set(ended)
        .where("repository", "=", repository)
        .where("manifest", "=", gone)
        .where("to_seq", "is", null)
        .execute();
      await tables
        .updateTable("manifest")
        .set(ended)
        .where("repository", "=", repository)
        .where("digest", "=", gone)
        .where("to_seq", "is", null)
        .execute();
      await countAnew(transactor, { org: event.org, repository }, () =>
        endedDigests(transactor, repository, event.sequence),
      );
    },
  }),
];
