/** A Unix socket that one process at a time listens on: it removes what a dead one has left, and waits while another one lives. */
import { chmod, lstat, rename, rm } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";

const LOOK_MS = 1_000;
const PROBE_MS = 1_000;
/** Looks between two that try whether the other process still lives: to it each is a connection that says nothing. */
const LOOKS_PER_PROBE = 5;

export interface UnixDoorOptions {
  readonly path: string;
  /** Octal. */
  readonly mode: string;
  readonly backlog: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class UnixDoor {
  /** Of the socket we listen on; undefined while another process has the path. */
  private inode: bigint | undefined;
  private timer: Timer | undefined;
  private looks = 0;
  private looking: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly server: Server,
    private readonly options: UnixDoorOptions,
  ) {}

  /** @throws AppError `setup.port_in_use` for a path that is no socket, `setup.port_forbidden` */
  async open(): Promise<void> {
    const { path, clock, log } = this.options;
    if (!(await this.tryOpen()))
      log.info({ path }, "another process listens on the Unix socket, this one stands by");
    this.timer = clock.setInterval(() => this.look(), LOOK_MS).unref();
  }

  async close(): Promise<void> {
    this.stopped = true;
    this.options.clock.clear(this.timer);
    await this.looking;
    const isOurs = this.inode !== undefined && (await inodeOf(this.options.path)) === this.inode;
    this.inode = undefined;
    this.server.close();
    if (isOurs) await rm(this.options.path, { force: true });
  }

  private look(): void {
    this.looking ??= this.keep()
      .catch((thrown: unknown) => {
        const { code, message } = AppError.from(thrown);
        this.options.log.warn({ code, problem: message }, "the Unix socket cannot be opened, will retry");
      })
      .finally(() => {
        this.looking = undefined;
      });
  }

  private async keep(): Promise<void> {
    const { path, log } = this.options;
    if (this.inode !== undefined) {
      if ((await inodeOf(path)) === this.inode) return;
      // Removed by somebody, or another process was faster when both found a dead one's.
      this.inode = undefined;
      this.server.close();
    } else if (++this.looks % LOOKS_PER_PROBE !== 0 && (await inodeOf(path)) !== undefined) return;
    if (!this.stopped && (await this.tryOpen())) log.info({ path }, "the Unix socket is open");
  }

  private async tryOpen(): Promise<boolean> {
    const { path, mode } = this.options;
    if (await this.isTaken()) return false;
    // Under its own name only when its mode is right; over it at once, so that there is always one.
    const temporary = `${path}.${process.pid}`;
    try {
      await rm(temporary, { force: true });
      await this.listen(temporary);
      await chmod(temporary, Number.parseInt(mode, 8));
      const inode = await inodeOf(temporary);
      await rename(temporary, path);
      this.inode = inode;
    } catch (cause) {
      this.server.close();
      throw new AppError("setup.port_forbidden", `may not listen on ${path}`, { cause });
    }
    return true;
  }

  private async listen(path: string): Promise<void> {
    const { server } = this;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, backlog: this.options.backlog }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  }

  /** True when somebody answers there. What is no socket is nobody's to remove. */
  private async isTaken(): Promise<boolean> {
    const { path } = this.options;
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return false;
    if (!found.isSocket()) throw new AppError("setup.port_in_use", `${path} is there and is no socket`);
    return await new Promise<boolean>((resolve) => {
      const probe = connect({ path, timeout: PROBE_MS });
      const end = (isTaken: boolean): void => {
        probe.destroy();
        resolve(isTaken);
      };
      probe.on("connect", () => end(true));
      probe.on("timeout", () => end(true));
      // Refused: nobody holds it. Any other trouble, such as a full backlog, is somebody's.
      probe.on("error", ({ code }: NodeJS.ErrnoException) =>
        end(code !== "ECONNREFUSED" && code !== "ENOENT"),
      );
    });
  }
}

async function inodeOf(path: string): Promise<bigint | undefined> {
  return (await lstat(path, { bigint: true }).catch(() => undefined))?.ino;
}
