import { createHash } from "node:crypto";
import type { RuleActionSpec } from "@myelin/config";
import { ReadingBlock, toReference } from "@myelin/data-store";
import { AppError } from "@myelin/kernel";
import type { ActionPlugin } from "../action.js";
import { filled, filledFields } from "../template.js";

/** Stores readings of the firing, under the time at which the rule fired. */
export const sinkAction: ActionPlugin<NonNullable<RuleActionSpec["sink"]>> = {
  kind: "sink",
  create: ({ name, path, values }, { sinks }) => ({
    async run(fired) {
      const sink = sinks.get(name);
      if (sink === undefined) throw new AppError("action.refused", `there is no sink ${name}`);
      const block = new ReadingBlock();
      // Done again after a restart it is the same reading.
      const ref = toReference(createHash("sha256").update(fired.id).digest().subarray(0, 16));
      for (const [point, value] of Object.entries(filledFields(values, fired))) {
        const series = block.seriesNumber(fired.tenant, fired.device, filled(path, fired), point);
        const timeUs = Math.round(fired.atMs * 1000);
        if (typeof value === "number") block.add(series, timeUs, { kind: "number", value }, "good", ref);
        else if (typeof value === "boolean")
          block.add(series, timeUs, { kind: "boolean", value }, "good", ref);
        else if (typeof value === "string") block.add(series, timeUs, { kind: "text", value }, "good", ref);
        else block.add(series, timeUs, { kind: "json", value: JSON.stringify(value) }, "good", ref);
      }
      await sink.store.write(block);
    },
  }),
};
