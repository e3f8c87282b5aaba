/** `myelin tail`: what passes, live, until Ctrl-C or a count. */
import { randomUUID } from "node:crypto";
import {
  BatchView,
  control,
  envelope,
  globToRegExp,
  isSampleBlock,
  isTopicFilter,
  Protocol,
  subjects,
  topicMatches,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { decodeSampleBlock } from "@myelin/profile";
import type { ReachOptions } from "../box/connection.js";
import { colour, EXIT, note, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";

export interface TailOptions extends ReachOptions {
  readonly json: boolean;
  readonly device: readonly string[];
  readonly topic: readonly string[];
  readonly protocol: readonly string[];
  readonly count?: number;
  readonly rate: number;
}

const ANNOUNCE_MS = 1_000;
const MAX_SHOWN_BYTES = 400;
const PROTOCOL_COLOURS = [colour.cyan, colour.green, colour.magenta, colour.yellow, colour.blue, colour.red];

/** @throws AppError `config.invalid` for a broken filter or an unknown protocol */
export async function tail(options: TailOptions): Promise<number> {
  for (const filter of options.topic) {
    if (!isTopicFilter(filter)) {
      throw new AppError(
        "config.invalid",
        `"${filter}" is not a topic filter: + and # stand alone in a level, # last.`,
      );
    }
  }
  const protocols = options.protocol.map(protocolNumber);
  const wants = matcher(options, protocols);
  return withBus(options, async (bus) => {
    const id = randomUUID();
    const view = new BatchView();
    let shown = 0;
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    bus.subscribe(subjects.allTapBatches(), (data) => {
      view.reset(data);
      while (view.next()) {
        if (options.count !== undefined && shown >= options.count) break;
        if (!wants(view)) continue;
        shown += 1;
        show(view, options.json);
      }
      if (options.count !== undefined && shown >= options.count) finish();
    });
    bus.subscribe(subjects.tapGap(id), (data) => {
      const gap = control.TapGap.decode(data);
      note(colour.yellow(`… ${gap.leftOut} more messages were not shown (--rate ${options.rate})`));
    });
    const announce = (ended: boolean): void => {
      const interest = control.TapInterest.fromPartial({
        id,
        deviceGlobs: [...options.device],
        filters: [...options.topic],
        protocols,
        maxRate: options.rate,
        ended,
      });
      bus.publish(subjects.tapInterest(), control.TapInterest.encode(interest).finish());
    };
    announce(false);
    const timer = setInterval(() => announce(false), ANNOUNCE_MS);
    if (!options.json) note(colour.dim("Listening; Ctrl-C ends."));
    const silence = bus.onConnectionChange((connected) => {
      note(
        connected
          ? "Connected again."
          : "The connection is lost; what passes now is not shown. Trying again.",
      );
    });
    process.once("SIGINT", finish);
    process.once("SIGTERM", finish);
    await finished;
    clearInterval(timer);
    announce(true);
    await bus.flush();
    silence();
    return EXIT.ok;
  });
}

/** The dispatchers copy what any tail asked for, so each tail looks again at its own wishes. */
function matcher(options: TailOptions, protocols: readonly Protocol[]): (view: BatchView) => boolean {
  const devices = options.device.map(globToRegExp);
  return (view) =>
    (devices.length === 0 || devices.some((glob) => glob.test(view.deviceId))) &&
    (options.topic.length === 0 || options.topic.some((filter) => topicMatches(filter, view.path))) &&
    (protocols.length === 0 || protocols.includes(view.protocol));
}

const PROTOCOL_NAMES = Object.keys(Protocol)
  .filter((name) => name !== "UNSPECIFIED" && name !== "UNRECOGNIZED")
  .map((name) => name.toLowerCase());

function protocolNumber(name: string): Protocol {
  if (!PROTOCOL_NAMES.includes(name)) {
    throw new AppError(
      "config.invalid",
      `Unknown protocol "${name}"; known are ${PROTOCOL_NAMES.join(", ")}.`,
    );
  }
  return Protocol[name.toUpperCase() as keyof typeof Protocol];
}

function protocolName(protocol: Protocol): string {
  return envelope.protocolToJSON(protocol).replace("PROTOCOL_", "").toLowerCase();
}

function show(view: BatchView, json: boolean): void {
  const payload = readable(view);
  const at = new Date(view.ingestTimeUs / 1000);
  if (json) {
    printJson({
      at: at.toISOString(),
      tenant: view.tenant || undefined,
      device: view.deviceId,
      path: view.path,
      protocol: protocolName(view.protocol),
      lane: view.lane === 2 ? "event" : "telemetry",
      port: view.port,
      contentType: view.contentType || undefined,
      ...payloadFields(payload),
    });
    return;
  }
  const paint = PROTOCOL_COLOURS[view.protocol % PROTOCOL_COLOURS.length]!;
  const time = at.toISOString().slice(11, 23);
  print(
    `${colour.dim(time)} ${paint(protocolName(view.protocol).padEnd(9))} ${colour.bold(printable(view.deviceId))} ${printable(view.path)} ${shownPayload(payload)}`,
  );
}

/** Samples of hardware travel in columns that nobody can read. */
function readable(view: BatchView): Buffer {
  const payload = view.payload();
  const samples = isSampleBlock(view.protocol, view.contentType) ? decodeSampleBlock(payload) : undefined;
  return samples === undefined ? payload : Buffer.from(JSON.stringify(samples));
}

/** Payloads are strangers' bytes: control characters must not reach the terminal. */
function shownPayload(payload: Buffer): string {
  const text = payload.subarray(0, MAX_SHOWN_BYTES).toString("utf8");
  const more = payload.length > MAX_SHOWN_BYTES ? colour.dim(` … ${payload.length} bytes`) : "";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is being removed
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffd]/.test(text)) {
    return colour.dim(`0x${payload.subarray(0, 64).toString("hex")}`) + more;
  }
  return text.replace(/[\r\n\t]+/g, " ") + more;
}

function payloadFields(payload: Buffer): { payload?: unknown; payloadBase64?: string } {
  try {
    return { payload: JSON.parse(payload.toString("utf8")) };
  } catch {
    // Not JSON, which is nothing wrong: any bytes are a payload.
    return { payloadBase64: payload.toString("base64") };
  }
}
