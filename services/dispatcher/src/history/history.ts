/** Answers what is asked about stored readings, a page at a time. */
import type { Bus, Subscription } from "@myelin/bus";
import { history, subjects } from "@myelin/contract";
import type { Aggregate, Page, Reading } from "@myelin/data-store";
import { AppError, type Component } from "@myelin/kernel";
import type { Sink, Sinks } from "./sinks.js";

const QUEUE = "dispatchers";
const MAX_ROWS = 5_000;
/** What an answer has around its rows. */
const MARGIN_BYTES = 16 * 1024;

const QUALITIES = {
  good: history.Quality.GOOD,
  uncertain: history.Quality.UNCERTAIN,
  bad: history.Quality.BAD,
} as const satisfies Record<Reading["quality"], history.Quality>;

/** Of all dispatchers one answers: they have the same sinks, and sinks that several use have one store. */
export class History implements Component {
  readonly name = "history";
  private served: Subscription | undefined;

  constructor(
    private readonly bus: Pick<Bus, "serve" | "maxPayloadBytes">,
    private readonly sinks: Pick<Sinks, "get" | "all">,
  ) {}

  async start(): Promise<void> {
    const answer = (data: Uint8Array) => this.answer(history.Query.decode(data));
    this.served = this.bus.serve(subjects.historyQuery(), answer, { queue: QUEUE });
  }

  async stop(): Promise<void> {
    await this.served?.drain();
    this.served = undefined;
  }

  private async answer(query: history.Query): Promise<Uint8Array> {
    const answer = history.Answer.encode(await this.find(query)).finish();
    const { maxPayloadBytes } = this.bus;
    if (answer.length > maxPayloadBytes) {
      // One row that is larger than all that fits: it can be seen in the store itself only.
      throw new AppError(
        "history.too_large",
        `a value of ${answer.length} bytes is over the ${maxPayloadBytes} that fit into an answer`,
      );
    }
    return answer;
  }

  private async find(query: history.Query): Promise<history.Answer> {
    const { store } = this.sinkOf(query.sink);
    const { tenant, device, path, point, fromUs, toUs, question } = query;
    const series = { tenant, device, path, point };
    const limit = Math.min(query.limit, MAX_ROWS);
    const cursor = query.cursor === "" ? undefined : query.cursor;
    const maxBytes = Math.max(MARGIN_BYTES, this.bus.maxPayloadBytes / 2 - MARGIN_BYTES);
    const page = { ...series, fromUs, toUs, limit, cursor, maxBytes };
    switch (question?.$case) {
      case "range": {
        const order = question.value.newestFirst ? "descending" : "ascending";
        return readingsAnswer(await store.range({ ...page, order }));
      }
      case "aggregates": {
        const everyUs = question.value.everyUs === 0 ? undefined : question.value.everyUs;
        return aggregatesAnswer(await store.aggregate({ ...page, everyUs }));
      }
      case "latest":
        return readingsAnswer(await store.latest({ ...series, limit, cursor, maxBytes }));
      default:
        throw new AppError("history.bad_query", "the question is of a kind that is not known here");
    }
  }

  private sinkOf(name: string): Sink {
    if (name !== "") {
      const sink = this.sinks.get(name);
      if (sink !== undefined) return sink;
      throw new AppError("history.no_sink", `there is no sink ${name}`);
    }
    const [first, ...others] = this.sinks.all();
    if (first === undefined) throw new AppError("history.no_sink", "there is no sink");
    if (others.length === 0) return first;
    const names = [first, ...others].map((sink) => sink.name).sort();
    throw new AppError("history.bad_query", `name one of the sinks ${names.join(", ")}`);
  }
}

function readingsAnswer({ rows, cursor = "" }: Page<Reading>): history.Answer {
  return { readings: rows.map(toMessage), aggregates: [], cursor };
}

function aggregatesAnswer({ rows, cursor = "" }: Page<Aggregate>): history.Answer {
  return { readings: [], aggregates: [...rows], cursor };
}

function toMessage({ path, point, timeUs, quality, kind, value, reason = "" }: Reading): history.Reading {
  return {
    path,
    point,
    timeUs,
    quality: QUALITIES[quality],
    reason,
    value: kind === "none" ? undefined : ({ $case: kind, value } as history.Reading["value"]),
  };
}
