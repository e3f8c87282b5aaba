import { describe, expect, it } from "vitest";
import { expectNoPlatformTopic, isPlatformTopic, mayDeviceSay } from "./device-topics.js";

describe("what a device may say", () => {
  it.each([
    "boilers/1",
    "$aws",
    "$awsome/things/d2/shadow/update",
    "$aws/things/d1/shadow/get",
    "$aws/things/d1/shadow/update",
    "$aws/things/d1/shadow/name/motor/delete",
    "$aws/commands/things/d1/executions/7/response",
    "$aws/commands/things/d1/executions/7/response/json",
  ])("is %s", (topic) => {
    expect(mayDeviceSay("d1", topic)).toBe(true);
  });

  it.each([
    "$aws/things/d2/shadow/update",
    "$aws/things/d1/shadow/update/accepted",
    "$aws/things/d1/shadow/update/delta",
    "$aws/things/d1/shadow/name/motor/update/documents",
    "$aws/things/d1/shadow",
    "$aws/things//shadow/update",
    "$aws/commands/things/d1/executions/7/request/json",
    "$aws/commands/things/d2/executions/7/request/json",
    "$aws/commands/things/d2/executions/7/response/json",
    "$aws/commands/things/d1/executions/7/response/json/accepted",
    "$aws/anything",
    "$aws/",
  ])("is not %s", (topic) => {
    expect(mayDeviceSay("d1", topic)).toBe(false);
    expect(isPlatformTopic(topic)).toBe(true);
    expect(() => expectNoPlatformTopic(topic)).toThrow(
      expect.objectContaining({ code: "auth.not_authorized" }),
    );
  });
});
