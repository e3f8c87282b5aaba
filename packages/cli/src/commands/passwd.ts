/** `myelin passwd`: the entry of one user for a users file. */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { AppError } from "@myelin/kernel";
import { hashPassword, scramVerifier } from "@myelin/listener";
import { EXIT, note, print, printJson } from "../output.js";

export interface PasswdOptions {
  readonly json: boolean;
  readonly device?: string;
  readonly scram?: boolean;
}

/** The same bound as MQTT has for a password. */
const MAX_PASSWORD_BYTES = 65_535;

/**
 * Asks for a password on a terminal, else reads the first line of standard input, and prints the entry. The password is never an
 * argument: those are seen by every user of the machine.
 * @throws AppError `config.invalid` for an empty or overlong password, and when the two entries differ
 */
export async function passwd(user: string, options: PasswdOptions): Promise<number> {
  const password = Buffer.from(process.stdin.isTTY ? await ask() : await firstLine());
  if (password.length === 0) throw new AppError("config.invalid", "An empty password is none.");
  if (password.length > MAX_PASSWORD_BYTES) {
    throw new AppError("config.invalid", `A password has at most ${MAX_PASSWORD_BYTES} bytes.`);
  }
  const entry = {
    name: user,
    password: await hashPassword(password),
    ...(options.scram ? { scram: await scramVerifier(password.toString()) } : {}),
    ...(options.device === undefined ? {} : { device: options.device }),
  };
  if (options.json) printJson(entry);
  else for (const line of usersEntry(entry)) print(line);
  return EXIT.ok;
}

/** The lines to put below `users:`; JSON strings are YAML strings, so no name needs another form. */
export function usersEntry(entry: Readonly<Record<string, string>>): string[] {
  return Object.entries(entry).map(
    ([key, value], i) => `${i === 0 ? "  - " : "    "}${key}: ${JSON.stringify(value)}`,
  );
}

async function ask(): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    process.stderr.write("Password: ");
    const first = await terminal.question("");
    process.stderr.write("\nOnce more: ");
    const second = await terminal.question("");
    note("");
    if (first !== second) throw new AppError("config.invalid", "The two passwords differ.");
    return first;
  } finally {
    terminal.close();
  }
}

async function firstLine(): Promise<string> {
  const lines = createInterface({ input: process.stdin });
  try {
    for await (const line of lines) return line;
    return "";
  } finally {
    lines.close();
  }
}
