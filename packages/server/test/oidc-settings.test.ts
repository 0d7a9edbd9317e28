/** The settings that say whose tokens are believed, and what may be asked at private addresses. */
import { describe, expect, it } from "vitest";
import { readConfig } from "../src/config.ts";

describe("ASSAY_OIDC_ISSUERS", () => {
  it("is GitHub and GitLab unless set, a list as their tokens spell it when set, and nobody for `none`", () => {
    expect(readConfig({}, []).oidcIssuers).toEqual([
      "https://token.actions.githubusercontent.com",
      "https://gitlab.com",
    ]);
    const set = { ASSAY_OIDC_ISSUERS: "https://ci.example.com/a/, https://gitlab.example.com:8443" };
    expect(readConfig(set, []).oidcIssuers).toEqual(["https://ci.example.com/a/", "https://gitlab.example.com:8443"]);
    expect(readConfig({ ASSAY_OIDC_ISSUERS: "none" }, []).oidcIssuers).toEqual([]);
  });

  it.each([
    "gitlab.com",
    "https://x.test?y",
    "https://u:p@x.test",
    "https://x.test,,",
    "ftp://x.test",
    "HTTPS://x.test",
  ])("%j stops the start", (text) => {
    expect(() => readConfig({ ASSAY_OIDC_ISSUERS: text }, [])).toThrow("ASSAY_OIDC_ISSUERS");
  });
});

describe("ASSAY_EGRESS_PRIVATE", () => {
  it("names hosts as URLs spell them, with a port or without", () => {
    const set = { ASSAY_EGRESS_PRIVATE: "gitlab.internal.example, 127.0.0.1:8443,[::1]:9000" };
    expect(readConfig(set, []).egressPrivate).toEqual(["gitlab.internal.example", "127.0.0.1:8443", "[::1]:9000"]);
    expect(readConfig({}, []).egressPrivate).toBeUndefined();
  });

  it.each(["https://x.test", "X.test", "x.test/", "*", "a b", "x.test,"])("%j stops the start", (text) => {
    expect(() => readConfig({ ASSAY_EGRESS_PRIVATE: text }, [])).toThrow("ASSAY_EGRESS_PRIVATE");
  });
});
