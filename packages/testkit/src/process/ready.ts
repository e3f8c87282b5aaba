/** How one knows that a started process is usable. */
import { get } from "node:http";
import { connect } from "node:net";

/**
 * A line on stdout or stderr; a TCP port that accepts; an HTTP URL that answers 200; or any condition
 * (asked every 20 ms, throwing means "not yet").
 */
export type ReadyCheck =
  | { readonly line: RegExp }
  | { readonly port: number; readonly host?: string }
  | { readonly url: string }
  | (() => boolean | Promise<boolean>);

/** One attempt of the check, given the lines written so far. */
export async function isReady(check: ReadyCheck, lines: readonly string[]): Promise<boolean> {
  if (typeof check === "function") return check();
  if ("line" in check) return lines.some((line) => line.search(check.line) >= 0);
  if ("port" in check) return acceptsTcp(check.port, check.host ?? "127.0.0.1");
  return answersOk(check.url);
}

const ATTEMPT_MS = 1_000;

function acceptsTcp(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: ATTEMPT_MS });
    const settle = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
    socket.once("timeout", () => settle(false));
  });
}

function answersOk(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: ATTEMPT_MS }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.once("error", () => resolve(false));
    request.once("timeout", () => request.destroy());
  });
}
