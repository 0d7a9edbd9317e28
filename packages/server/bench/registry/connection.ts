import { connect, type Socket } from "node:net";

/** An answer, of whose body only the length is kept. */
export interface Answer {
  readonly status: number;
  /** The head as it came, in Latin-1. */
  readonly head: string;
  /** Bytes, without what the transfer encoding adds. */
  readonly length: number;
}

const END_OF_HEAD = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");
const READ_BYTES = 256 * 1024;

/** A header of an answer; undefined when it has none of that name. */
export function header({ head }: Answer, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r?$`, "im").exec(head)?.[1];
}

/**
 * One connection that is kept open, with one request under way at a time. It does as little as HTTP/1.1 allows (RFC 9112), reads into one
 * buffer and looks at no body: beside the server it measures on the same cores it must cost next to nothing.
 */
export class Connection {
  readonly #socket: Socket;
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;
  /** Of an answer whose head is not whole, or of a chunk's size line. */
  #rest: Buffer = Buffer.alloc(0);
  #head: { status: number; text: string } | undefined;
  #length = 0;
  /** Bytes of the body, or of its chunk, that are still to come. */
  #missing = 0;
  #chunked: "no" | "size" | "data" | "end" = "no";

  private constructor(port: number) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    this.#socket = connect({
      host: "127.0.0.1",
      port,
      noDelay: true,
      onread: {
        buffer,
        callback: (count) => {
          this.#take(buffer.subarray(0, count));
          return true;
        },
      },
    });
    const fail = (error: Error): void => {
      this.#waiting?.reject(error);
      this.#waiting = undefined;
    };
    this.#socket.on("error", fail);
    this.#socket.on("close", () => fail(new Error("the server closed the connection")));
  }

  static async open(port: number): Promise<Connection> {
    const connection = new Connection(port);
    await new Promise<void>((resolve, reject) => {
      connection.#socket.once("connect", resolve);
      connection.#socket.once("error", reject);
    });
    return connection;
  }

  /** Sends a whole request. @throws Error when the connection breaks before its answer. */
  send(request: readonly Uint8Array[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.cork();
      for (const part of request) this.#socket.write(part);
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(came: Buffer): void {
    let piece = came;
    if (this.#rest.length > 0) {
      piece = Buffer.concat([this.#rest, came]);
      this.#rest = Buffer.alloc(0);
    }
    while (piece.length > 0) {
      const left = this.#step(piece);
      if (left === undefined) {
        // The read buffer is used again: what is not whole yet is copied out of it.
        this.#rest = Buffer.from(piece);
        return;
      }
      piece = left;
    }
  }

  /** Takes what it can off a piece. @returns what is left; undefined when more has to come first. */
  #step(piece: Buffer): Buffer | undefined {
    if (this.#head === undefined) return this.#readHead(piece);
    if (this.#chunked === "size" || this.#chunked === "end") {
      const end = piece.indexOf(LINE_END);
      if (end === -1) return undefined;
      const rest = piece.subarray(end + 2);
      if (this.#chunked === "end") {
        this.#end();
        return rest;
      }
      const size = Number.parseInt(piece.toString("latin1", 0, end), 16);
      // The chunk's own line end comes after its data.
      this.#missing = size === 0 ? 0 : size + 2;
      this.#length += size;
      this.#chunked = size === 0 ? "end" : "data";
      return rest;
    }
    const taken = Math.min(piece.length, this.#missing);
    this.#missing -= taken;
    if (this.#missing === 0) {
      if (this.#chunked === "no") this.#end();
      else this.#chunked = "size";
    }
    return piece.subarray(taken);
  }

  #readHead(piece: Buffer): Buffer | undefined {
    const end = piece.indexOf(END_OF_HEAD);
    if (end === -1) return undefined;
    const text = piece.toString("latin1", 0, end);
    this.#head = { status: Number(text.slice(9, 12)), text };
    this.#chunked = /^transfer-encoding:[ \t]*chunked/im.test(text) ? "size" : "no";
    this.#length = this.#chunked === "no" ? Number(/^content-length:[ \t]*(\d+)/im.exec(text)?.[1] ?? 0) : 0;
    this.#missing = this.#length;
    if (this.#chunked === "no" && this.#missing === 0) this.#end();
    return piece.subarray(end + END_OF_HEAD.length);
  }

  #end(): void {
    const waiting = this.#waiting;
    const head = this.#head;
    const length = this.#length;
    this.#waiting = undefined;
    this.#head = undefined;
    this.#length = 0;
    if (head !== undefined) waiting?.resolve({ status: head.status, head: head.text, length });
  }
}
