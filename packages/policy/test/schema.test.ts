import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { policySchema } from "../src/index.ts";
import { RULE_KINDS } from "../src/schema.ts";

type Schema = { [key: string]: unknown };

const member = (schema: unknown, ...path: string[]): Schema =>
  path.reduce((at, key) => (at as { [key: string]: Schema })[key] ?? {}, schema as Schema);

describe("the published JSON Schema", () => {
  it("is the committed one; if not, run: node packages/policy/test/write-schema.ts", () => {
    const committed: unknown = JSON.parse(
      readFileSync(new URL("../../../docs/policy.schema.json", import.meta.url), "utf8"),
    );
    expect(committed).toEqual(JSON.parse(JSON.stringify(policySchema())));
  });

  it("is of draft 2020-12, has a name and describes itself", () => {
    expect(policySchema()).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "https://assay.dev/schemas/policy/v1.json",
      title: "Assay policy",
      additionalProperties: false,
      required: ["version", "name", "rules"],
    });
  });

  it("describes every key, so that an editor can", () => {
    const undescribed: string[] = [];
    const walk = (schema: unknown, path: string): void => {
      if (typeof schema !== "object" || schema === null) return;
      for (const [key, value] of Object.entries(member(schema, "properties"))) {
        const { description, $ref } = value as Schema;
        if (description === undefined && $ref === undefined) undescribed.push(`${path}.${key}`);
      }
      for (const [key, value] of Object.entries(schema)) walk(value, `${path}.${key}`);
    };
    walk(policySchema(), "");
    expect(undescribed).toEqual([]);
  });

  it("asks each rule for exactly one kind, and knows all kinds", () => {
    const rule = member(policySchema(), "properties", "rules", "items");
    expect(rule["oneOf"]).toEqual(Object.keys(RULE_KINDS).map((kind) => ({ required: [kind] })));
    expect(rule).toMatchObject({ additionalProperties: false, required: ["id"] });
    for (const kind of Object.keys(RULE_KINDS)) {
      expect(member(rule, "properties", kind)).toMatchObject({
        additionalProperties: false,
        examples: [expect.anything()],
      });
    }
  });
});
