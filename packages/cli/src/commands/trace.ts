/** `myelin trace`: MQTT packets of clients and topics, live, until Ctrl-C or a count. */
import { isTopicFilter, type ops } from "@myelin/contract";
import { AppError, systemClock } from "@myelin/kernel";
import { OperationsClient, packetJson } from "@myelin/listener/operations";
import type { ReachOptions } from "../box/connection.js";
import { colour, EXIT, endWithReader, note, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";

export interface TraceOptions extends ReachOptions {
  readonly json: boolean;
  readonly tenant?: string;
  readonly client: readonly string[];
  readonly topic: readonly string[];
  readonly count?: number;
  readonly rate: number;
  /** Bytes of each payload. */
  readonly payload: number;
}

/** @throws AppError `config.invalid` when neither client nor topic is named, or a filter is broken */
export async function trace(options: TraceOptions): Promise<number> {
  const { client: clients, topic: filters } = options;
  if (clients.length + filters.length === 0) {
    throw new AppError("config.invalid", "Name a client with --client or a topic filter with --topic.");
  }
  const broken = filters.find((filter) => !isTopicFilter(filter));
  if (broken !== undefined) {
    throw new AppError(
      "config.invalid",
      `"${broken}" is not a topic filter: + and # stand alone in a level, # last.`,
    );
  }
  return withBus(options, async (bus) => {
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
    const limit = options.count ?? Number.POSITIVE_INFINITY;
    let shown = 0;
    const wish = {
      tenant: options.tenant === undefined ? undefined : { name: options.tenant },
      clients,
      filters,
      maxRate: options.rate,
      payloadBytes: options.payload,
    };
    endWithReader();
    const end = new OperationsClient(bus, systemClock).trace(wish, ({ listener, packets, leftOut }) => {
      for (const packet of packets) {
        if (shown >= limit) break;
        shown += 1;
        if (options.json) printJson(packetJson(listener, packet));
        else print(lineOf(packet));
      }
      if (leftOut > 0) {
        note(colour.yellow(`… ${leftOut} more packets were not shown (--rate ${options.rate})`));
      }
      if (shown >= limit) finish();
    });
    if (!options.json) note(colour.dim("Listening; Ctrl-C ends."));
    process.once("SIGINT", finish);
    process.once("SIGTERM", finish);
    await finished;
    end();
    await bus.flush();
    return EXIT.ok;
  });
}

/** One packet on one line; all of it is strangers' text. */
export function lineOf(packet: ops.TracedPacket): string {
  const { outgoing, device, name, packetId, reasonCodes, topic, qos, payloadSize, payload, detail } = packet;
  const time = new Date(packet.atUs / 1000).toISOString().slice(11, 23);
  const isMessage = name === "PUBLISH";
  const parts = [
    colour.dim(time),
    outgoing ? colour.cyan("<") : colour.green(">"),
    colour.bold(printable(device)),
    name,
    packetId > 0 ? `id=${packetId}` : "",
    reasonCodes.length > 0 ? codesOf(reasonCodes) : "",
    isMessage ? `QoS ${qos}${packet.retain ? " retain" : ""}${packet.dup ? " dup" : ""}` : "",
    isMessage ? printable(topic) : "",
    printable(detail),
    colour.dim(isMessage ? `${payloadSize} of ${packet.size} B` : `${packet.size} B`),
    payload.length > 0 ? printable(Buffer.from(payload).toString("utf8")) : "",
  ];
  return parts.filter((part) => part !== "").join(" ");
}

function codesOf(codes: readonly number[]): string {
  const text = codes.map((code) => `0x${code.toString(16).padStart(2, "0")}`).join(",");
  return codes.some((code) => code >= 0x80) ? colour.red(text) : text;
}
