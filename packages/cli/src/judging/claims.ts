import { type Digest, digestOf, LIMITS, parseDigest } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { CliError, Exit } from "../errors.ts";
import type { OrganisationClient } from "../organisation.ts";
import { type Claim, claimIn, hasOutcome } from "./claim.ts";
import type { Piece } from "./piece.ts";

/** Pieces whose bytes are fetched for one answer, and how many at once. The rest say that they were not read. */
const MOST_READ = 200;
const AT_ONCE = 8;

/**
 * The bytes of a piece of evidence, which are those of its digest. Errors: `digest-mismatch` (exit 1), those of the server.
 */
export async function evidenceBytes(
  { client, path }: OrganisationClient,
  digest: Digest,
): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string | undefined }> {
  const answer = await client.send({
    method: "GET",
    path: path("evidence", digest, "bundle"),
    headers: { accept: "*/*" },
  });
  const bytes = await answer.bytes(LIMITS.bundleBytes);
  const found = digestOf(nodeCrypto, bytes);
  // The digest is the only name that counts: other bytes are thrown away, whatever they say.
  if (found !== digest) {
    throw new CliError("digest-mismatch", `the server sent other bytes than those of ${digest}: they are ${found}`, {
      exit: Exit.no,
      hint: "Nothing was written. Run `assay server check` on the server.",
    });
  }
  return { bytes, mediaType: answer.header("content-type") };
}

/** Fills in what the pieces say came out. The server's list tells types only; what is said stands in the signed bytes. */
export async function readClaims(api: OrganisationClient, pieces: readonly Piece[]): Promise<Piece[]> {
  const saying = pieces.filter(({ predicateType }) => hasOutcome(predicateType)).map(({ evidence }) => evidence);
  const wanted = [...new Set(saying)];
  const claims = new Map<string, Claim | undefined>();
  for (let at = 0; at < Math.min(wanted.length, MOST_READ); at += AT_ONCE) {
    const some = wanted.slice(at, Math.min(at + AT_ONCE, MOST_READ));
    const read = await Promise.all(
      some.map(async (name) => [name, claimIn((await evidenceBytes(api, parseDigest(name))).bytes)] as const),
    );
    for (const [name, claim] of read) claims.set(name, claim);
  }
  const unread: Claim = { says: "what `assay evidence show` shows of it (not read here)", isPass: false };
  return pieces.map((piece) => {
    if (!hasOutcome(piece.predicateType)) return piece;
    const claim = claims.has(piece.evidence) ? claims.get(piece.evidence) : unread;
    return claim === undefined ? piece : { ...piece, claim };
  });
}
