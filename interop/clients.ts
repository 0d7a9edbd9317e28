/** The real programs of other projects that the interop suite drives, each in one exact version, or the distribution's own. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Client = { name: string; version: string } & (
  | { from: "go"; package: string }
  | { from: "go-wrapper"; module: string; package: string }
  | { from: "npm"; package: string; program: string }
  | { from: "pip"; package: string; program: string }
  /** The one on the PATH, or else unpacked from Debian's packages, without installing them. `version` is the least that will do. */
  | { from: "debian"; packages: readonly string[]; program: string }
);

/** rpm with the libraries that it does not share with apt. */
const RPM_PACKAGES = [
  "rpm",
  "rpm-common",
  "librpm9",
  "librpmbuild9",
  "librpmio9",
  "librpmsign9",
  "libdw1",
  "libelf1",
  "libfsverity0",
  "liblua5.3-0",
  "libmagic1",
  "libpopt0",
];

/** Chromium without windows, with the libraries that a machine without a desktop lacks. */
const CHROMIUM_PACKAGES = [
  "chromium-headless-shell",
  "chromium-common",
  ..."libasound2 libasyncns0 libatk1.0-0 libatspi2.0-0 libdav1d6 libdbus-1-3 libdouble-conversion3 libexpat1 libflac12".split(
    " ",
  ),
  ..."libfontconfig1 libfreetype6 libgbm1 libglib2.0-0 libharfbuzz-subset0 libharfbuzz0b libjpeg62-turbo liblcms2-2".split(
    " ",
  ),
  ..."libminizip1 libmp3lame0 libmpg123-0 libnspr4 libnss3 libogg0 libopenh264-7 libopenjp2-7 libopus0 libpulse0".split(
    " ",
  ),
  ..."libsndfile1 libudev1 libvorbis0a libvorbisenc2 libx11-6 libxcb1 libxcomposite1 libxdamage1 libxext6".split(" "),
  ..."libxfixes3 libxkbcommon0 libxnvctrl0 libxrandr2 libzstd1".split(" "),
];

