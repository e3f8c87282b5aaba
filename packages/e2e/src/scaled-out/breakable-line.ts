/** The line between a device and its listener, which can be cut, and break for good. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Passes connections on to `target` until it is broken; refuses them from then on. */
export class BreakableLine implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #broken = false;

  constructor(target: number) {
    this.#server = createServer((device) => {
      if (this.#broken) {
        device.destroy();
        return;
      }
      const listener = connect(target, "127.0.0.1");
      for (const socket of [device, listener]) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.#sockets.delete(socket);
          device.destroy();
          listener.destroy();
        });
      }
      device.pipe(listener).pipe(device);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** For good. */
  break(): void {
    this.#broken = true;
    this.cut();
  }

  /** Once: whoever connects again gets through. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.break();
    this.#server.close();
    await once(this.#server, "close");
  }
}
