import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRepositoryUrl, parseSourceUri } from "../src/repository-url.ts";

describe("a source's address", () => {
  it("is a repository and perhaps a revision", () => {
    expect(parseSourceUri("git+https://GitHub.com/example/app.git@refs/heads/main")).toEqual({
      repository: "https://github.com/example/app",
      revision: "refs/heads/main",
    });
    expect(parseSourceUri("https://github.com/example/app")).toEqual({ repository: "https://github.com/example/app" });
    expect(parseSourceUri("git+ssh://git@git.example.com:2222/a/b/c.git")).toEqual({
      repository: "ssh://git@git.example.com:2222/a/b/c",
    });
  });

  it("drops the port that its scheme implies, and no other", () => {
    expect(parseRepositoryUrl("https://example.com:443/a")).toBe("https://example.com/a");
    expect(parseRepositoryUrl("https://example.com:80/a")).toBe("https://example.com:80/a");
    expect(parseRepositoryUrl("ssh://git@example.com:443/a")).toBe("ssh://git@example.com:443/a");
  });

  it.each([
    "",
    "https://",
    "https:///a",
    "https://example.com",
    "https://example.com/",
    "https://example.com/a/",
    "https://example.com//a",
    "https://example.com/./a",
    "https://example.com/a/..",
    "https://example.com/a%2fb",
    "https://example.com/a b",
    "https://example.com/a?b",
    "https://example.com/a#b",
    "https://example.com/a@",
    "https://example.com/a@b@c",
    "https://example.com/a@b c",
    "https://example.com./a",
    "https://.example.com/a",
    "https://-example.com/a",
    "https://exam_ple.com/a",
    "https://example.com:0/a",
    "https://example.com:65536/a",
    "https://example.com:/a",
    "https://example.com:4x/a",
    "https://user:pass@example.com/a",
    "https://[::1]/a",
    "ssh://example.com/a",
    "ssh://root@example.com/a",
    "http://example.com/a",
    "HTTPS://example.com/a",
    "git+git+https://example.com/a",
    "git@example.com:a/b",
    "file:///a",
    `https://example.com/${"a".repeat(2_000)}`,
  ])("%s cannot be compared", (uri) => {
    expect(parseSourceUri(uri)).toBeUndefined();
  });

  it("in its normal form is its own normal form", () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9._~+-]{1,12}$/);
    const address = fc.tuple(
      fc.constantFrom("https://Example.com", "ssh://git@e.org:22"),
      fc.array(segment, { minLength: 1, maxLength: 4 }),
    );
    fc.assert(
      fc.property(address, ([host, segments]) => {
        const once = parseRepositoryUrl(`${host}/${segments.join("/")}`);
        fc.pre(once !== undefined && !once.endsWith(".git"));
        expect(parseRepositoryUrl(once ?? "")).toBe(once);
        expect(parseRepositoryUrl(`git+${once}.git`)).toBe(once);
      }),
    );
  });
});
