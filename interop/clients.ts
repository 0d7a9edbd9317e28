/** The real programs of other projects that the interop suite drives, each in one exact version, or the distribution's own. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Client = { name: string; version: string } & (
  | { from: "go"; package: string }
  | { from: "go-wrapper"; module: string; package: string }
  | { from: "npm"; package: string; program: string }
  /** The one on the PATH, or else unpacked from Debian's packages, without installing them. `version` is the least that will do. */
  | { from: "debian"; packages: readonly string[]; program: string }
);

export const CLIENTS: readonly Client[] = [
  { name: "crane", from: "go", package: "github.com/google/go-containerregistry/cmd/crane", version: "v0.22.1" },
  { name: "cosign", from: "go", package: "github.com/sigstore/cosign/v3/cmd/cosign", version: "v3.1.3" },
  { name: "regctl", from: "go", package: "github.com/regclient/regclient/cmd/regctl", version: "v0.11.7" },
  { name: "oras", from: "go-wrapper", module: "oras.land/oras", package: "oras.land/oras/cmd/oras", version: "v1.3.1" },
  { name: "litewitness", from: "go", package: "filippo.io/torchwood/cmd/litewitness", version: "v0.9.0" },
  { name: "versitygw", from: "go", package: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" },
  {
    name: "kosli",
    from: "npm",
    package: `@kosli/cli-${process.platform}-${process.arch}`,
    program: "bin/kosli",
    version: "2.43.1",
  },
  {
    name: "nginx",
    from: "debian",
    packages: ["nginx", "libpcre2-8-0", "libssl3"],
    program: "usr/sbin/nginx",
    version: "1.22",
  },
  { name: "age", from: "debian", packages: ["age"], program: "usr/bin/age", version: "1.1" },
  { name: "age-keygen", from: "debian", packages: ["age"], program: "usr/bin/age-keygen", version: "1.1" },
  { name: "strace", from: "debian", packages: ["strace", "libunwind8"], program: "usr/bin/strace", version: "6.1" },
];

/** Where `scripts/interop-install.ts` puts a client's program. */
export function clientProgram(name: string): string {
  return join(fileURLToPath(new URL("../.cache/interop/bin/", import.meta.url)), name);
}
