import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { serviceKeys } from "../record/service-key-queries.ts";
import type { GateContext } from "./context.ts";

/** The service's public keys: what its checkpoints, summaries and tokens are verified with. Public, so no credentials. */
export function registerKeysRoute(instance: FastifyInstance, context: Pick<GateContext, "reader" | "logs">): void {
  const app = instance.withTypeProvider<ZodTypeProvider>();
  app.get(
    "/api/assay/v1/keys",
    {
      schema: {
        summary: "The service's public keys",
        description: "Compare them with what you were given by another way before you rely on them.",
        tags: ["keys"],
        response: {
          200: z.strictObject({
            logs: z.array(z.string()).describe("Verifier keys (C2SP signed-note) of the record logs."),
            keys: z.array(
              z.strictObject({
                id: z.string().describe("Lower-case hex SHA-256 of the SubjectPublicKeyInfo."),
                purpose: z.string(),
                algorithm: z.string(),
                publicKeyPem: z.string(),
                retired: z.boolean().describe("Signs no more; what it signed stays signed."),
              }),
            ),
          }),
        },
      },
    },
    async () => ({ logs: [...context.logs], keys: await serviceKeys(context.reader) }),
  );
}
