import { LIMITS, parseTrustedRoot, rootJson, type TrustRoot, x509Root } from "@assay/evidence";
import { usageError } from "../errors.ts";
import { parsing, readInput } from "../input.ts";
import { askObject, organisationClient } from "../organisation.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { facts, quantity, table } from "../table.ts";
import { readTrust } from "./read.ts";

export type RootOptions = { readonly trustedRoot?: string; readonly ca?: string; readonly tsa?: string };

/** Shows the roots that certificates are judged under. */
export async function listRoots(session: Session): Promise<void> {
  const trust = await readTrust(await organisationClient(session), undefined);
  const rows = trust.roots.map((root) => [
    root.name,
    root.profile,
    String(root.certificateAuthorities.length),
    String(root.timestampAuthorities.length),
    String(root.tlogs.length),
    String(root.ctlogs.length),
  ]);
  session.output.result(
    trust.roots.map(rootJson),
    rows.length === 0
      ? "no trust roots: no certificate is believed"
      : table(["ROOT", "PROFILE", "AUTHORITIES", "TIMESTAMP AUTHORITIES", "LOGS", "CERTIFICATE LOGS"], rows),
  );
}

/** Sets a root from a Sigstore trusted_root.json, or from PEM certificates. What cannot be read here is not sent. */
export async function setRoot(session: Session, name: string, options: RootOptions): Promise<void> {
  const { json, root } = await readRootFiles(name, options);
  const { client, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "PUT", path: path("trust", "roots", name), json });
  session.output.result(
    answer.json,
    facts([
      ["root", `${root.name} (${root.profile})`],
      ["authorities", String(root.certificateAuthorities.length)],
      ["timestamps", `by ${quantity(root.timestampAuthorities.length, "authority", "authorities")}`],
      [
        "logs",
        root.tlogs.length === 0
          ? undefined
          : `a signature must be in one of ${root.tlogs.map((log) => log.baseUrl).join(" ")}`,
      ],
      [
        "SCTs",
        root.ctlogs.length === 0 ? undefined : `a certificate must have one of ${quantity(root.ctlogs.length, "log")}`,
      ],
      ["trust", `version ${answer.whole("version")}`],
    ]),
  );
}

async function readRootFiles(
  name: string,
  { trustedRoot, ca, tsa }: RootOptions,
): Promise<{ json: JsonValue; root: TrustRoot }> {
  if ((trustedRoot === undefined) === (ca === undefined)) {
    throw usageError("usage", "name either --trusted-root or --ca", "See `assay trust root set --help`.");
  }
  if (trustedRoot !== undefined) {
    if (tsa !== undefined)
      throw usageError("usage", "--tsa goes with --ca", "A trusted_root.json names its own authorities.");
    const bytes = await readInput(trustedRoot, LIMITS.trustBytes);
    const root = parsing(trustedRoot, () => parseTrustedRoot(bytes, name));
    return { json: { trustedRoot: JSON.parse(Buffer.from(bytes).toString("utf8")) as JsonValue }, root };
  }
  const pem = async (file: string): Promise<string> =>
    Buffer.from(await readInput(file, LIMITS.trustBytes)).toString("utf8");
  const certificates = await pem(ca ?? "");
  const timestampCertificates = tsa === undefined ? undefined : await pem(tsa);
  const root = parsing(ca ?? "", () =>
    x509Root(name, [certificates], timestampCertificates === undefined ? [] : [timestampCertificates]),
  );
  return { json: { certificates, timestampCertificates }, root };
}

/** Removes a root that no entry is judged under. */
export async function removeRoot(session: Session, name: string): Promise<void> {
  const { client, path } = await organisationClient(session);
  const answer = await askObject(client, { method: "DELETE", path: path("trust", "roots", name) });
  session.output.result(
    { ...answer.json, name },
    `no longer a trust root: ${name}, trust version ${answer.whole("version")}`,
  );
}
