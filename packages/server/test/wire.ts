import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "./free-port.ts";

/** A TCP proxy that can stop passing anything on, without closing: a network that swallows everything. */
export interface Wire {
  readonly port: number;
  freeze(): void;
  thaw(): void;
  close(): Promise<void>;
}

/** Starts one in front of a port of this machine. @param address where it listens. */
export async function startWire(port: number, address = "127.0.0.1"): Promise<Wire> {
  const sockets = new Set<Socket>();
  /** Those whose other end closed while nothing was passed on: they hear of it when it is again. */
  const unaware = new Set<Socket>();
  let frozen = false;
  const listener: Server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      if (frozen) from.pause();
      from.on("data", (chunk) => to.write(chunk));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        if (frozen) unaware.add(to);
        else to.destroy();
      });
    }
    if (frozen) for (const socket of [near, far]) socket.pause();
  });
  const own = await freePort();
  await new Promise<void>((resolve) => listener.listen(own, address, resolve));
  return {
    port: own,
    freeze() {
      frozen = true;
      for (const socket of sockets) socket.pause();
    },
    thaw() {
      frozen = false;
      for (const socket of sockets) socket.resume();
      for (const socket of unaware) socket.destroy();
      unaware.clear();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}
