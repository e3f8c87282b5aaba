import { expect, test } from "vitest";
import { startBox } from "../support/index.js";
import { Sender, Subscriber } from "./subscriber.js";

const BEFORE = 60;
const AFTER = 60;

const doubles = (texts: readonly string[]): string[] => texts.filter((text, i) => texts.indexOf(text) !== i);

/** Numbers of one sender in the order in which they first came. */
function isInOrder(texts: readonly string[]): boolean {
  const numbers = [...new Set(texts)].map((text) => Number(text.slice(text.indexOf(":") + 1)));
  return numbers.every((number, i) => i === 0 || number > numbers[i - 1]!);
}

test.each([
  ["nats-server", 1],
  ["core", 1],
  ["listener-0", 1],
  ["nats-server", 2],
  ["core", 2],
] as const)(
  "a session loses nothing that was acknowledged when %s is killed under load with QoS %i, and QoS 2 comes once",
  async (victim, qos) => {
    await using box = await startBox();
    await using subscriber = await Subscriber.open(box, "reader", "load/#", qos);
    await using sender = await Sender.open(box, "press", qos);
    for (let round = 0; round < 2; round++) {
      await sender.progress(BEFORE);
      await box.kill(victim);
      await sender.progress(AFTER);
    }
    await sender.finish();
    await subscriber.have(sender.acknowledged, 40_000);
    expect([...sender.acknowledged].filter((text) => !subscriber.texts.includes(text))).toEqual([]);
    expect(isInOrder(subscriber.texts)).toBe(true);
    if (qos === 2) expect(doubles(subscriber.texts)).toEqual([]);
  },
  180_000,
);
