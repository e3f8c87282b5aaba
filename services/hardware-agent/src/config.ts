/** Settings of the hardware-agent. */
import { bytes, DEFAULT_EDGE_NODE, durationMs, type Infer, integer, object, string } from "@myelin/config";

/** The section `hardwareAgent`. */
export const agentSchema = object({
  node: string({
    description: "Which edge node this is: it drives every Bus and Device of this node. One agent a node.",
    default: DEFAULT_EDGE_NODE,
    pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    rule: "a name of lower-case letters, digits, - and .",
    maxLength: 253,
  }),
  outbox: object(
    {
      size: bytes({
        description:
          "Disk for samples that the hub does not have yet; when it is full the oldest go first, counted.",
        default: "1GiB",
        min: "1MiB",
        max: "1024GiB",
      }),
      memory: bytes({
        description:
          "Memory for samples that the disk does not take; beyond it the oldest go first, counted.",
        default: "16MiB",
        min: "256KiB",
        max: "1GiB",
      }),
      sync: durationMs({
        description: "How long samples may be on their way to the disk: what a loss of power costs at most.",
        default: "200ms",
        min: "10ms",
        max: "1m",
      }),
      replayRate: integer({
        description:
          "Samples per second that are sent of what was kept while the hub was away, beside those of now.",
        default: 50_000,
        minimum: 1,
        maximum: 10_000_000,
      }),
      stalled: durationMs({
        description:
          "The hub acknowledges nothing for so long although it is there: that is told as a fault.",
        default: "30s",
        min: "1s",
        max: "1h",
      }),
    },
    { description: "What was measured and is not with the hub yet." },
  ),
});

/** Checked and complete. */
export type AgentConfig = Infer<typeof agentSchema>;
