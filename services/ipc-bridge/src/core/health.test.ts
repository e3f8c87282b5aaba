import { type AppError, FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { peerOf } from "./admission.js";
import { HealthMonitor, HealthRecord, type Patient } from "./health.js";

class FakePatient implements Patient {
  readonly health = new HealthRecord();
  readonly verdicts: boolean[] = [];
  readonly pings: number[] = [];

  constructor(readonly healthUrl = "") {}
  ping(nonce: number): void {
    this.pings.push(nonce);
  }
  readonly failures: AppError[] = [];
  healthChanged(healthy: boolean): void {
    this.verdicts.push(healthy);
  }
  fail(error: AppError): void {
    this.failures.push(error);
  }
}

const settings = { intervalMs: 10_000, timeoutMs: 5_000, threshold: 3 };

describe("HealthMonitor", () => {
  it("changes its verdict after three like answers in a row, once", async () => {
    const clock = new FakeClock();
    const patient = new FakePatient();
    const monitor = new HealthMonitor(
      clock,
      settings,
      async () => true,
      () => [patient],
    );
    monitor.start();
    const answers = [
      true,
      false,
      false,
      true,
      false,
      false,
      false,
      false,
      true,
      true,
      false,
      true,
      true,
      true,
    ];
    for (const answer of answers) {
      await clock.advance(10_000);
      monitor.pong(patient, patient.pings.at(-1)!, answer);
    }
    expect(patient.verdicts).toEqual([false, true]);
    monitor.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it("takes a missing answer for a bad one and ignores late and invented ones", async () => {
    const clock = new FakeClock();
    const patient = new FakePatient();
    const monitor = new HealthMonitor(
      clock,
      settings,
      async () => true,
      () => [patient],
    );
    monitor.start();
    await clock.advance(20_000);
    monitor.pong(patient, patient.pings[0]!, true);
    monitor.pong(patient, 999, true);
    expect(patient.health.failures).toBe(1);
    await clock.advance(20_000);
    expect(patient.verdicts).toEqual([false]);
  });

  it("asks the address where there is one, and does not ask twice at a time", async () => {
    const clock = new FakeClock();
    const patient = new FakePatient("http://localhost/health");
    const asked: ((good: boolean) => void)[] = [];
    const probe = (): Promise<boolean> => new Promise((resolve) => asked.push(resolve));
    const monitor = new HealthMonitor(clock, settings, probe, () => [patient]);
    monitor.start();
    await clock.advance(30_000);
    expect(asked).toHaveLength(1);
    for (let i = 0; i < 3; i++) {
      asked.at(-1)!(false);
      await clock.advance(10_000);
    }
    expect(patient.verdicts).toEqual([false]);
    expect(patient.pings).toEqual([]);
  });

  it("takes a probe that fails for a bad answer, and goes on asking", async () => {
    const clock = new FakeClock();
    const patient = new FakePatient("http://localhost/health");
    let asked = 0;
    const probe = async (): Promise<boolean> => {
      asked += 1;
      if (asked <= 3) throw new Error("no such address");
      return true;
    };
    const monitor = new HealthMonitor(clock, settings, probe, () => [patient]);
    monitor.start();
    await clock.advance(60_000);
    expect([asked, patient.verdicts, patient.failures]).toEqual([6, [false, true], []]);
  });

  it("ends the session whose verdict cannot be acted upon", async () => {
    const clock = new FakeClock();
    const patient = new FakePatient("http://localhost/health");
    patient.healthChanged = () => {
      throw new Error("a defect");
    };
    const monitor = new HealthMonitor(
      clock,
      settings,
      async () => false,
      () => [patient],
    );
    monitor.start();
    await clock.advance(30_000);
    expect(patient.failures.map((e) => [e.code, e.message])).toEqual([["internal.unexpected", "a defect"]]);
  });
});

it("knows local peers from remote ones", () => {
  const local = [
    "unix",
    "127.0.0.1:4000",
    "ipv4:127.3.2.1:80",
    "[::1]:5000",
    "ipv6:[::1]:9",
    "::ffff:127.0.0.1:1",
  ];
  const remote = [
    "10.0.0.1:4000",
    "ipv4:192.168.1.2:80",
    "[fe80::1]:5000",
    "127.evil.example:80",
    "1270.0.0.1:1",
  ];
  expect(local.filter((p) => !peerOf(p).local)).toEqual([]);
  expect(remote.filter((p) => peerOf(p).local)).toEqual([]);
});
