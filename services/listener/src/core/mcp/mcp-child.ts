/** A device that an MCP connection speaks for beside its own. */
import type { Protocol } from "@myelin/contract";
import type { ErrorCode } from "@myelin/kernel";
import type { Identity } from "../admission.js";
import type { ChannelTable } from "../channel-table.js";
import type { ChannelSource } from "../ingress.js";
import type { McpConnection } from "./mcp-connection.js";

/** Beside what they share: a gateway may speak for ten thousand. */
const CHANNELS_PER_CHILD = 64;

/** Its channel table holds what the gateway may say for it, path by path, as long as the rules stay. */
export class McpChild implements ChannelSource {
  channels: ChannelTable | undefined = undefined;
  readonly contentType = "";
  readonly maxChannels = CHANNELS_PER_CHILD;
  readonly number: number;

  constructor(
    readonly owner: McpConnection,
    readonly identity: Identity,
  ) {
    this.number = owner.scope.manager.takeNumber();
  }

  get protocol(): Protocol {
    return this.owner.protocol;
  }

  get port(): string {
    return this.owner.port;
  }

  /** Who may publish below a device may speak for it; what is said for it goes by the device's own rights besides. */
  checkPath(bytes: Uint8Array, start: number, end: number): ErrorCode | undefined {
    const { owner, identity } = this;
    const malformed = owner.checkPath(bytes, start, end);
    if (malformed !== undefined) return malformed;
    const path = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("utf8");
    const { admission } = owner.shared.ctx;
    const maySpeak = admission.publish(owner.identity, `devices/${identity.deviceId}/${path}`);
    return maySpeak ? undefined : "auth.not_authorized";
  }
}
