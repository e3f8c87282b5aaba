import { history } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { historyText, isoOf } from "./history-text.js";
import { parseTimeUs } from "./history-time.js";

const NOW = 1_700_000_000_000_000;

async function text(
  answer: Partial<history.Answer>,
  format: "ndjson" | "csv",
  fields?: Parameters<typeof historyText>[3],
) {
  async function* answers() {
    yield history.Answer.fromPartial(answer);
  }
  let all = "";
  for await (const chunk of historyText(answers(), 'd"1', format, fields)) all += chunk;
  return all;
}

const reading = (value: history.Reading["value"]): history.Reading => ({
  path: "a,b",
  point: "t",
  timeUs: 1_500_001,
  quality: history.Quality.GOOD,
  reason: "",
  value,
});

describe("a time", () => {
  it("is shown and read to the microsecond", () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_000_000_000_000_000 / 8, max: 8_000_000_000_000_000 }), (us) => {
        expect(parseTimeUs(isoOf(us), NOW)).toBe(us);
      }),
    );
  });

  it.each([
    ["now", NOW],
    ["10m", NOW - 600_000_000],
    ["2030-01-31T12:00:00Z", 1_896_091_200_000_000],
    ["2030-01-31T12:00:00.5+00:00", 1_896_091_200_500_000],
    ["1970-01-01T00:00:00.000001999Z", 1],
    ["2030-01-31", 1_896_048_000_000_000],
    ["soon", undefined],
    ["2030-99-99", undefined],
    ["", undefined],
  ])("is read from %j", (given, us) => {
    expect(parseTimeUs(given, NOW)).toBe(us);
  });
});

describe("rows", () => {
  it.each([
    [{ $case: "number", value: 21.5 }, "number", 21.5],
    [{ $case: "number", value: Number.NaN }, "number", "NaN"],
    [{ $case: "boolean", value: true }, "boolean", true],
    [{ $case: "text", value: "a\nb" }, "text", "a\nb"],
    [{ $case: "json", value: '{\n "x": [1,\r\n2] }' }, "json", { x: [1, 2] }],
  ] as const)("hold a value as JSON: %j", async (value, kind, expected) => {
    const line = await text({ readings: [reading(value)] }, "ndjson");
    expect(line.indexOf("\n")).toBe(line.length - 1);
    expect(JSON.parse(line)).toEqual({
      device: 'd"1',
      path: "a,b",
      point: "t",
      time: "1970-01-01T00:00:01.500001Z",
      quality: "good",
      kind,
      value: expected,
    });
  });

  it("hold bytes as Base64", async () => {
    const line = await text(
      { readings: [reading({ $case: "bytes", value: Buffer.from([1, 2]) })] },
      "ndjson",
    );
    expect(JSON.parse(line)).toMatchObject({ kind: "bytes", valueBase64: "AQI=" });
  });

  it("say why a value is not good, or that there is none", async () => {
    const bad = { ...reading(undefined), quality: history.Quality.BAD, reason: "wrong_type" };
    expect(JSON.parse(await text({ readings: [bad] }, "ndjson"))).toMatchObject({
      quality: "bad",
      reason: "wrong_type",
      kind: "none",
      value: null,
    });
    expect(await text({ readings: [bad] }, "csv")).toContain(",bad,wrong_type,none,\r\n");
  });

  it("are CSV with a heading, quoted where they must be", async () => {
    expect(await text({ readings: [reading({ $case: "text", value: 'say "x"' })] }, "csv")).toBe(
      "device,path,point,time,quality,reason,kind,value\r\n" +
        '"d""1","a,b",t,1970-01-01T00:00:01.500001Z,good,,text,"say ""x"""\r\n',
    );
  });

  it("of stretches hold the fields that were asked for", async () => {
    const aggregates = [
      history.Aggregate.fromPartial({ path: "p", point: "t", startUs: 0, count: 2, mean: 1.5 }),
    ];
    expect(await text({ aggregates }, "csv", ["count", "mean"])).toBe(
      'device,path,point,start,count,mean\r\n"d""1",p,t,1970-01-01T00:00:00.000000Z,2,1.5\r\n',
    );
    expect(JSON.parse(await text({ aggregates }, "ndjson", ["mean"]))).toEqual({
      device: 'd"1',
      path: "p",
      point: "t",
      start: "1970-01-01T00:00:00.000000Z",
      mean: 1.5,
    });
  });
});
