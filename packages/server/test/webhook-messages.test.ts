/** What is sent, and whether those who are told can read it: CloudEvents' own SDK, and CDEvents' rules. */
import { CloudEvent, HTTP } from "cloudevents";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WEBHOOK_FORMATS } from "../src/webhooks/endpoint.ts";
import { factOf, isTold, tells } from "../src/webhooks/fact.ts";
import { WEBHOOK_LIMITS } from "../src/webhooks/limits.ts";
import { messageBody, messageId, type Occurrence } from "../src/webhooks/message.ts";
import { composeParts } from "../src/composition.ts";
import type { JsonObject } from "../src/record/command.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const OTHER = `sha256:${"cd".repeat(32)}`;

/** A body of each event that tells something, with what must not be told. */
const EVENTS: Readonly<Record<string, JsonObject>> = {
  "registry.manifest-pushed": {
    repository: "acme/app",
    digest: DIGEST,
    size: 7,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    annotations: { note: "SECRET" },
    references: [],
  },
  "registry.manifest-deleted": { repository: "acme/app", digest: DIGEST, tags: ["1.0.0"] },
  "registry.tag-set": { repository: "acme/app", tag: "1.0.0", digest: DIGEST, previous: OTHER },
  "registry.tag-deleted": { repository: "acme/app", tag: "1.0.0", digest: DIGEST },
  "registry.tag-move-refused": { repository: "acme/app", tag: "1.0.0", names: DIGEST, refused: OTHER },
  "registry.quota-neared": { scope: "acme", bytes: 1000, used: 900 },
  "registry.quota-exceeded": { scope: "acme/app", repository: "acme/app", bytes: 1000, used: 900, needed: 101 },
  "registry.repository-deleted": { repository: "acme/app", reason: "SECRET" },
  "registry.restored": {
    repository: "acme/app",
    deletion: 41,
    place: "acme/app",
    kind: "manifest",
    digest: DIGEST,
    tags: ["1.0.0"],
  },
  "registry.promoted": {
    from: "acme/app",
    repository: "acme/delivered",
    digest: DIGEST,
    manifests: [DIGEST],
    tags: [{ tag: "1.0.0", digest: DIGEST, previous: null }],
    allowed: { policy: "p", decision: OTHER },
  },
  "attestations.evidence-added": {
    evidence: OTHER,
    form: "dsse",
    size: 100,
    predicateType: "https://slsa.dev/provenance/v1",
    subjects: [DIGEST],
    payloadDigest: OTHER,
    signature: OTHER,
    hint: "SECRET",
    signers: [],
    unreadable: null,
    repository: "acme/app",
    source: { kind: "api" },
    step: { flow: "SECRET" },
    wrapping: null,
    fields: [{ name: "builder.id", value: "SECRET" }],
    earlier: null,
  },
  "attestations.evidence-linked": {
    evidence: OTHER,
    form: "dsse",
    repository: "acme/app",
    subject: DIGEST,
    source: { kind: "api" },
  },
  "gate.decision-made": {
    id: OTHER,
    decision: {
      result: "denied",
      subject: DIGEST,
      repository: "acme/app",
      policy: { digest: OTHER, name: "p" },
      rules: [{ missing: "SECRET" }],
    },
    policy: { name: "p", version: 2 },
    question: OTHER,
    answer: OTHER,
    vsa: OTHER,
  },
};

function occurrence(type: string, body: JsonObject): Occurrence {
  const fact = factOf({ type, body });
  if (fact === undefined) throw new Error(`${type} tells nothing`);
  return { org: "acme", id: messageId("acme", 42), sequence: 42, time: 1_790_000_000_123, actor: "person:alice", fact };
}

const URL_OF_SERVER = "https://assay.example:8443";
const written = (format: (typeof WEBHOOK_FORMATS)[number], type: string): string =>
  Buffer.from(messageBody(format, occurrence(type, EVENTS[type] ?? {}), URL_OF_SERVER)).toString("utf8");

describe("every event that tells something", () => {
  const types = [...composeParts().events.keys()].filter(tells);

  it("is one of the list here", () => {
    expect(types.toSorted()).toEqual(Object.keys(EVENTS).toSorted());
  });

  it.each(types.flatMap((type) => WEBHOOK_FORMATS.map((format) => [type, format] as const)))(
    "%s is, as %s, an event that CloudEvents' own SDK reads and finds valid",
    (type, format) => {
      const body = written(format, type);
      const headers = { "content-type": "application/cloudevents+json; charset=utf-8" };
      expect(HTTP.isEvent({ headers, body })).toBe(true);
      const event = HTTP.toEvent<Record<string, unknown>>({ headers, body });
      if (!(event instanceof CloudEvent)) throw new Error("it is a batch");
      expect(event.validate()).toBe(true);
      expect(event).toMatchObject({
        id: "acme/42",
        specversion: "1.0",
        source: `${URL_OF_SERVER}/api/assay/v1/orgs/acme`,
        time: "2026-09-21T14:13:20.123Z",
        datacontenttype: "application/json",
        sequence: "0000000000000042",
      });
      expect(event.data).toEqual((JSON.parse(body) as { data: unknown }).data);
    },
  );

  it.each(types)("%s tells digests and names, and no words of evidence, rules or annotations", (type) => {
    for (const format of WEBHOOK_FORMATS) expect(written(format, type)).not.toContain("SECRET");
    // What is of a whole repository or organisation has no digest.
    const whole = type === "registry.repository-deleted" || type.startsWith("registry.quota-");
    expect(written("cloudevents", type)).toContain(whole ? '"subject":"acme' : DIGEST);
  });
});

