import { describe, expect, it } from "vitest";
import { AppError } from "./app-error.js";

describe("AppError", () => {
  it("takes family, retry flag and status codes from the catalogue", () => {
    const error = new AppError("bus.timeout", "no answer on mln.x within 500 ms", {
      details: { subject: "mln.x" },
    });
    expect(error).toMatchObject({
      code: "bus.timeout",
      family: "world",
      retryable: true,
      http: 504,
      grpc: "DEADLINE_EXCEEDED",
      details: { subject: "mln.x" },
    });
  });

  it("is recognised by its brand and not by its class", () => {
    const fromAnotherCopy = { [Symbol.for("myelin.AppError")]: true, code: "bus.timeout" };
    expect(AppError.is(fromAnotherCopy)).toBe(true);
    expect(AppError.is(structuredClone(new AppError("bus.timeout", "x")))).toBe(false);
    for (const other of [undefined, null, "bus.timeout", new Error("x"), { code: "bus.timeout" }]) {
      expect(AppError.is(other)).toBe(false);
    }
  });

  it("wraps a vendor error once and keeps it as the cause", () => {
    const vendor = new Error("ECONNREFUSED");
    const wrapped = AppError.wrap("bus.disconnected", "cannot reach NATS on 127.0.0.1:4222", vendor);
    expect(wrapped.cause).toBe(vendor);
    expect(AppError.wrap("internal.unexpected", "again", wrapped)).toBe(wrapped);
  });

  it("turns whatever was thrown into an AppError", () => {
    expect(AppError.from("text")).toMatchObject({ code: "internal.unexpected", message: "text" });
    expect(AppError.from(new TypeError("bad"))).toMatchObject({
      code: "internal.unexpected",
      message: "bad",
    });
  });

  it("crosses a border without stack and cause", () => {
    const error = new AppError("app.timeout", "late", { details: { app: "a" }, cause: new Error("inner") });
    const wire = structuredClone(error.toWire());
    expect(wire).toEqual({ code: "app.timeout", message: "late", retryable: true, details: { app: "a" } });
    expect(AppError.fromWire(wire)).toMatchObject({
      code: "app.timeout",
      message: "late",
      details: { app: "a" },
    });
  });

  it("turns an unknown code into remote.unknown and keeps the sender's retry flag", () => {
    const error = AppError.fromWire({
      code: "future.thing",
      message: "m",
      retryable: true,
      details: { a: 1 },
    });
    expect(error).toMatchObject({
      code: "remote.unknown",
      retryable: true,
      details: { a: 1, code: "future.thing" },
    });
  });

  it.each([
    [undefined],
    [null],
    [7],
    ["text"],
    [{}],
    [{ code: 5, message: [], retryable: "yes", details: "no" }],
    [{ code: "toString" }],
    [{ code: "__proto__" }],
  ])("makes remote.unknown of the broken wire error %j", (wire) => {
    expect(AppError.fromWire(wire)).toMatchObject({ code: "remote.unknown", retryable: false });
  });
});
