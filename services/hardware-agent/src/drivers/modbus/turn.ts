/** A turn on a line that is up, for a request; what stood in the way becomes its result. */
import { AppError, type Clock } from "@myelin/kernel";
import type { ByteLink } from "../../links/link.js";
import type { Exchange, ExchangeResult } from "./session.js";

/** Asks in a turn. Connects first, outside of the turn, so that a line that is down costs nobody's time. */
export async function inTurn(
  link: ByteLink,
  clock: Clock,
  request: Exchange,
  ask: (request: Exchange) => Promise<ExchangeResult>,
): Promise<ExchangeResult> {
  try {
    if (!link.connected) await link.connect(request.signal);
    return await link.queue.run(request, () =>
      request.followUp === undefined ? ask(request) : askTwice(link, clock, request, ask),
    );
  } catch (thrown) {
    const { code, message } = AppError.from(thrown);
    const status =
      request.signal.aborted || code === "operation.aborted"
        ? "aborted"
        : code === "operation.timeout" || code === "queue.full"
          ? "no_turn"
          : "unreachable";
    return { status, sent: false, detail: message, latencyMs: 0 };
  }
}

async function askTwice(
  link: ByteLink,
  clock: Clock,
  request: Exchange,
  ask: (request: Exchange) => Promise<ExchangeResult>,
): Promise<ExchangeResult> {
  const first = await ask(request);
  const pdu = first.status === "good" ? request.followUp?.() : undefined;
  // What the caller is about is the second one, and that was not sent.
  if (pdu === undefined) return { ...first, sent: false };
  if (link.queue.gapMs > 0) await clock.sleep(link.queue.gapMs);
  return await ask({ ...request, pdu, take: undefined });
}
