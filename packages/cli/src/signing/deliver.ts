import { type Digest, utf8Decode } from "@assay/evidence";
import { writeFileAtomically } from "../atomic.ts";
import { usageError } from "../errors.ts";
import { serverClient } from "../http.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { requireOrg, requireServer } from "../settings.ts";
import { oneLine } from "../table.ts";

/** Where a bundle goes. */
export type Delivery = {
  /** A file to write it to. */
  readonly file: string | undefined;
  /** The server's organisation to give it to. */
  readonly upload: boolean;
  /** "org/name" of the repository the artifact is in, so that trust limited to repositories can apply. */
  readonly repository: string | undefined;
};

/** What the server answered; undefined parts were not asked for. */
export type Delivered = { readonly evidence?: string; readonly receipt?: JsonValue };

/** Refuses before anything is signed what could not be delivered. Errors: `nowhere-to-put`, `server-missing`, `org-missing`. */
export async function checkDelivery(session: Session, delivery: Delivery, isAttached: boolean): Promise<void> {
  if (delivery.upload) {
    const settings = await session.settings();
    requireServer(settings);
    requireOrg(settings);
  } else if (delivery.file === undefined && !isAttached) {
    throw usageError("nowhere-to-put", "the signed bundle would go nowhere", "Write it to a file with --bundle FILE.");
  }
}

/** Writes the file first, so that a server that cannot be reached costs no signature; then uploads. */
export async function deliver(session: Session, bundle: Uint8Array, delivery: Delivery): Promise<Delivered> {
  if (delivery.file !== undefined) await writeFileAtomically(delivery.file, bundle, { mode: 0o644 });
  if (!delivery.upload) return {};
  const client = await serverClient(session);
  const org = requireOrg(await session.settings());
  const answer = await client.json({
    method: "POST",
    path: `/api/assay/v1/orgs/${encodeURIComponent(org)}/attestations`,
    json: {
      // As text it keeps its bytes, and so its digest: the file written above is the very evidence that the receipt names.
      bundle: utf8Decode(bundle),
      ...(delivery.repository === undefined ? {} : { repository: delivery.repository }),
    },
  });
  if (typeof answer !== "object" || answer === null || Array.isArray(answer) || !("evidence" in answer)) return {};
  const { evidence, receipt } = answer as { evidence?: JsonValue; receipt?: JsonValue };
  return {
    ...(typeof evidence === "string" ? { evidence } : {}),
    ...(receipt === undefined ? {} : { receipt }),
  };
}

/** The lines that tell a person what became of a bundle. `what` is what the subject was found to be, and under which name. */
export function deliveryText(
  { subject, what }: { readonly subject: Digest; readonly what: string | undefined },
  delivery: Delivery,
  delivered: Delivered,
  attached: Digest | undefined,
): string {
  const lines = [what === undefined ? `signed ${subject}` : `signed ${subject}  ${oneLine(what)}`];
  if (delivery.file !== undefined) lines.push(`bundle ${delivery.file}`);
  if (attached !== undefined) lines.push(`attached ${attached}`);
  if (delivered.evidence !== undefined) lines.push(`evidence ${delivered.evidence}`);
  return lines.join("\n");
}
