import { history, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Rig, startRig } from "../../../../test/listener-rig.js";

let rig: Rig;
const queries: history.Query[] = [];
/** What a dispatcher answers; the answers of several pages have a cursor. */
let answers: (query: history.Query) => Partial<history.Answer>;

beforeAll(async () => {
  rig = await startRig({ http: { web: {} } });
  rig.bus.serve(subjects.historyQuery(), (data) => {
    const query = history.Query.decode(data);
    queries.push(query);
    return history.Answer.encode(history.Answer.fromPartial(answers(query))).finish();
  });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

const reading = (timeUs: number): history.Reading => ({
  path: "p",
  point: "t",
  timeUs,
  quality: history.Quality.GOOD,
  reason: "",
  value: { $case: "number", value: timeUs },
});

/** Ten readings, three a page. */
const tenReadings = ({ cursor, limit }: history.Query): Partial<history.Answer> => {
  const from = Number(cursor || 0);
  const to = Math.min(10, from + Math.min(3, limit));
  const readings = Array.from({ length: to - from }, (_, i) => reading(from + i));
  return { readings, cursor: to < 10 ? String(to) : "" };
};

async function get(url: string, headers: Record<string, string> = {}) {
  queries.length = 0;
  const response = await fetch(`http://127.0.0.1:${rig.port("web")}/api/v1/history/${url}`, { headers });
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
}

describe("stored readings over HTTP", () => {
  it("come a page of JSON at a time", async () => {
    answers = tenReadings;
    const first = await get("boiler%2F1?path=p&from=1970-01-01T00:00:00Z&limit=3");
    expect(first).toMatchObject({ status: 200, type: expect.stringContaining("application/json") });
    const body = JSON.parse(first.text) as { readings: { value: number }[]; next: string };
    expect(body.readings.map(({ value }) => value)).toEqual([0, 1, 2]);
    expect(queries).toMatchObject([{ device: "boiler/1", path: "p", fromUs: 0, limit: 3 }]);
    const last = JSON.parse((await get("boiler%2F1?cursor=9")).text) as typeof body;
    expect(last).toEqual({ readings: [expect.objectContaining({ value: 9, device: "boiler/1" })] });
  });

  it("come whole as NDJSON and CSV, or as many as are asked for", async () => {
    answers = tenReadings;
    const lines = await get("d?format=ndjson&order=oldest");
    expect(lines.type).toContain("application/x-ndjson");
    const values = lines.text.trimEnd().split("\n");
    expect(values.map((line) => (JSON.parse(line) as { value: number }).value)).toEqual([
      ...Array(10).keys(),
    ]);
    expect(queries).toHaveLength(4);
    const csv = await get("d?limit=5", { accept: "text/csv" });
    expect(csv.type).toContain("text/csv");
    expect(csv.text.trimEnd().split("\r\n")).toHaveLength(6);
  });

  it("are summed up over stretches of time", async () => {
    answers = () => ({
      aggregates: [history.Aggregate.fromPartial({ path: "p", point: "t", count: 4, mean: 2 })],
    });
    const { text } = await get("d/aggregates?every=5m&fields=count,mean&sink=a&point=t");
    expect(JSON.parse(text)).toEqual({
      aggregates: [
        { device: "d", path: "p", point: "t", start: "1970-01-01T00:00:00.000000Z", count: 4, mean: 2 },
      ],
    });
    expect(queries).toMatchObject([
      { sink: "a", point: "t", question: { $case: "aggregates", value: { everyUs: 300_000_000 } } },
    ]);
    await get("d/latest");
    expect(queries).toMatchObject([{ question: { $case: "latest" } }]);
  });

  it.each([
    "d?from=soon",
    "d?limit=0",
    "d?order=sideways",
    "d?format=xml",
    "d/aggregates?every=0s",
    "d/aggregates?every=x",
    "d/aggregates?fields=median",
  ])("are refused for %s", async (url) => {
    answers = tenReadings;
    const { status, text } = await get(url);
    expect({ status, code: (JSON.parse(text) as { code: string }).code }).toEqual({
      status: 400,
      code: "protocol.malformed",
    });
  });

  it("say as a problem what the dispatcher refuses, also where a stream of lines was asked for", async () => {
    answers = () => {
      throw new AppError("history.no_sink", "there is no sink x");
    };
    for (const url of ["d?sink=x", "d?sink=x&format=csv"]) {
      const { status, text } = await get(url);
      expect(status).toBe(404);
      expect(JSON.parse(text)).toMatchObject({ code: "history.no_sink" });
    }
  });

  it("end without a proper end when a later page fails, so that half is not taken for the whole", async () => {
    answers = (query) => {
      if (query.cursor === "3") throw new AppError("store.unavailable", "gone");
      return tenReadings(query);
    };
    await expect(get("d?format=csv")).rejects.toThrow();
  });

  it("are for operators alone, and described in the OpenAPI document", async () => {
    await using closed = await startRig(
      { http: { web: {} } },
      { nats: rig.nats, instance: "listener-1", admission: { "static-file": { anonymous: "nobody" } } },
    );
    const base = `http://127.0.0.1:${closed.port("web")}/api/v1`;
    expect((await fetch(`${base}/history/d`)).status).toBe(401);
    const document = (await (await fetch(`${base}/openapi.json`)).json()) as { paths: object };
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining([
        "/api/v1/history/{device}",
        "/api/v1/history/{device}/aggregates",
        "/api/v1/history/{device}/latest",
      ]),
    );
  });
});