export const CLIENTS: readonly Client[] = [
  { name: "crane", from: "go", package: "github.com/google/go-containerregistry/cmd/crane", version: "v0.22.1" },
  { name: "cosign", from: "go", package: "github.com/sigstore/cosign/v3/cmd/cosign", version: "v3.1.3" },
  { name: "regctl", from: "go", package: "github.com/regclient/regclient/cmd/regctl", version: "v0.11.7" },
  { name: "oras", from: "go-wrapper", module: "oras.land/oras", package: "oras.land/oras/cmd/oras", version: "v1.3.1" },
  { name: "helm", from: "go", package: "helm.sh/helm/v3/cmd/helm", version: "v3.22.0" },
  // Another registry, for what goes from one to the other, and the one that ours is measured against.
  { name: "registry", from: "go", package: "github.com/distribution/distribution/v3/cmd/registry", version: "v3.1.2" },
  {
    name: "notation",
    from: "go-wrapper",
    module: "github.com/notaryproject/notation",
    package: "github.com/notaryproject/notation/cmd/notation",
    version: "v1.3.2",
  },
  {
    name: "slsa-verifier",
    from: "go-wrapper",
    module: "github.com/slsa-framework/slsa-verifier/v2",
    package: "github.com/slsa-framework/slsa-verifier/v2/cli/slsa-verifier",
    version: "v2.7.1",
  },
  { name: "fulcio", from: "go", package: "github.com/sigstore/fulcio", version: "v1.8.8" },
  {
    name: "rekor-tiles",
    from: "go-wrapper",
    module: "github.com/sigstore/rekor-tiles/v2",
    package: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
    version: "v2.3.0",
  },
  {
    name: "timestamp-server",
    from: "go",
    package: "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server",
    version: "v2.1.3",
  },
  { name: "sigstore", from: "pip", package: "sigstore", program: "bin/sigstore", version: "4.5.1" },
  {
    name: "registry",
    from: "go",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    version: "v3.1.2",
  },
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
  {
    name: "openssl",
    from: "debian",
    packages: ["openssl", "libssl3"],
    program: "usr/bin/openssl",
    version: "3.0",
  },
  {
    name: "skopeo",
    from: "debian",
    packages: ["skopeo", "libgpgme11", "golang-github-containers-common", "golang-github-containers-image"],
    program: "usr/bin/skopeo",
    version: "1.9",
  },
  {
    name: "buildah",
    from: "debian",
    packages: [
      "buildah",
      "libgpgme11",
      "libsubid4",
      "golang-github-containers-common",
      "golang-github-containers-image",
    ],
    program: "usr/bin/buildah",
    version: "1.28",
  },
  {
    name: "podman",
    from: "debian",
    packages: [
      "podman",
      "libgpgme11",
      "libsubid4",
      "golang-github-containers-common",
      "golang-github-containers-image",
    ],
    program: "usr/bin/podman",
    version: "4.3",
  },
  // podman asks for these two before it does anything at all, also where no container is run.
  {
    name: "conmon",
    from: "debian",
    packages: ["conmon", "libglib2.0-0"],
    program: "usr/bin/conmon",
    version: "2.1",
  },
  { name: "crun", from: "debian", packages: ["crun", "libyajl2"], program: "usr/bin/crun", version: "1.8" },
  { name: "age", from: "debian", packages: ["age"], program: "usr/bin/age", version: "1.1" },
  { name: "age-keygen", from: "debian", packages: ["age"], program: "usr/bin/age-keygen", version: "1.1" },
  { name: "strace", from: "debian", packages: ["strace", "libunwind8"], program: "usr/bin/strace", version: "6.1" },
  {
    name: "fish",
    from: "debian",
    packages: ["fish", "fish-common", "libpcre2-32-0"],
    program: "usr/bin/fish",
    version: "3.6",
  },
  { name: "zsh", from: "debian", packages: ["zsh", "zsh-common", "libcap2"], program: "bin/zsh", version: "5.9" },
  { name: "mandoc", from: "debian", packages: ["mandoc"], program: "usr/bin/mandoc", version: "1.14" },
  {
    name: "secret-tool",
    from: "debian",
    packages: ["libsecret-tools", "libsecret-1-0", "libglib2.0-0"],
    program: "usr/bin/secret-tool",
    version: "0.20",
  },
  {
    name: "gnome-keyring-daemon",
    from: "debian",
    packages: ["gnome-keyring", "libgck-1-0", "libgcr-base-3-1", "libglib2.0-0", "libp11-kit0", "libgcrypt20"],
    program: "usr/bin/gnome-keyring-daemon",
    version: "42",
  },
  {
    name: "dbus-run-session",
    from: "debian",
    packages: [
      "dbus-daemon",
      "dbus-session-bus-common",
      "libdbus-1-3",
      "libexpat1",
      "libapparmor1",
      "libaudit1",
      "libcap-ng0",
    ],
    program: "usr/bin/dbus-run-session",
    version: "1.14",
  },
  {
    name: "chromium-headless-shell",
    from: "debian",
    packages: CHROMIUM_PACKAGES,
    program: "usr/lib/chromium/chromium-headless-shell",
    version: "150",
  },
  { name: "rpmbuild", from: "debian", packages: RPM_PACKAGES, program: "usr/bin/rpmbuild", version: "4.18" },
  { name: "rpmsign", from: "debian", packages: RPM_PACKAGES, program: "usr/bin/rpmsign", version: "4.18" },
  { name: "rpmkeys", from: "debian", packages: RPM_PACKAGES, program: "usr/bin/rpmkeys", version: "4.18" },
];

/** Where `scripts/interop-install.ts` puts a client's program. */
export function clientProgram(name: string): string {
  return join(fileURLToPath(new URL("../.cache/interop/bin/", import.meta.url)), name);
}
