import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { SESSION_NAME_MS } from "../src/registry/limits.ts";
import { isOpened, isUuid, openSession } from "../src/registry/session-name.ts";

const NOW = 1_795_366_956_536;
const MINUTE = 60_000;
const place = { owner: "person:ann", repository: "acme/app" };

it("is a UUID, and another each time", () => {
  const names = Array.from({ length: 1000 }, () => openSession(place, NOW));
  expect(new Set(names).size).toBe(1000);
  for (const name of names) {
    expect(isUuid(name)).toBe(true);
    // RFC 9562: version 8, variant 10.
    expect(name).toMatch(/^.{14}8.{4}[89ab]/);
  }
});

it("says for an hour that a session is open, by clocks that are a little apart", () => {
  const name = openSession(place, NOW);
  for (const now of [NOW, NOW + SESSION_NAME_MS, NOW - MINUTE]) expect(isOpened(name, place, now)).toBe(true);
  for (const now of [NOW + SESSION_NAME_MS + 1, NOW - 6 * MINUTE, 0]) expect(isOpened(name, place, now)).toBe(false);
});

it("says so to its owner alone, in its repository alone", () => {
  const name = openSession(place, NOW);
  for (const other of [
    { ...place, owner: "person:anne" },
    { ...place, repository: "acme/ap" },
    { owner: "", repository: "" },
    { owner: place.repository, repository: place.owner },
  ]) {
    expect(isOpened(name, other, NOW)).toBe(false);
  }
});

it("is no other text, and none that was altered", () => {
  for (const text of ["", "x", "../../assay.db", randomUUID(), "00000000-0000-4000-8000-000000000000"]) {
    expect(isOpened(text, place, NOW)).toBe(false);
  }
  const digits = "0123456789abcdef";
  fc.assert(
    fc.property(fc.nat(35), fc.nat(15), (at, digit) => {
      const name = openSession(place, NOW);
      const altered = `${name.slice(0, at)}${digits[digit]}${name.slice(at + 1)}`;
      expect(isOpened(altered, place, NOW)).toBe(altered === name);
    }),
  );
  fc.assert(fc.property(fc.uuid(), (uuid) => !isOpened(uuid, place, NOW)));
});
