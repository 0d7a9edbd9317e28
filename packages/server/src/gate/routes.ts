import type { FastifyInstance } from "fastify";
import type { GateRoutesContext } from "./context.ts";
import { registerDecisionRoutes } from "./decision-routes.ts";
import { registerKeysRoute } from "./keys-route.ts";
import { registerPolicyRoutes } from "./policy-routes.ts";
import { registerPromotionRoutes } from "./promotion-routes.ts";
import { registerPullGateRoutes } from "./pull-gate-routes.ts";
import { registerTrustPreviewRoute } from "./trust-preview-routes.ts";

/** The gate over HTTP: policies, pull gates, decisions, promotions, and the keys that decisions are signed with. */
export function registerGateRoutes(app: FastifyInstance, context: GateRoutesContext): void {
  registerPolicyRoutes(app, context);
  registerPullGateRoutes(app, context);
  registerDecisionRoutes(app, context);
  registerKeysRoute(app, context);
  registerPromotionRoutes(app, context);
  registerTrustPreviewRoute(app, context);
}
