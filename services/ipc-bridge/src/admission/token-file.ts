/** Admission by tokens: a file of `app:sha256-of-token` lines. Local peers need none unless the file says so. */
import { hash, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import type { app } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { AppAdmission, Peer } from "../core/admission.js";

/** `file` undefined: only local peers may connect. `trustLocal`: loopback and Unix sockets need no token. */
export interface TokenFileOptions {
  readonly file: string | undefined;
  readonly trustLocal: boolean;
}

type Tokens = ReadonlyMap<string, readonly Buffer[]>;

/**
 * Tokens are long random strings, so one SHA-256 each is enough; passwords do not belong here. The file is read again
 * when its time or size has changed; a broken edit keeps the last good one in force.
 */
export class TokenFileAdmission implements AppAdmission {
  readonly #options: TokenFileOptions;
  #tokens: Tokens = new Map();
  #stamp = "";

  constructor(options: TokenFileOptions) {
    this.#options = options;
  }

  async admit(hello: app.AppHello, peer: Peer): Promise<void> {
    if (peer.local && this.#options.trustLocal) return;
    await this.#refresh();
    const given = hash("sha256", hello.token, "buffer");
    const known = [...(this.#tokens.get(hello.app) ?? []), ...(this.#tokens.get("*") ?? [])];
    if (hello.token !== "" && known.some((token) => timingSafeEqual(token, given))) return;
    throw new AppError(
      "auth.bad_credentials",
      `app ${hello.app} from ${peer.address} needs a token that the bridge's token file knows`,
      { details: { app: hello.app } },
    );
  }

  async #refresh(): Promise<void> {
    const { file } = this.#options;
    if (file === undefined) return;
    try {
      const { mtimeMs, size, ino } = await stat(file);
      const stamp = `${mtimeMs}:${size}:${ino}`;
      if (stamp === this.#stamp) return;
      this.#tokens = parseTokens(await readFile(file, "utf8"));
      this.#stamp = stamp;
    } catch (cause) {
      // With a good state in force the app is judged by that; without one nobody remote may come in.
      if (this.#stamp !== "") return;
      throw new AppError("auth.not_authorized", "the token file of the bridge cannot be read", { cause });
    }
  }
}

/**
 * Lines `app:hex`, `*:hex` for any app, `#` comments.
 * @throws AppError `config.invalid` naming the line
 */
export function parseTokens(text: string): Tokens {
  const tokens = new Map<string, Buffer[]>();
  for (const [i, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const match = /^(.+):([0-9a-f]{64})$/.exec(line);
    if (match === null) {
      throw new AppError("config.invalid", `line ${i + 1} of the token file is not app:sha256`, {
        details: { line: i + 1 },
      });
    }
    const [, name, digest] = match as unknown as [string, string, string];
    const list = tokens.get(name) ?? [];
    list.push(Buffer.from(digest, "hex"));
    tokens.set(name, list);
  }
  return tokens;
}
