/** Settings of the dispatcher. */
import { bytes, durationMs, type Infer, integer, object } from "@myelin/config";

/** The section `dispatcher`. */
export const dispatcherSchema = object({
  queues: object(
    {
      telemetry: bytes({
        default: "8MiB",
        min: "64KiB",
        max: "1GiB",
        description:
          "Telemetry that may wait for one target in one partition; beyond it the oldest is dropped and counted.",
      }),
      events: bytes({
        default: "8MiB",
        min: "64KiB",
        max: "1GiB",
        description:
          "Events that may wait for one target in one partition; beyond it they go to the overflow stream.",
      }),
      awayGrace: durationMs({
        default: "5s",
        min: "0s",
        max: "10m",
        description:
          "How long telemetry waits for a target that is away; from then on it is dropped at once. Events wait in the overflow.",
      }),
    },
    { description: "What may wait for a target, each with its own queue per partition and lane." },
  ),
  events: object(
    {
      inHandBatches: integer({
        default: 256,
        minimum: 16,
        maximum: 4096,
        description:
          "Event batches of a partition that may be under way; targets that hold the oldest too long are moved to their overflow.",
      }),
      inHandBytes: bytes({
        default: "16MiB",
        min: "8MiB",
        max: "1GiB",
        description: "The same in bytes; above the largest batch there may be.",
      }),
    },
    { description: "The event stream." },
  ),
  plans: object(
    {
      pages: integer({
        default: 512,
        minimum: 16,
        maximum: 65_536,
        description:
          "Routing decisions remembered, in pages of 4,096 channels (32 KiB); a channel beyond that is decided anew.",
      }),
    },
    { description: "Routing decisions that are remembered." },
  ),
  retained: object(
    {
      messages: integer({
        default: 1_000_000,
        minimum: 1,
        maximum: 100_000_000,
        description:
          "Retained messages of the whole deployment; shortly before there are so many, publishers are refused with quota exceeded.",
      }),
      memory: bytes({
        default: "64MiB",
        min: "0B",
        max: "64GiB",
        description:
          "Retained messages that this process holds in memory; the rest is read from the stream when a subscriber asks.",
      }),
    },
    { description: "Retained messages; their bytes are bounded by their share of nats.maxStore." },
  ),
  handover: durationMs({
    default: "2s",
    min: "0s",
    max: "5s",
    description:
      "How long a partition that is given up waits for what is on the way; the rest comes again at its next owner.",
  }),
});

/** The section, checked and complete. */
export type DispatcherConfig = Infer<typeof dispatcherSchema>;
