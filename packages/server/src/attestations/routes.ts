import type { FastifyInstance } from "fastify";
import { registerAddRoutes } from "./add-routes.ts";
import { registerArtifactRoutes } from "./artifact-routes.ts";
import { registerBulkRoute } from "./bulk-route.ts";
import type { AttestationsRoutesContext } from "./context.ts";
import { registerEvidenceRoutes } from "./evidence-routes.ts";
import { registerExportRoute } from "./export-route.ts";
import { registerGithubRoutes } from "./github-routes.ts";
import { registerListRoute } from "./list-route.ts";
import { registerSearchRoute } from "./search-route.ts";
import { registerStepRoute } from "./step-route.ts";

/** Evidence over HTTP: taking it in, judging it, finding it, and giving it back. */
export function registerAttestationsRoutes(app: FastifyInstance, context: AttestationsRoutesContext): void {
  registerAddRoutes(app, context);
  registerBulkRoute(app, context);
  registerListRoute(app, context);
  registerStepRoute(app, context);
  registerSearchRoute(app, context);
  registerEvidenceRoutes(app, context);
  registerExportRoute(app, context);
  registerArtifactRoutes(app, context);
  registerGithubRoutes(app, context);
}
