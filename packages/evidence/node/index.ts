/** The parts of the evidence package that need Node: its crypto port and private keys. */
export { nodeCrypto } from "./nodecrypto.ts";
export { generateKeyPair, PrivateKey, privateKeyFromPem, privateKeyFromPkcs8, sign } from "./privatekey.ts";
