import { ShadowClient } from "@myelin/bus";
import type { RuleActionSpec } from "@myelin/config";
import type { ActionPlugin } from "../action.js";
import { filled, filledFields } from "../template.js";

/** Sets what is desired of a device; the reconciler of shadows drives it there. */
export const shadowAction: ActionPlugin<NonNullable<RuleActionSpec["shadow"]>> = {
  kind: "shadow",
  isControl: true,
  create: ({ device, name = "", desired }, { bus, partitions, clock }) => {
    const client = new ShadowClient(bus, partitions, clock);
    return {
      async run(fired) {
        const which = {
          tenant: fired.tenant,
          device: device === undefined ? fired.device : filled(device, fired),
          name,
        };
        await client.update(which, { desired: filledFields(desired, fired) });
      },
    };
  },
};
