import { missingClients } from "./harness.ts";

/** Vitest's global setup: without the clients nothing can be tested, and a skipped test would look like a passed one. */
export default function requireClients(): void {
  const missing = missingClients();
  if (missing.length > 0) {
    throw new Error(
      `not installed: ${missing.join(", ")}; run \`npm run interop\`, or \`node scripts/interop-install.ts\` first`,
    );
  }
}
