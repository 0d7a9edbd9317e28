import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { API, receiptField } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import type { Actor, Command } from "../record/command.ts";
import { requireRepository } from "./repository-routes.ts";
import {
  admit,
  nameField,
  repositoryParams,
  type RepositoryRoutesContext,
  repositorySchema,
  showRepository,
  tags,
  wholeName,
} from "./repository-wire.ts";

/** What the route of renaming stands on. */
export interface RenameRoutesContext extends RepositoryRoutesContext {
  /** What other rooms record with a rename: commands appended with it, all or none. */
  carried(rename: {
    readonly org: string;
    readonly actor: Actor;
    readonly from: string;
    readonly to: string;
  }): Command[];
}

/** Giving a repository another name. */
export function registerRenameRoute(instance: FastifyInstance, context: RenameRoutesContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  const { reader, record } = context;
  app.post(
    `${API}/orgs/:org/repositories/:name/rename`,
    {
      schema: {
        summary: "Give a repository another name",
        description:
          "With everything in it, its settings, its evidence, and what was deleted there. Its former name is unknown from then on, and stays taken. Roles, trust entries and webhooks speak of names and stay with them. For admins of the organisation.",
        tags,
        params: repositoryParams,
        body: z.strictObject({ to: nameField }),
        response: { 200: repositorySchema.extend({ receipt: receiptField }) },
      },
    },
    async (request) => {
      const { actor, org, repository: from } = await admit(context, request, "org.administer", request.params);
      const to = wholeName(org, request.body.to);
      if (to === undefined) {
        throw new Problem(
          400,
          "repository-invalid",
          `${JSON.stringify(request.body.to)} is not the name of a repository`,
        );
      }
      const rename: Command = { type: "registry.rename-repository", org, actor, body: { from, to } };
      const appended = await record.append([rename, ...context.carried({ org, actor, from, to })]);
      if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
      // Counts, and what was uploaded for a manifest to come, are no facts.
      await record.operate("registry.carry-counts", { from, to });
      await record.operate("registry.drop-leases", { repository: from });
      const known = await requireRepository(reader, to);
      return { ...showRepository(known), receipt: appended.receipts[0] ?? null };
    },
  );
}
