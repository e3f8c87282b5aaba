import { describe, expect, it } from "vitest";
import { cpuSecondsOf, memoryOf, parseSmapsRollup, parseStat, withDescendants } from "./proc.js";

describe("parseStat", () => {
  it("reads parent and CPU time behind a name with spaces and brackets", () => {
    const text = "4711 (a) b (c) S 42 1 1 0 -1 4194560 1 0 0 0 150 50 7 7 20 0 1 0 100 1 1";
    expect(parseStat(text)).toEqual({ parent: 42, cpuSeconds: 2 });
  });
});

describe("parseSmapsRollup", () => {
  it("reads resident and proportional memory in bytes", () => {
    const text =
      "55d-7ff ---p 00000000 00:00 0 [rollup]\nRss:              2048 kB\nPss:              1024 kB\nPss_Dirty: 9 kB\n";
    expect(parseSmapsRollup(text)).toEqual({ rssBytes: 2 * 1024 * 1024, pssBytes: 1024 * 1024 });
  });
});

describe("this process", () => {
  it("is found below its parent and counts once", () => {
    expect(withDescendants([process.ppid])).toContain(process.pid);
    const usage = process.cpuUsage();
    expect(cpuSecondsOf([process.pid, process.pid])).toBeLessThan((usage.user + usage.system) / 1e6 + 1);
    expect(memoryOf([process.pid, process.pid]).rssBytes).toBeLessThan(2 * process.memoryUsage.rss());
    expect(memoryOf([process.pid]).rssBytes).toBeGreaterThan(10_000_000);
  });
});
