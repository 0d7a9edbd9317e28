import { describe, expect, test } from "vitest";
import { nodeCrypto as crypto } from "../node/index.ts";
import {
  canonicalJson,
  type EvidenceErrorCode,
  formatCheckpoint,
  formatNote,
  fromHex,
  inclusionProof,
  type JsonObject,
  type JsonValue,
  leafHash,
  type NodeAt,
  noteKey,
  noteSignatureLine,
  noteSignedBytes,
  nodeHash,
  parseJson,
  parseReceipt,
  type RecordedEvent,
  type RecordReceipt,
  receiptTime,
  recordCommitment,
  rootHash,
  toBase64,
  toHex,
  utf8Encode,
  type VerifiedReceipt,
  verifyPlace,
  verifyReceipt,
  verifyRedaction,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { keyOf, sha256Of } from "./virtual.ts";

const logKey = (origin: string) => noteKey(origin, 1, keyOf("log", "ed25519").publicKey.spki.slice(-32));

const ORIGIN = "assay.example/record";
const SHOWN = utf8Encode(
  '{"actor":"admin","body":{"n":"[redacted]"},"org":"acme","orgSeq":2,"prev":null,"time":1,"type":"t","v":1}',
);
/** Event 7 redacts event 2, and says it of event 9 too, which comes after it. */
const REDACTION = {
  reason: "erasure request",
  redactions: [2, 9].map((sequence) => ({ sequence, digest: toHex(crypto.sha256(SHOWN)), fields: ["/body/n"] })),
};
const events = Array.from({ length: 11 }, (_, i) => ({
  actor: "admin",
  body: (i === 7 ? REDACTION : { n: i }) as JsonObject,
  org: "acme",
  orgSeq: i,
  prev: i === 0 ? null : "ab".repeat(32),
  time: 1_000 + i,
  type: i === 7 ? "record.events-redacted" : "test.happened",
  v: 1,
}));
const salt = (i: number): Uint8Array => new Uint8Array(32).fill(i);
const bytesOf = (event: (typeof events)[number]): Uint8Array => utf8Encode(canonicalJson(event));
const commitments = events.map((event, i) => recordCommitment(crypto, salt(i), bytesOf(event)));
const nodeAt: NodeAt = (level, index) =>
  level === 0
    ? leafHash(crypto, commitments[index] ?? new Uint8Array())
    : nodeHash(crypto, nodeAt(level - 1, 2 * index), nodeAt(level - 1, 2 * index + 1));

function checkpointOf(size: number, origin = ORIGIN, signer = origin): string {
  const text = formatCheckpoint({ origin, size, root: rootHash(crypto, size, nodeAt), extensions: [] });
  return formatNote(text, [noteSignatureLine(logKey(signer), keyOf("log", "ed25519").sign(noteSignedBytes(text)))]);
}

function receiptOf(sequence: number, size = events.length): RecordReceipt {
  const event = events[sequence];
  const commitment = commitments[sequence];
  if (event === undefined || commitment === undefined) throw new Error(`no event ${sequence}`);
  return {
    sequence,
    salt: toBase64(salt(sequence)),
    event: toBase64(bytesOf(event)),
    commitment: toHex(commitment),
    size,
    proof: inclusionProof(crypto, sequence, size, nodeAt).map(toHex),
    checkpoint: checkpointOf(size),
  };
}

const open = (receipt: RecordReceipt, keys = [logKey(ORIGIN)]) => verifyReceipt(crypto, receipt, keys);

test("a receipt proves its event, place and time, in every tree that holds it", async () => {
  for (let size = 1; size <= events.length; size++) {
    for (let sequence = 0; sequence < size; sequence++) {
      const verified = await open(receiptOf(sequence, size));
      expect(verified).toMatchObject({ sequence, time: 1_000 + sequence, event: events[sequence] });
      expect(verified.checkpoint).toMatchObject({ origin: ORIGIN, size });
    }
  }
});

test("a receipt survives its JSON form", async () => {
  const receipt = receiptOf(3);
  const read = parseReceipt(parseJson(JSON.stringify(receipt)));
  expect(read).toEqual(receipt);
  await expect(open(read)).resolves.toBeDefined();
});

test("a receipt gives a proven time to the evidence that its event took in, and to no other", async () => {
  const verified = await open(receiptOf(3));
  const evidence = sha256Of("bundle");
  expect(receiptTime(verified, evidence)).toBeUndefined();
  const took = (body: JsonObject, type = "attestations.evidence-added"): VerifiedReceipt => ({
    ...verified,
    event: { ...verified.event, type, body: { evidence, ...body } },
  });
  const about = took({ earlier: null });
  expect(receiptTime(about, evidence)).toEqual({ source: "receipt", time: 1_003, evidence: `record 3 of ${ORIGIN}` });
  expect(receiptTime(about, sha256Of("other bundle"))).toBeUndefined();
  // Evidence that is given to one more repository later has not become younger.
  expect(receiptTime(took({}, "attestations.evidence-linked"), evidence)).toBeUndefined();
});

test("a receipt for an old signature in a new wrapping gives the time the signature first came", async () => {
  const verified = await open(receiptOf(3));
  const evidence = sha256Of("bundle");
  const event = (earlier: JsonValue): RecordedEvent => ({
    ...verified.event,
    type: "attestations.evidence-added",
    body: { evidence, earlier },
  });
  expect(receiptTime({ ...verified, event: event({ sequence: 1, time: 400 }) }, evidence)?.time).toBe(400);
  for (const odd of [{}, { time: "400" }, { time: -1 }, { time: 0.5 }, { time: 9_999 }, 400, [400]]) {
    expect(receiptTime({ ...verified, event: event(odd) }, evidence)).toBeUndefined();
  }
});

describe("a receipt is refused", () => {
  const good = receiptOf(5);
  test.each<[string, Partial<RecordReceipt>, EvidenceErrorCode]>([
    ["with another event", { event: receiptOf(6).event }, "receipt-unproven"],
    ["with another salt", { salt: receiptOf(6).salt }, "receipt-unproven"],
    ["with another commitment", { commitment: receiptOf(6).commitment }, "receipt-unproven"],
    ["at another place", { sequence: 6 }, "receipt-unproven"],
    ["for another size", { size: 10 }, "receipt-unproven"],
    ["with another tree's checkpoint", { checkpoint: checkpointOf(10) }, "receipt-unproven"],
    ["with a hash dropped", { proof: good.proof.slice(1) }, "receipt-unproven"],
    ["with a hash repeated", { proof: [...good.proof, ...good.proof.slice(-1)] }, "receipt-unproven"],
    ["without event and salt", { event: undefined, salt: undefined }, "receipt-withheld"],
    ["without salt", { salt: undefined }, "receipt-invalid"],
    ["with a short salt", { salt: "AAAA" }, "receipt-invalid"],
    ["with a commitment in capitals", { commitment: good.commitment.toUpperCase() }, "receipt-invalid"],
    ["with a short commitment", { commitment: "00" }, "receipt-invalid"],
    ["with a short hash in its proof", { proof: ["00"] }, "receipt-invalid"],
    ["with an endless proof", { proof: Array(65).fill("00".repeat(32)) }, "receipt-invalid"],
    ["with a place outside the tree", { sequence: 11 }, "receipt-invalid"],
    ["with a fractional place", { sequence: 0.5 }, "receipt-invalid"],
    ["with an unsigned checkpoint", { checkpoint: "x" }, "note-invalid"],
    [
      "with another log's checkpoint under this log's signature",
      { checkpoint: checkpointOf(11, "other.example/log", ORIGIN) },
      "receipt-unproven",
    ],
  ])("%s", async (_, changes, expected) => {
    await expect(open({ ...good, ...changes })).rejects.toThrow(code(expected));
  });

  test("under keys that did not sign its checkpoint", async () => {
    await expect(open(good, [])).rejects.toThrow(code("note-unverified"));
    const stranger = noteKey(ORIGIN, 1, keyOf("stranger", "ed25519").publicKey.spki.slice(-32));
    await expect(open(good, [stranger])).rejects.toThrow(code("note-unverified"));
  });

  test("when what was committed to is no event", async () => {
    const bytes = utf8Encode('{"actor":"a"}');
    const commitment = recordCommitment(crypto, salt(0), bytes);
    const text = formatCheckpoint({ origin: ORIGIN, size: 1, root: leafHash(crypto, commitment), extensions: [] });
    const checkpoint = formatNote(text, [
      noteSignatureLine(logKey(ORIGIN), keyOf("log", "ed25519").sign(noteSignedBytes(text))),
    ]);
    const receipt = {
      sequence: 0,
      size: 1,
      proof: [],
      salt: toBase64(salt(0)),
      event: toBase64(bytes),
      commitment: toHex(commitment),
      checkpoint,
    };
    await expect(open(receipt)).rejects.toThrow(code("receipt-invalid"));
    expect(fromHex(receipt.commitment)).toHaveLength(32);
  });
});

describe("a redacted event", () => {
  const withheld = (sequence: number): RecordReceipt => ({ ...receiptOf(sequence), salt: undefined, event: undefined });
  const verify = (changes: Partial<Parameters<typeof verifyRedaction>[1]> = {}, keys = [logKey(ORIGIN)]) =>
    verifyRedaction(crypto, { receipt: withheld(2), shown: SHOWN, redaction: receiptOf(7), ...changes }, keys);

  test("is proven by its place, what is shown of it, and the event that redacted it", async () => {
    const verified = await verify();
    expect(verified).toMatchObject({ sequence: 2, fields: ["/body/n"], reason: "erasure request" });
    expect(verified.event.body).toEqual({ n: "[redacted]" });
    expect(verified.redaction.sequence).toBe(7);
    expect(toHex(verified.commitment)).toBe(toHex(commitments[2] ?? new Uint8Array()));
    // In a smaller tree, too: its own receipt may be from before.
    await expect(
      verify({ receipt: { ...withheld(2), ...receiptOf(2, 5), salt: undefined, event: undefined } }),
    ).resolves.toBeDefined();
  });

  test("keeps its place in the log, which is proven without it", async () => {
    expect(await verifyPlace(crypto, withheld(2), [logKey(ORIGIN)])).toMatchObject({ sequence: 2 });
    await expect(verifyPlace(crypto, { ...withheld(2), sequence: 3 }, [logKey(ORIGIN)])).rejects.toThrow(
      code("receipt-unproven"),
    );
    await expect(verifyPlace(crypto, withheld(2), [])).rejects.toThrow(code("note-unverified"));
  });

  test.each<[string, Partial<Parameters<typeof verifyRedaction>[1]>, EvidenceErrorCode]>([
    ["shown otherwise", { shown: utf8Encode('{"actor":"x"}') }, "receipt-unproven"],
    ["with one byte more", { shown: new Uint8Array([...SHOWN, 32]) }, "receipt-unproven"],
    ["that the redaction does not name", { receipt: withheld(3) }, "receipt-unproven"],
    ["that comes after the redaction", { receipt: withheld(9) }, "receipt-unproven"],
    ["with another event for its redaction", { redaction: receiptOf(8) }, "receipt-unproven"],
    ["with a redaction that carries no event", { redaction: withheld(7) }, "receipt-withheld"],
    ["with a damaged proof", { receipt: { ...withheld(2), proof: [] } }, "receipt-unproven"],
  ])("is not proven %s", async (_, changes, expected) => {
    await expect(verify(changes)).rejects.toThrow(code(expected));
  });

  test("survives its receipt's JSON form", () => {
    const receipt = { ...withheld(2), redacted: 7 };
    expect(parseReceipt(parseJson(JSON.stringify(receipt)))).toEqual(receipt);
    expect(() => parseReceipt(parseJson(JSON.stringify({ ...receipt, redacted: "7" })))).toThrow(
      code("receipt-invalid"),
    );
  });
});
