import type { FastifyInstance } from "fastify";
import { registerAddRoutes } from "./add-routes.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { registerEvidenceRoutes } from "./evidence-routes.ts";
import { registerListRoute } from "./list-route.ts";
import { registerStepRoute } from "./step-route.ts";

/** Evidence over HTTP: taking it in, judging it, and giving it back. */
export function registerAttestationsRoutes(app: FastifyInstance, context: AttestationsRoutesContext): void {
  registerAddRoutes(app, context);
  registerListRoute(app, context);
  registerStepRoute(app, context);
  registerEvidenceRoutes(app, context);
}
