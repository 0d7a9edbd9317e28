/** A network namespace for one server, with two cables: one to its clients, one to its database and blobs, which can be pulled. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import process from "node:process";
import { startWire, type Wire } from "../packages/server/test/wire.ts";

/** Why there can be no such namespace here; undefined when there can. */
export function whyNoCutOff(): string | undefined {
  if (process.getuid?.() !== 0) return "not run: only root may make network namespaces";
  try {
    execFileSync("ip", ["netns", "list"], { stdio: "pipe" });
    return undefined;
  } catch {
    // No program, or no right: both mean that it cannot be done.
    return "not run: there is no `ip netns` (package iproute2)";
  }
}

export interface CutOff {
  /** What runs a command inside. */
  readonly within: readonly string[];
  /** Its address for clients. */
  readonly address: string;
  /** Makes a port of this machine's loopback reachable from inside, over the cable that can be pulled. @returns host:port there. */
  forward(port: number): Promise<string>;
  /** Pulls the cable: nothing passes, nobody is told. */
  cut(): void;
  mend(): void;
  remove(): Promise<void>;
}

/** Makes one. */
export async function makeCutOff(): Promise<CutOff> {
  const id = randomBytes(3).toString("hex");
  const name = `assay-${id}`;
  const ip = (...args: string[]): void => void execFileSync("ip", args, { stdio: "pipe" });
  // Two of the /30 networks of 198.18.0.0/15, which is kept for tests of devices (RFC 2544).
  const net = 4 * (randomBytes(1)[0] ?? 0);
  const near = (cable: number): string => `198.18.${cable}.${(net % 252) + 1}`;
  const far = (cable: number): string => `198.18.${cable}.${(net % 252) + 2}`;
  const link = (cable: number): string => `as${id}${cable}`;
  ip("netns", "add", name);
  for (const cable of [0, 1]) {
    ip("link", "add", link(cable), "type", "veth", "peer", "name", "eth0", "netns", name);
    ip("-n", name, "link", "set", "eth0", "name", `eth${cable + 1}`);
    ip("addr", "add", `${near(cable)}/30`, "dev", link(cable));
    ip("link", "set", link(cable), "up");
    ip("-n", name, "addr", "add", `${far(cable)}/30`, "dev", `eth${cable + 1}`);
    ip("-n", name, "link", "set", `eth${cable + 1}`, "up");
  }
  ip("-n", name, "link", "set", "lo", "up");
  const wires: Wire[] = [];
  return {
    within: ["ip", "netns", "exec", name],
    address: far(0),
    async forward(port) {
      const wire = await startWire(port, near(1));
      wires.push(wire);
      return `${near(1)}:${wire.port}`;
    },
    // Its end inside: this machine's goes on as if nothing had happened, and hears nothing.
    cut: () => ip("-n", name, "link", "set", "eth2", "down"),
    mend: () => ip("-n", name, "link", "set", "eth2", "up"),
    async remove() {
      for (const wire of wires) await wire.close();
      ip("netns", "delete", name);
    },
  };
}
