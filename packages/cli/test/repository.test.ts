import { matchesRepository } from "@assay/evidence";
import { describe, expect, it } from "vitest";
import { patternOf, repositoryOf } from "../src/judging/repository.ts";

describe("a repository's name", () => {
  it("is completed with its organisation", () => {
    expect(repositoryOf("acme", "app")).toBe("acme/app");
    expect(repositoryOf("acme", "acme/team/app")).toBe("acme/team/app");
  });

  it("is refused where it is another organisation's, or no name", () => {
    for (const name of ["other/app", "App", "", "acme/", "/app", "acme/app:1", "acme//app", "acmes/app"]) {
      expect(() => repositoryOf("acme", name), name).toThrow(/not the name of a repository of acme/);
    }
  });
});

describe("a repository pattern of a trust entry", () => {
  it("is completed where it could match nothing, and else kept", () => {
    for (const [given, whole] of [
      ["app", "acme/app"],
      ["*", "acme/*"],
      ["app-*", "acme/app-*"],
      ["**", "**"],
      ["acme/**", "acme/**"],
      ["acme/*/app", "acme/*/app"],
      ["*/app", "*/app"],
    ] as const) {
      expect(patternOf("acme", given)).toBe(whole);
    }
    expect(matchesRepository([patternOf("acme", "app")], "acme/app")).toBe(true);
  });

  it("is refused where it begins with another organisation, or is no name", () => {
    for (const pattern of ["other/app", "other/*", "", "Acme/app", "acme/App", "acme/"]) {
      expect(() => patternOf("acme", pattern), pattern).toThrow(/not the name of a repository of acme/);
    }
  });
});
