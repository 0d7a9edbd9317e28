import { z } from "zod";
import type { RecordClient } from "../record/client.ts";
import type { Reader } from "../storage/database.ts";
import { Gathering } from "../jobs/gathering.ts";
import { openJob } from "../jobs/operations.ts";
import { DELIVER, deliveryKey, firstCursor } from "./operations.ts";
import { allWebhooks, cursorOf, oldestKept, type WebhookRow, webhookById, webhooksOf } from "./queries.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { type Lift, scan } from "./scan.ts";
import { DELIVERY_STATES } from "./schema.ts";

/** How long events of one organisation are gathered before anybody looks, ms. */
const GATHER_MS = 100;

/** Endpoints read in one step of a look at all of them. */
const STEP = 200;

/** Endpoints whose scans are remembered at most. */
const REMEMBERED = 10_000;

const advanced = z.object({ moved: z.boolean() });

/** What looks after new events need. */
export interface WatchOptions {
  readonly reader: Reader;
  readonly record: Pick<RecordClient, "operate">;
  readonly lift: Lift;
  /** Tells the runner of this process that there is work. */
  readonly wake: () => void;
  readonly log: { warn(detail: object, message: string): void };
}

/**
 * Finds what endpoints are to be told next and makes its job. It is told of every append of this process; what a process that died did not
 * look at, the look at all endpoints finds, at the start and every few minutes.
 */
export class WebhookWatch {
  readonly #options: WatchOptions;
  readonly #gathering = new Gathering(GATHER_MS, (orgs) => this.#look(orgs));
  /** How far endpoints with nothing to tell were scanned beyond their position: not written down, only not scanned again. */
  readonly #scanned = new Map<number, { readonly position: number; readonly to: number }>();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Something was recorded of these organisations. */
  appended(orgs: Iterable<string>): void {
    this.#gathering.add(orgs);
  }

  /** Looks at everything once: what was recorded while no server ran, or by one that died. */
  start(): void {
    this.#gathering.during(() => this.lookAtAll(async () => undefined).catch((error: unknown) => this.#warn(error)));
  }

  /** Ends looking, and waits for a look under way. */
  async stop(): Promise<void> {
    await this.#gathering.stop();
  }

  /** Never rejects. */
  async #look(orgs: readonly string[]): Promise<void> {
    try {
      for (const org of orgs) {
        for (const webhook of await webhooksOf(this.#options.reader, org)) await this.#goOn(webhook);
      }
    } catch (error) {
      this.#warn(error);
    }
  }

  /** Nothing is lost: the look at all endpoints comes again. */
  #warn(error: unknown): void {
    if (!this.#gathering.isStopped)
      this.#options.log.warn({ err: error }, "what webhooks are to be told could not be looked up");
  }

  /**
   * Looks at every endpoint of every organisation, and lets go of old deliveries.
   *
   * @param renew called as it gets on.
   */
  async lookAtAll(renew: () => Promise<void>): Promise<void> {
    const { reader, record } = this.#options;
    let after = { org: "", name: "" };
    for (;;) {
      const webhooks = await allWebhooks(reader, after, STEP);
      for (const webhook of webhooks) {
        await this.#goOn(webhook);
        const { org, id } = webhook;
        for (const state of DELIVERY_STATES) {
          const upTo = await oldestKept(reader, webhook, state, WEBHOOK_LIMITS.kept);
          if (upTo !== undefined) await record.operate("webhooks.forget", { org, webhook: id, state, upTo });
        }
        after = { org, name: webhook.name };
      }
      if (webhooks.length < STEP) return;
      await renew();
    }
  }

  /** {@link advance}, whose trouble with one endpoint is nobody else's. */
  async #goOn(webhook: WebhookRow): Promise<void> {
    try {
      await this.advance(webhook);
    } catch (error) {
      this.#warn(error);
    }
  }

  /**
   * Goes on to the next event an endpoint is to be told, if none is under way. It looks so far in one turn: an endpoint that is told little
   * of much holds up no other, and goes on when all have had theirs.
   */
  async advance(given: Pick<WebhookRow, "org" | "id">): Promise<void> {
    const { reader, record, lift, wake } = this.#options;
    const { org, id } = given;
    for (let step = 0; step < WEBHOOK_LIMITS.stepsAtOnce; step += 1) {
      const webhook = await webhookById(reader, org, id);
      if (webhook === undefined || webhook.paused_time !== null) return;
      const cursor = (await cursorOf(reader, org, id)) ?? firstCursor(webhook);
      // In order: what comes after waits until this one is settled, and whoever settles it goes on.
      if (cursor.head !== null && (await openJob(reader, DELIVER, deliveryKey(org, id, cursor.head))) !== undefined)
        return;
      const known = this.#scanned.get(id);
      const from = known?.position === cursor.position && cursor.head === null ? known.to : cursor.position;
      const { to, next, end } = await scan(reader, lift, webhook, from);
      if (next === undefined && end && to - cursor.position < WEBHOOK_LIMITS.scanStep) {
        this.#remember(id, { position: cursor.position, to });
        return;
      }
      const answer = await record.operate("webhooks.advance", {
        org,
        webhook: id,
        from: cursor.position,
        to,
        next: next?.sequence ?? null,
      });
      if (!advanced.parse(answer).moved) return;
      if (next !== undefined) {
        wake();
        return;
      }
      if (end) return;
    }
    this.appended([org]);
  }

  #remember(id: number, scanned: { readonly position: number; readonly to: number }): void {
    if (this.#scanned.size >= REMEMBERED) this.#scanned.clear();
    this.#scanned.set(id, scanned);
  }
}
