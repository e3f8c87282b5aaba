import { waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import { type Box, startBox } from "../support/index.js";
import { alarmsOf, listen, startCalled, startDevice, startHook } from "./world.js";

const DEADLINE_MS = 60_000;
const SAMPLE_HZ = 1_000;
const LENGTH = 512;

const PROFILE = `apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: pump }
spec:
  payloads: [{ topics: ["pumps/+/data"], format: json }]
  points:
    speed: { from: { field: speed } }
    vibration: { type: waveform, waveform: { sampleHz: ${SAMPLE_HZ}, length: ${LENGTH} }, from: { field: v } }
  commands:
    slow: { risk: low, parameters: { speed: { type: number } } }
---
apiVersion: myelin.dev/v1alpha1
kind: Sink
metadata: { name: history }
spec: { store: { sqlite: {} }, batch: { wait: 0s } }
`;

const rule = (name: string, spec: string): string => `---
apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: ${name} }
spec:
${spec}`;

async function applied(box: Box, name: string, yaml: string): Promise<void> {
  await box.writeResource(name, yaml);
  const names = [...yaml.matchAll(/kind: Rule\nmetadata: { name: (\S+) }/g)].map(([, one]) => one as string);
  await waitFor(
    async () => {
      const { stdout } = await box.myelin("get", "rules");
      return names.every((one) => new RegExp(` ${one} .* True .* True `).test(stdout));
    },
    { what: `the rules ${names.join(", ")}`, deadlineMs: DEADLINE_MS },
  );
}

/** A hum of 50 Hz, with knocks of 125 Hz in it or not. */
function vibration(knocks: number): number[] {
  return Array.from({ length: LENGTH }, (_, i) => {
    const hum = Math.sin((2 * Math.PI * 50 * i) / SAMPLE_HZ);
    const knock = i % 128 < 16 ? Math.sin((2 * Math.PI * 125 * i) / SAMPLE_HZ) : 0;
    return Number((hum + knocks * knock).toFixed(4));
  });
}

test("a waveform of a device over MQTT makes a rule do each of its actions", async () => {
  await using box = await startBox();
  await using hook = await startHook();
  await using app = await startCalled(box, "planner", "replan");
  await using heard = await listen(box, "alerts/#");
  const knocking = rule(
    "knocking",
    `  profiles: [pump]
  trigger: { points: [vibration] }
  values:
    crest: { crest: { point: vibration } }
    strength: { rms: { point: vibration } }
    most: { peak: { point: vibration } }
    knock: { band: { point: vibration, sampleHz: ${SAMPLE_HZ}, fromHz: 100, toHz: 150 } }
  when: "crest > 2.5 && strength > 0.8 && most > 2 && knock > 0.5"
  actions:
    - alarm: { message: "knocks at \${knock}" }
    - app: { name: planner, method: replan, payload: { crest: "\${crest}" } }
    - command: { name: slow, parameters: { speed: "\${strength}" } }
    - publish: { topic: "alerts/\${device}" }
    - shadow: { desired: { mode: careful } }
    - sink: { name: history, path: firings, values: { knock: "\${knock}" } }
    - webhook: { url: "${hook.url}" }
`,
  );
  await applied(box, "rules.yaml", `${PROFILE}${knocking}`);
  await using device = await startDevice(box, "pump-1", "pump");
  await device.say("pumps/pump-1/data", { v: vibration(0) });
  await device.say("pumps/pump-1/data", { v: vibration(3).slice(1) });
  await device.say("pumps/pump-1/data", { v: vibration(3) });

  const shadow = async () => {
    const answer = await fetch(`${box.httpUrl}/devices/pump-1/shadow`);
    return answer.ok
      ? (
          (await answer.json()) as {
            state: { desired?: object; reported?: { vibration?: { crest: number } } };
          }
        ).state
      : undefined;
  };
  const done: Readonly<Record<string, () => boolean | Promise<boolean>>> = {
    webhook: () => hook.posts.length > 0,
    app: () => app.calls.length > 0,
    command: () => device.commands.length > 0,
    publish: () => heard.topics.length > 0,
    alarm: async () => (await alarmsOf(box)).length > 0,
    shadow: async () => (await shadow())?.desired !== undefined,
    sink: async () => (await box.myelin("history", "pump-1", "--json")).stdout.includes('"knock"'),
  };
  for (const [action, isDone] of Object.entries(done))
    await waitFor(isDone, { what: `the action ${action}`, deadlineMs: DEADLINE_MS });
  expect(hook.posts).toMatchObject([{ body: { rule: "knocking", device: "pump-1", state: "raised" } }]);
  expect(app.calls).toEqual([{ crest: expect.any(Number) }]);
  expect(device.commands).toEqual([expect.stringContaining('"speed"')]);
  expect(heard.topics).toEqual(["alerts/pump-1"]);
  expect(await alarmsOf(box)).toMatchObject([
    { device: "pump-1", rule: "knocking", state: "raised", count: 1 },
  ]);
  const state = await shadow();
  expect(state?.desired).toEqual({ mode: "careful" });
  await waitFor(async () => ((await shadow())?.reported?.vibration?.crest ?? 0) > 2.5, {
    what: "the crest factor in the shadow",
    deadlineMs: DEADLINE_MS,
  });
}, 180_000);

test("rules look at events, presence, shadows, silence and the clock", async () => {
  await using box = await startBox();
  await using heard = await listen(box, "seen/#");
  const seen = (name: string, trigger: string, more = ""): string =>
    rule(
      name,
      `  profiles: [pump]\n  trigger: ${trigger}\n${more}  actions: [{ publish: { topic: "seen/${name}" } }]\n`,
    );
  await applied(
    box,
    "rules.yaml",
    [
      PROFILE,
      seen(
        "event",
        '{ event: { topics: ["pumps/+/door"] } }',
        "  values: { is: { field: is } }\n  when: is == 'open'\n",
      ),
      seen("left", "{ presence: [offline] }"),
      seen(
        "shadow",
        "{ shadow: {} }",
        "  values: { mode: { field: state.desired.mode } }\n  when: mode == 'fast'\n",
      ),
      seen("silence", "{ absence: { points: [speed], for: 1s } }"),
      seen("minute", '{ schedule: { cron: "* * * * *" } }', "  when: speed > 1\n"),
    ].join(""),
  );
  const saw = (name: string): Promise<unknown> =>
    waitFor(() => heard.topics.includes(`seen/${name}`), {
      what: `the rule on ${name}`,
      // The clock is looked at once a minute.
      deadlineMs: 2 * DEADLINE_MS,
    });
  await using device = await startDevice(box, "pump-1", "pump");
  await device.say("pumps/pump-1/data", { speed: 3 });
  await device.say("pumps/pump-1/door", { is: "shut" });
  await device.say("pumps/pump-1/door", { is: "open" });
  await saw("event");
  await saw("silence");
  await fetch(`${box.httpUrl}/devices/pump-1/shadow`, {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json" },
    body: JSON.stringify({ state: { desired: { mode: "fast" } } }),
  });
  await saw("shadow");
  await device.client.endAsync(true);
  await saw("left");
  await saw("minute");
  expect(heard.topics.filter((topic) => topic === "seen/event")).toHaveLength(1);
}, 240_000);

test("a dispatcher that is killed while a rule waits goes on waiting from where it was", async () => {
  await using box = await startBox();
  await applied(
    box,
    "rules.yaml",
    `${PROFILE}${rule("stuck", "  profiles: [pump]\n  trigger: { points: [speed] }\n  when: speed > 80\n  for: 15s\n  actions: [{ alarm: {} }]\n")}`,
  );
  await using device = await startDevice(box, "pump-1", "pump");
  const beforeMs = Date.now();
  await device.say("pumps/pump-1/data", { speed: 90 });
  const saidMs = Date.now();
  await box.kill("core");
  // Nothing more is said: only what was kept can make it fire.
  const [alarm] = await waitFor(
    async () => {
      const all = await alarmsOf(box);
      return all.length > 0 ? all : undefined;
    },
    { what: "the alarm", deadlineMs: DEADLINE_MS },
  );
  expect(alarm).toMatchObject({ rule: "stuck", count: 1 });
  // Its time is counted by the messages' own, however long the kill has taken.
  expect(Date.parse(alarm!.raisedAt)).toBeLessThanOrEqual(saidMs + 15_000);
  expect(Date.parse(alarm!.raisedAt)).toBeGreaterThanOrEqual(beforeMs + 15_000);
}, 180_000);

test("an action that was decided and not done when the dispatcher is killed is done by the next, under the same id", async () => {
  await using box = await startBox();
  await using hook = await startHook();
  hook.isMute = true;
  await applied(
    box,
    "rules.yaml",
    `${PROFILE}${rule("hot", `  profiles: [pump]\n  trigger: { points: [speed] }\n  when: speed > 80\n  actions: [{ webhook: { url: "${hook.url}", timeout: 60s } }]\n`)}`,
  );
  await using device = await startDevice(box, "pump-1", "pump");
  await device.say("pumps/pump-1/data", { speed: 90 });
  await waitFor(() => hook.posts.length === 1, { what: "the first post", deadlineMs: DEADLINE_MS });
  hook.isMute = false;
  await box.kill("core");
  await waitFor(() => hook.posts.length === 2, { what: "the second post", deadlineMs: DEADLINE_MS });
  expect(hook.posts[1]).toEqual(hook.posts[0]);
  await device.say("pumps/pump-1/data", { speed: 70 });
  await device.say("pumps/pump-1/data", { speed: 91 });
  await waitFor(() => hook.posts.length === 3, { what: "the next firing", deadlineMs: DEADLINE_MS });
  expect(hook.posts[2]?.id).not.toBe(hook.posts[0]?.id);
}, 180_000);
