/**
 * Rekor v1's API on this machine, as far as cosign writes to it (sigstore/rekor: openapi.yaml): entries of hashedrekord 0.0.1 and dsse 0.0.1 in a
 * tree in memory. The real service needs Trillian and MySQL; what cosign makes of the answers is real.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { toHex } from "../../packages/evidence/src/encoding.ts";
import type { JsonObject } from "../../packages/evidence/src/json.ts";
import type { LogKey } from "../../packages/evidence/src/trust-root.ts";
import { VirtualLog } from "../../packages/evidence/test/virtual-sigstore.ts";
import { keyOf } from "../../packages/evidence/test/virtual.ts";

export type RekorV1 = {
  url: string;
  trusted: LogKey;
  stop(): Promise<void>;
};

type Proposed = {
  kind: string;
  apiVersion: string;
  spec: {
    data?: { hash: { algorithm: string; value: string } };
    signature?: { content: string; publicKey: { content: string } };
    proposedContent?: { envelope: string; verifiers: string[] };
  };
};

export async function startRekorV1(): Promise<RekorV1> {
  const log = new VirtualLog(1, "127.0.0.1", keyOf("rekor v1 service"));
  const server = createServer((request, response) => {
    void answer(request).then((entry) => {
      // cosign looks the entry up by its entity tag, and crashes where there is none.
      const [id] = Object.keys(entry ?? {});
      response.writeHead(entry === undefined ? 404 : 201, {
        "content-type": "application/json",
        ...(id === undefined ? {} : { etag: id, location: `/api/v1/log/entries/${id}` }),
      });
      response.end(JSON.stringify(entry ?? { code: 404, message: "not found" }));
    });
  });
  const answer = async (request: IncomingMessage): Promise<object | undefined> => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    if (request.method !== "POST" || request.url !== "/api/v1/log/entries") return undefined;
    const proposed = JSON.parse(Buffer.concat(parts).toString()) as Proposed;
    return entryOf(log, bodyOf(proposed));
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    trusted: { ...log.trusted, baseUrl: url, validFrom: 0, validUntil: null },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const sha256 = (text: string | Uint8Array): string => createHash("sha256").update(text).digest("hex");

/** The canonical body of what is proposed: only what the log vouches for. */
function bodyOf({ kind, apiVersion, spec }: Proposed): JsonObject {
  if (spec.proposedContent !== undefined) {
    const { envelope, verifiers } = spec.proposedContent;
    const { payload, signatures } = JSON.parse(envelope) as { payload: string; signatures: { sig: string }[] };
    return {
      apiVersion,
      kind,
      spec: {
        envelopeHash: { algorithm: "sha256", value: sha256(envelope) },
        payloadHash: { algorithm: "sha256", value: sha256(Buffer.from(payload, "base64")) },
        signatures: signatures.map(({ sig }, i) => ({ signature: sig, verifier: verifiers[i] ?? "" })),
      },
    };
  }
  const { data, signature } = spec;
  if (data === undefined || signature === undefined) throw new Error(`no entries of kind ${kind} are taken`);
  const { algorithm, value } = data.hash;
  const { content, publicKey } = signature;
  return {
    apiVersion,
    kind,
    spec: { data: { hash: { algorithm, value } }, signature: { content, publicKey: { content: publicKey.content } } },
  };
}

/** The answer to a new entry: the entry under the id of its leaf, in the API's form, where hashes are hexadecimal. */
function entryOf(log: VirtualLog, body: JsonObject): object {
  const entry = log.add(body, { integratedTime: Math.floor(Date.now() / 1000) }) as {
    logIndex: string;
    integratedTime: string;
    canonicalizedBody: string;
    inclusionPromise: { signedEntryTimestamp: string };
    inclusionProof: {
      logIndex: string;
      treeSize: string;
      rootHash: string;
      hashes: string[];
      checkpoint: { envelope: string };
    };
  };
  const { inclusionProof, inclusionPromise, canonicalizedBody } = entry;
  const hex = (base64: string): string => Buffer.from(base64, "base64").toString("hex");
  const leaf = sha256(Buffer.concat([Buffer.of(0), Buffer.from(canonicalizedBody, "base64")]));
  return {
    [`108e9186e8c5677a${leaf}`]: {
      body: canonicalizedBody,
      integratedTime: Number(entry.integratedTime),
      logID: toHex(log.logId),
      logIndex: Number(entry.logIndex),
      verification: {
        signedEntryTimestamp: inclusionPromise.signedEntryTimestamp,
        inclusionProof: {
          logIndex: Number(inclusionProof.logIndex),
          treeSize: Number(inclusionProof.treeSize),
          rootHash: hex(inclusionProof.rootHash),
          hashes: inclusionProof.hashes.map(hex),
          checkpoint: inclusionProof.checkpoint.envelope,
        },
      },
    },
  };
}