describe("a CDEvent", () => {
  const read = (type: string): Record<string, unknown> =>
    JSON.parse(written("cdevents", type)) as Record<string, unknown>;
  const dataOf = (event: Record<string, unknown>) => event["data"] as Record<string, Record<string, unknown>>;
  const KNOWN: Readonly<Record<string, string>> = {
    "registry.manifest-pushed": "dev.cdevents.artifact.published.0.3.0",
    "registry.manifest-deleted": "dev.cdevents.artifact.deleted.0.2.0",
  };

  it.each(Object.keys(EVENTS))("of %s has the CloudEvent's own context, as the binding asks", (type) => {
    const event = read(type);
    const data = dataOf(event);
    expect(data["context"]).toEqual({
      specversion: "0.5.1",
      id: event["id"],
      source: event["source"],
      type: event["type"],
      timestamp: event["time"],
    });
    expect(data["subject"]?.["id"]).toBe(event["subject"]);
    expect(Object.keys(data["subject"] ?? {}).toSorted()).toEqual(["content", "id", "source"]);
  });

  // CDEvents 0.5.1: schemas/artifactpublished.json and artifactdeleted.json.
  it.each(Object.entries(KNOWN))("of %s is %s, about the artifact's package URL", (type, name) => {
    const event = read(type);
    const data = dataOf(event);
    expect(event["type"]).toBe(name);
    expect(data["subject"]?.["content"]).toEqual({ user: "person:alice" });
    expect(event["subject"]).toBe(
      `pkg:oci/app@sha256%3A${"ab".repeat(32)}?repository_url=assay.example%3A8443/acme/app`,
    );
    expect(data["customData"]).toMatchObject({ digest: DIGEST, repository: "acme/app", sequence: 42 });
    expect(Object.keys(data).toSorted()).toEqual(["context", "customData", "customDataContentType", "subject"]);
  });

  // CDEvents 0.5.1: custom/schema.json.
  it.each(Object.keys(EVENTS).filter((type) => !Object.hasOwn(KNOWN, type)))("of %s is a custom event", (type) => {
    const event = read(type);
    expect(event["type"]).toMatch(/^dev\.cdeventsx\.[a-zA-Z0-9]+-[a-zA-Z]+\.[a-zA-Z]+\.[0-9]\.[0-9]\.[0-9]$/);
    expect(Object.keys(dataOf(event)).toSorted()).toEqual(["context", "subject"]);
  });
});

describe("a message", () => {
  it("lists so many names and says how many it leaves out, and stays within its size", () => {
    const tags = Array.from({ length: 5_000 }, (_, at) => `${at}-${"x".repeat(120)}`);
    const body = { repository: "acme/app", digest: DIGEST, tags };
    const bytes = messageBody("cdevents", occurrence("registry.manifest-deleted", body), URL_OF_SERVER);
    expect(bytes.length).toBeLessThan(WEBHOOK_LIMITS.bodyBytes);
    const text = Buffer.from(bytes).toString("utf8");
    expect(text).toContain(`"tagsOmitted":4900`);
    expect(text).toContain(tags[99]);
    expect(text).not.toContain(`"${String(tags[100])}"`);
  });

  it("is the same bytes each time", () => {
    expect(written("cloudevents", "registry.tag-set")).toBe(written("cloudevents", "registry.tag-set"));
  });
});

describe("a filter", () => {
  it("that is bound to repositories is not told what lies in none", () => {
    const fact = { kind: "evidence" as const, repository: null };
    expect(isTold({ kinds: ["evidence"], repositories: null }, fact)).toBe(true);
    expect(isTold({ kinds: ["evidence"], repositories: ["acme/**"] }, fact)).toBe(false);
  });

  it("never matches another organisation's repositories", () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,6}$/);
    fc.assert(
      fc.property(component, component, component, (org, name, other) => {
        fc.pre(other !== org);
        const filter = { kinds: ["push" as const], repositories: [`${org}/**`, `${org}/*`] };
        expect(isTold(filter, { kind: "push", repository: `${other}/${name}` })).toBe(false);
        expect(isTold(filter, { kind: "push", repository: `${org}/${name}` })).toBe(true);
        expect(isTold({ ...filter, kinds: ["tag"] }, { kind: "push", repository: `${org}/${name}` })).toBe(false);
      }),
    );
  });
});
