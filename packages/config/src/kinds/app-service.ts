/** An application that the platform expects to be there, and what it can be asked. */
import { array, boolean, durationMs, integer, object, optional, record, string } from "../schema/builders.js";
import type { Problem } from "../schema/check.js";
import type { Infer } from "../schema/schema.js";
import { defineKind } from "./kind.js";
import { topicFilterRule } from "./topic-rules.js";

const filters = (description: string) =>
  array(string({ description: "MQTT topic filter.", minLength: 1, maxLength: 1_024 }), {
    description,
    default: [],
    maxItems: 256,
    uniqueItems: true,
  });

const spec = object({
  description: optional(string({ description: "For people and models.", maxLength: 1_024 })),
  app: optional(
    string({
      description: "Name that its instances connect with; left out, the name of the resource.",
      minLength: 1,
      maxLength: 253,
    }),
  ),
  instances: integer({
    description: "Healthy instances there must be for it to be ready.",
    default: 1,
    minimum: 0,
    maximum: 1_000,
  }),
  subscribes: filters("What it is expected to subscribe to."),
  publishes: filters("What it is expected to publish on."),
  methods: record(
    object({
      description: optional(string({ description: "For people and models.", maxLength: 1_024 })),
      timeout: durationMs({
        description: "How long an answer takes at most.",
        default: "5s",
        min: "10ms",
        max: "10m",
      }),
      repeatable: boolean({
        description: "Whether the same call made twice does no harm.",
        default: false,
      }),
    }),
    {
      description: "What it answers, by the path its handler gets.",
      default: {},
      maxProperties: 256,
      keyPattern: "^[A-Za-z0-9/_.-]{1,253}$",
    },
  ),
});

/** The spec of an `AppService`, checked and complete. */
export type AppServiceSpec = Infer<typeof spec>;

function checkAppService(app: AppServiceSpec): readonly Problem[] {
  return (["subscribes", "publishes"] as const).flatMap((list) =>
    app[list].flatMap((filter, i) => {
      const rule = topicFilterRule(filter);
      return rule === undefined ? [] : [{ path: [list, i], value: filter, rule }];
    }),
  );
}

/** `AppService`: it starts nothing; its status says whether the application is there. */
export const appServiceKind = defineKind<AppServiceSpec>({
  kind: "AppService",
  spec,
  check: checkAppService,
});
