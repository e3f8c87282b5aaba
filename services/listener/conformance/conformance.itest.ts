import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Case, levelsOf } from "./case.js";
import { CASES } from "./cases/index.js";
import { type Ground, startGround } from "./ground.js";
import type { Level } from "./packet-client.js";
import { conformancePage, type Outcome } from "./page.js";
import { type Setting, settingsOf, Trial } from "./trial.js";

const PATIENCE_MS = 5_000;
/** What never comes is not waited for long; what comes does so within a fraction of this. */
const PENDING_PATIENCE_MS = 1_500;

let ground: Ground;
const outcomes = new Map<string, Outcome>();
const keyOf = (one: Case, level: Level): string => `${level} ${one.title}`;

async function run(one: Case, setting: Setting, patienceMs: number): Promise<void> {
  await using trial = new Trial(ground, setting, patienceMs);
  await one.body(trial);
}

async function recorded(one: Case, setting: Setting): Promise<void> {
  const key = keyOf(one, setting.level);
  try {
    await run(one, setting, PATIENCE_MS);
    if (outcomes.get(key) !== "failed") outcomes.set(key, "passed");
  } catch (error) {
    outcomes.set(key, "failed");
    throw error;
  }
}

/** Undefined when the case passes in every setting. */
async function failureOf(one: Case, level: Level): Promise<unknown> {
  for (const setting of settingsOf(level)) {
    try {
      await run(one, setting, PENDING_PATIENCE_MS);
    } catch (error) {
      return error;
    }
  }
  return undefined;
}

const nameOf = ({ level, transport, listeners }: Setting): string =>
  `MQTT ${level === 4 ? "3.1.1" : "5"}, ${transport}, ${listeners === 1 ? "one listener" : "two listeners"}`;

beforeAll(async () => {
  ground = await startGround();
});

afterAll(async () => {
  await ground[Symbol.asyncDispose]();
});

for (const [area, cases] of Object.entries(CASES)) {
  describe.concurrent(area, () => {
    for (const one of cases.filter(({ notYet }) => notYet === undefined)) {
      for (const setting of levelsOf(one).flatMap(settingsOf)) {
        it(`${one.title} (${nameOf(setting)})`, () => recorded(one, setting));
      }
    }
  });
}

const pending = Object.values(CASES)
  .flat()
  .filter(({ notYet }) => notYet !== undefined);

describe.runIf(pending.length > 0).concurrent("not yet", () => {
  for (const one of pending) {
    for (const level of levelsOf(one)) {
      it(`${one.title} (MQTT ${level === 4 ? "3.1.1" : "5"}), for want of ${one.notYet}`, async () => {
        expect(await failureOf(one, level), "it passes now: take its mark away").toBeDefined();
        outcomes.set(keyOf(one, level), "not yet");
      });
    }
  }
});

describe("the page of the reference", () => {
  it("says what this run has shown", async () => {
    const page = conformancePage(CASES, (one, level) => outcomes.get(keyOf(one, level)) ?? "not run");
    await expect(page).toMatchFileSnapshot("../../../docs/reference/mqtt-conformance.md");
  });
});
