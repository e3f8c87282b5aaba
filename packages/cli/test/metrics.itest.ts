import { execFile } from "node:child_process";
import { commandMetricsList, dispatcherMetricsList, ruleMetricsList } from "@myelin/dispatcher";
import { bridgeMetricsList } from "@myelin/ipc-bridge";
import { listenerMetricsList } from "@myelin/listener";
import { type MetricSpec, pluginMetricsList, processMetricsList } from "@myelin/observability";
import { hostMetricsList, resourceMetricsList } from "@myelin/service-host";
import { requires, waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { myelin, startBox, type TestBox } from "./support/box.js";

type MetricsList = Readonly<Record<string, MetricSpec>>;

let box: TestBox;
const pages = new Map<string, string>();

// After some traffic, so that series with labels are there too.
beforeAll(async () => {
  box = await startBox();
  for (const protocol of ["http", "mqtt", "udp"]) {
    const sent = await myelin(["send", "d1", "a", "1", "--protocol", protocol, "--data-dir", box.dataDir]);
    expect(sent).toMatchObject({ code: 0 });
  }
  const { admin } = (await box.state()).ports;
  for (const [name, port] of [
    ["core", admin],
    ["listener", admin + 1],
  ] as const) {
    const text = await waitFor(
      async () => {
        const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
        return page.includes("_total{") && page;
      },
      { what: `the page of ${name}` },
    );
    pages.set(name, text);
  }
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const everyProcess: MetricsList[] = [processMetricsList, hostMetricsList, pluginMetricsList];

describe.each([
  [
    "core",
    [
      ...everyProcess,
      resourceMetricsList,
      dispatcherMetricsList,
      commandMetricsList,
      ruleMetricsList,
      bridgeMetricsList,
    ],
  ],
  ["listener", [...everyProcess, resourceMetricsList, listenerMetricsList]],
])("the metrics page of %s", (name, lists) => {
  it("has every metric of its lists with its type, and no other", () => {
    const text = pages.get(name) ?? "";
    const shown = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, metric, type]) => `${metric} ${type}`);
    const listed = lists.flatMap((list) => Object.values(list)).map((spec) => `${spec.name} ${spec.type}`);
    expect(shown.sort()).toEqual(listed.sort());
  });

  it("has only the labels of its lists, and no device ids", () => {
    const labels = new Map(
      lists.flatMap((list) => Object.values(list)).map((spec) => [spec.name, Object.keys(spec.labels ?? {})]),
    );
    const text = pages.get(name) ?? "";
    expect(text).not.toContain("d1");
    for (const [, series = "", given = ""] of text.matchAll(/^([a-z]\w+)\{(.*)\} \S+$/gm)) {
      const metric = labels.has(series) ? series : series.replace(/_(bucket|sum|count)$/, "");
      const names = [...given.matchAll(/(\w+)="/g)]
        .map(([, label]) => label)
        .filter((label) => label !== "le");
      expect([metric, names]).toEqual([metric, labels.get(metric)]);
    }
  });

  it("passes promtool", requires.program("promtool"), async () => {
    expect(await promtool(pages.get(name) ?? "")).toEqual({ code: 0, said: "" });
  });
});

function promtool(page: string): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    const child = execFile("promtool", ["check", "metrics"], { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({
        code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1,
        said: stdout + stderr,
      });
    });
    child.stdin?.end(page);
  });
}
