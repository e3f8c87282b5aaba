/** How devices that nobody has made yet come into the registry when they first connect. */
import {
  array,
  exactlyOne,
  integer,
  object,
  optional,
  record,
  secretReference,
  string,
} from "../schema/builders.js";
import type { Infer } from "../schema/schema.js";

const trust = exactlyOne(
  {
    token: secretReference({
      description:
        "Token of at least 16 characters that such devices show, or `sha256:` and the hash of it in hexadecimal digits.",
    }),
    authority: secretReference({
      description:
        "Authority in PEM form: a device shows a certificate of it whose common name is the device's id. The port must trust it too (`clientCa`).",
    }),
  },
  { description: "What a device proves with that it is one of these." },
);

/** Part of a `DeviceProfile`. */
export const provisioning = optional(
  object(
    {
      trust: array(trust, {
        description:
          "Any one of these is enough. To change one, add the new one, bring it to the devices, and take the old one away: who came by it is sent away then.",
        minItems: 1,
        maxItems: 16,
      }),
      tenant: string({ description: "Tenant of such devices.", default: "", maxLength: 256 }),
      ids: string({
        description: "Ids they may have; `*` stands for any characters, `?` for one.",
        default: "*",
        minLength: 1,
        maxLength: 256,
      }),
      tags: record(string({ description: "Value.", maxLength: 253 }), {
        description: "Tags that a new device gets.",
        default: {},
        maxProperties: 64,
        keyPattern: "^[A-Za-z0-9]([-A-Za-z0-9_./]{0,62})$",
      }),
      groups: array(string({ description: "Group.", minLength: 1, maxLength: 128 }), {
        description: "Groups that a new device is in.",
        default: [],
        maxItems: 64,
        uniqueItems: true,
      }),
      perMinute: integer({
        description:
          "New devices that each listener makes in a minute, at most; more are to come again later.",
        default: 600,
        minimum: 1,
        maximum: 1_000_000,
      }),
      maxDevices: integer({
        description:
          "When so many devices have the profile no more are made. Listeners count every few seconds, so that some more may slip in when many come at once.",
        default: 100_000,
        minimum: 1,
        maximum: 100_000_000,
      }),
    },
    {
      description:
        "Devices that show what is trusted here are let in, and made in the registry when they are not there yet; left out, nobody is. A device that was disabled or deleted stays out.",
    },
  ),
);

/** How devices of a profile come into the registry by themselves. */
export type ProvisioningSpec = NonNullable<Infer<typeof provisioning>>;
