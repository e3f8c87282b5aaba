import { DeviceCommandClient } from "@myelin/bus";
import type { RuleActionSpec } from "@myelin/config";
import type { ActionPlugin } from "../action.js";
import { filled, filledFields } from "../template.js";

/** Sends a command; it has succeeded when the command is accepted and stored, and then ends as every command does. */
export const commandAction: ActionPlugin<NonNullable<RuleActionSpec["command"]>> = {
  kind: "command",
  isControl: true,
  create: ({ device, name, parameters, ttl }, { bus, partitions, clock }) => {
    const client = new DeviceCommandClient(bus, partitions, clock);
    return {
      async run(fired) {
        await client.submit({
          tenant: fired.tenant,
          device: device === undefined ? fired.device : filled(device, fired),
          name,
          parameters: filledFields(parameters ?? {}, fired),
          ttlMs: ttl,
          // Done again after a restart it is the same command.
          idempotencyKey: `${fired.id}-${name}`,
          author: { kind: "rule", name: fired.rule, roles: [] },
          replayed: fired.isReplayed,
        });
      },
    };
  },
};
