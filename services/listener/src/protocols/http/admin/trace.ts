/** The live trace over HTTP: server-sent events for as long as the request lasts. */
import { isTopicFilter } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import { packetJson } from "../../../core/operations-json.js";
import { DEFAULT_TRACE_RATE, MAX_TRACE_RATE, MAX_TRACED_PAYLOAD } from "../../../core/operations-tracing.js";
import type { ProtocolContext } from "../../../core/protocol.js";
import { EventStream } from "../event-stream.js";
import { operatorOf } from "./operator.js";
import { listOf, numberOf, type Query } from "./query.js";

/** A reader that is slower gets less, and is told how much less. */
const MAX_BUFFER_BYTES = 1024 * 1024;
const MAX_NAMES = 100;

/** `GET …/trace`: an event `packet` for each one, `left-out` with a count where there were too many. */
export function tracePackets(ctx: ProtocolContext) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { tenant } = await operatorOf(ctx, request);
    const query = request.query as Query;
    const clients = listOf(query, "client");
    const filters = listOf(query, "topic");
    check(clients, filters);
    const maxRate = numberOf(query, "rate", 1, MAX_TRACE_RATE) ?? DEFAULT_TRACE_RATE;
    const payloadBytes = numberOf(query, "payload", 0, MAX_TRACED_PAYLOAD) ?? 0;
    const stream = EventStream.open(reply, ctx.clock);
    if (stream === undefined) return;
    const write = (event: string, data: object): void => stream.write({ event, data: JSON.stringify(data) });
    let leftOut = 0;
    const wish = { tenant, clients, filters, maxRate, payloadBytes };
    const end = ctx.operations.trace(wish, ({ listener, packets, leftOut: more }) => {
      leftOut += more;
      if (stream.waitingBytes > MAX_BUFFER_BYTES) {
        leftOut += packets.length;
        return;
      }
      for (const packet of packets) write("packet", packetJson(listener, packet));
      if (leftOut > 0) write("left-out", { count: leftOut });
      leftOut = 0;
    });
    stream.signal.addEventListener("abort", end, { once: true });
  };
}

function check(clients: readonly string[], filters: readonly string[]): void {
  if (clients.length + filters.length === 0 || clients.length + filters.length > MAX_NAMES) {
    throw new AppError("protocol.malformed", `name 1 to ${MAX_NAMES} clients or topic filters`);
  }
  const broken = filters.find((filter) => !isTopicFilter(filter));
  if (broken !== undefined) throw new AppError("protocol.malformed", `${broken} is no topic filter`);
}
