import { BlockList, isIP } from "node:net";

/**
 * Addresses that are not the public internet's: this machine, private networks, link-local (cloud metadata services live there), and what
 * is reserved or relays to IPv4 (IANA special-purpose registries, RFC 6890; RFC 6052, RFC 3056, RFC 4380 for the relays).
 */
const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const) {
  PRIVATE.addSubnet(network, prefix, "ipv4");
}

/** Of IPv6 only global unicast is public (RFC 4291 §2.4), and not all of it. */
const GLOBAL_UNICAST = new BlockList();
GLOBAL_UNICAST.addSubnet("2000::", 3, "ipv6");
for (const [network, prefix] of [
  // Protocol assignments with Teredo (RFC 4380), documentation (RFC 3849, RFC 9637), 6to4 (RFC 3056).
  ["2001::", 23],
  ["2001:db8::", 32],
  ["3fff::", 20],
  ["2002::", 16],
] as const) {
  PRIVATE.addSubnet(network, prefix, "ipv6");
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Whether an address is of the public internet. What is no address is not. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !PRIVATE.check(address, "ipv4");
    case 6:
      // An IPv4-mapped address (::ffff:0:0/96) is not global unicast, and so never public here.
      return GLOBAL_UNICAST.check(address, "ipv6") && !PRIVATE.check(address, "ipv6");
    default:
      return false;
  }
}

/** Whether an address is this machine's own. */
export function isLoopbackAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 4 ? "ipv4" : "ipv6");
}
