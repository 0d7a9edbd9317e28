import type { JsonValue } from "@assay/evidence";
import { ServerError, type ServerErrorCode } from "../errors.ts";
import type { Appended, RecordClient } from "./client.ts";
import type { Command, JsonObject } from "./command.ts";
import type { RecordStamp } from "./stamp.ts";

/**
 * Requests of one process that may be on their way at once. The writer refuses what is too much for its queue, but it has to see a
 * request to refuse it: a writer that does not get round to that must not let them pile up in the channel.
 */
const WAITING_LIMIT = 8192;

/** What crosses to the writer: plain data, structured-clone and JSON safe. */
export type WriterRequest =
  | { readonly id: number; readonly kind: "append"; readonly commands: readonly Command[] }
  | { readonly id: number; readonly kind: "operate"; readonly type: string; readonly body: JsonObject };

export type WriterAnswer =
  | { readonly id: number; readonly kind: "appended"; readonly appended: Appended }
  | { readonly id: number; readonly kind: "operated"; readonly result: JsonValue }
  | {
      readonly id: number;
      readonly kind: "failed";
      readonly code: ServerErrorCode;
      readonly message: string;
      readonly hint?: string;
    };

/** Runs one request against the writer and forms its answer; never rejects. */
export async function answerRequest(record: RecordClient, request: WriterRequest): Promise<WriterAnswer> {
  try {
    if (request.kind === "append") {
      return { id: request.id, kind: "appended", appended: await record.append(request.commands) };
    }
    return { id: request.id, kind: "operated", result: await record.operate(request.type, request.body) };
  } catch (error) {
    const code = error instanceof ServerError ? error.code : "internal";
    const message = error instanceof Error ? error.message : String(error);
    const hint = error instanceof ServerError ? error.hint : undefined;
    return { id: request.id, kind: "failed", code, message, ...(hint === undefined ? {} : { hint }) };
  }
}

/** The record as seen through a channel: every HTTP process holds one of these. */
export class ChannelClient implements RecordClient {
  readonly stamp: RecordStamp | undefined;
  readonly #send: (request: WriterRequest) => void;
  readonly #waiting = new Map<number, { resolve: (answer: WriterAnswer) => void; reject: (error: unknown) => void }>();
  #next = 1;
  #closed: ServerError | undefined;

  constructor(send: (request: WriterRequest) => void, stamp?: RecordStamp) {
    this.#send = send;
    this.stamp = stamp;
  }

  async append(commands: Command | readonly Command[]): Promise<Appended> {
    const list = Array.isArray(commands) ? (commands as readonly Command[]) : [commands as Command];
    const answer = await this.#ask((id) => ({ id, kind: "append", commands: list }));
    if (answer.kind !== "appended")
      throw new ServerError("internal", "the writer answered an append with something else");
    return answer.appended;
  }

  async operate(type: string, body: JsonObject): Promise<JsonValue> {
    const answer = await this.#ask((id) => ({ id, kind: "operate", type, body }));
    if (answer.kind !== "operated")
      throw new ServerError("internal", "the writer answered an operation with something else");
    return answer.result;
  }

  /** Takes an answer that came through the channel. */
  receive(answer: WriterAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    if (answer.kind === "failed") {
      waiting.reject(
        new ServerError(answer.code, answer.message, answer.hint === undefined ? {} : { hint: answer.hint }),
      );
    } else {
      waiting.resolve(answer);
    }
  }

  /** The channel is gone: what waits fails, and so does everything after it. Whether a waiting write was recorded is unknown. */
  close(reason: string): void {
    this.#closed = new ServerError("writer-stopped", reason);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#closed);
    this.#waiting.clear();
  }

  #ask(form: (id: number) => WriterRequest): Promise<WriterAnswer> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#waiting.size >= WAITING_LIMIT) {
      return Promise.reject(
        new ServerError("writer-overloaded", `${WAITING_LIMIT} writes of this process are waiting`, {
          hint: "try again in a moment",
        }),
      );
    }
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send(form(id));
    });
  }
}
