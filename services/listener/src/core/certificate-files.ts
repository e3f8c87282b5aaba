/** Follows the files that a port's certificate comes from: what is good is taken into use, what is not is refused and the last good one stays. */
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Certificates } from "./metrics.js";
import { checkMaterial, initialMaterial, type TlsMaterial, type TlsSettings } from "./tls.js";

/** Certificate and key are written one after the other. */
const QUIET_MS = 200;
/** Events get lost on network file systems, and a mounted secret is a link to a link. */
const RESCAN_MS = 5_000;

export interface CertificateFilesOptions {
  /** Name of the port, for the log and the metrics. */
  readonly port: string;
  readonly settings: TlsSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly certificates: Certificates;
  /** Called with each new material that can be served. */
  readonly onMaterial: (material: TlsMaterial) => void;
}

export class CertificateFiles {
  /** In use. */
  private material: TlsMaterial;
  /** Read last: one complaint per edit. */
  private seen: TlsMaterial;
  private unreadable = false;
  private readonly watchers: FSWatcher[] = [];
  private quiet: Timer | undefined;
  private rescan: Timer | undefined;
  private stopped = false;

  constructor(private readonly options: CertificateFilesOptions) {
    this.material = initialMaterial(options.settings);
    this.seen = this.material;
  }

  /** Begins to follow. @throws AppError `config.invalid` when what the process was started with cannot be served */
  start(): TlsMaterial {
    const { settings, clock, log, port, certificates } = this.options;
    const endsMs = checkMaterial(settings, this.material);
    certificates.expiryMs.set(port, endsMs);
    if (endsMs < clock.wallMs()) log.warn({ port, endsMs }, "the certificate of a port has expired");
    const { cert, key, clientCa } = settings;
    const files = [cert, key, clientCa].flatMap((secret) => secret?.file ?? []);
    if (files.length === 0) return this.material;
    this.rescan = clock.setInterval(() => void this.reload(), RESCAN_MS).unref();
    // Directories, not files: they are replaced, and a watch on the old ones would see nothing more.
    for (const directory of new Set(files.map(dirname))) {
      try {
        const watcher = watch(directory, { persistent: false }, () => this.changed());
        // Without events the rescan finds the change a little later.
        watcher.on("error", () => watcher.close());
        this.watchers.push(watcher);
      } catch (thrown) {
        log.debug({ err: thrown }, "a folder of certificates cannot be watched and is read again and again");
      }
    }
    return this.material;
  }

  stop(): void {
    this.stopped = true;
    for (const watcher of this.watchers.splice(0)) watcher.close();
    this.options.clock.clear(this.quiet);
    this.options.clock.clear(this.rescan);
    this.options.certificates.expiryMs.delete(this.options.port);
  }

  private changed(): void {
    this.options.clock.clear(this.quiet);
    this.quiet = this.options.clock.setTimeout(() => void this.reload(), QUIET_MS);
  }

  private async reload(): Promise<void> {
    const { port, settings, clock, log, certificates, onMaterial } = this.options;
    try {
      const read = await this.read();
      if (this.stopped || isSame(read, this.seen)) return;
      this.seen = read;
      // Put back as it was: nothing to take into use.
      if (isSame(read, this.material)) return;
      const endsMs = checkMaterial(settings, read);
      if (endsMs < clock.wallMs()) {
        throw new AppError("config.invalid", `the certificate ${settings.cert.source} has expired`);
      }
      this.material = read;
      certificates.expiryMs.set(port, endsMs);
      certificates.reloads.add(`${port},loaded`);
      onMaterial(read);
      log.info({ port, endsMs }, "a changed certificate is in use");
    } catch (thrown) {
      if (this.stopped) return;
      const { code, message } = AppError.from(thrown);
      certificates.reloads.add(`${port},refused`);
      log.warn({ port, code, problem: message }, "a changed certificate is refused, the last good one stays");
    }
  }

  private async read(): Promise<TlsMaterial> {
    const { cert, key, clientCa } = this.options.settings;
    try {
      const read = {
        cert: await textOf(cert.file, this.material.cert),
        key: await textOf(key.file, this.material.key),
        clientCa: await textOf(clientCa?.file, this.material.clientCa),
      };
      this.unreadable = false;
      return read;
    } catch (cause) {
      // Said once, however long a file is away.
      if (this.unreadable) return this.seen;
      this.unreadable = true;
      throw new AppError("config.unreadable", `a file of the certificate ${cert.source} cannot be read`, {
        cause,
      });
    }
  }
}

/** What does not come from a file stays. */
async function textOf<T extends string | undefined>(file: string | undefined, old: T): Promise<T> {
  return file === undefined ? old : ((await readFile(file, "utf8")).replace(/\r?\n$/, "") as T);
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.cert === b.cert && a.key === b.key && a.clientCa === b.clientCa;
}
