import { totalmem } from "node:os";
import process from "node:process";

/** What an operator may set; what is undefined has its default, and 0 is no limit. */
export interface PressureSettings {
  /** Bytes kept free under the data directory. */
  readonly diskFloor?: number | undefined;
  /** Bytes of bodies held in memory, of all processes together. */
  readonly maxBuffered?: number | undefined;
  /** Resident bytes, of all processes together. */
  readonly maxMemory?: number | undefined;
  /** Connections, of all processes together. */
  readonly maxConnections?: number | undefined;
  /** HTTP processes. */
  readonly workers: number;
}

/** One HTTP process's share. */
export interface PressureLimits {
  readonly diskFloor: number;
  readonly bodies: number;
  readonly memory: number;
  readonly connections: number;
}

const DISK_FLOOR = 256 * 1024 * 1024;
const CONNECTIONS = 4096;

/** The memory this process may have: its control group's, else the machine's, bytes. */
function availableMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** What each HTTP process is bounded by. With several, one more process holds the writer. */
export function pressureLimits(settings: PressureSettings, available = availableMemory()): PressureLimits {
  const { workers } = settings;
  const processes = workers === 1 ? 1 : workers + 1;
  const memory = settings.maxMemory ?? Math.floor(available * 0.75);
  // What bodies may take leaves most of the memory to what is made of them.
  const bodies = settings.maxBuffered ?? Math.floor((memory === 0 ? available : memory) / 4);
  return {
    diskFloor: settings.diskFloor ?? DISK_FLOOR,
    bodies: Math.ceil(bodies / workers),
    memory: Math.ceil(memory / processes),
    connections: Math.ceil((settings.maxConnections ?? CONNECTIONS) / workers),
  };
}
