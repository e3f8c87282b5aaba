/** Asks the dispatchers for what was stored, page by page. */
import type { Bus } from "@myelin/bus";
import { history, subjects } from "@myelin/contract";

/** The dispatcher gives a store half a minute. */
const ANSWER_WITHIN_MS = 35_000;
/** A dispatcher gives fewer where they are large. */
const PAGE_ROWS = 5_000;

/** What is asked for; see `history.Query`. */
export interface HistoryWish {
  /** Left out: the only one there is. */
  readonly sink?: string | undefined;
  readonly tenant: string;
  readonly device: string;
  readonly path?: string | undefined;
  readonly point?: string | undefined;
  /** Microseconds since the Unix epoch. */
  readonly fromUs: number;
  readonly toUs: number;
  readonly question: NonNullable<history.Query["question"]>;
}

/** Keeps nothing between two calls. */
export class HistoryClient {
  constructor(private readonly bus: Pick<Bus, "request">) {}

  /** @param cursor of the page before; empty for the first one. @throws AppError `history.*`, `store.*`, `request.*`, `bus.*` */
  async page(wish: HistoryWish, limit: number, cursor = ""): Promise<history.Answer> {
    const { sink = "", ...rest } = wish;
    const query = history.Query.fromPartial({ ...rest, sink, limit: Math.min(limit, PAGE_ROWS), cursor });
    const request = history.Query.encode(query).finish();
    return history.Answer.decode(await this.bus.request(subjects.historyQuery(), request, ANSWER_WITHIN_MS));
  }

  /** So many rows over as many pages as they take; the last one has the cursor where a limit has ended it. @throws as `page` */
  async *pages(
    wish: HistoryWish,
    limit = Number.POSITIVE_INFINITY,
    cursor = "",
  ): AsyncGenerator<history.Answer, void> {
    let at = cursor;
    for (let left = limit; left > 0; ) {
      const answer = await this.page(wish, left, at);
      yield answer;
      left -= answer.readings.length + answer.aggregates.length;
      at = answer.cursor;
      if (at === "") return;
    }
  }
}
