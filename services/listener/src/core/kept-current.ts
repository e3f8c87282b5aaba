/** A message of a home on its way to connections: what `SubscriberMessage` asks, read where it lies. */
import { type BatchView, envelope } from "@myelin/contract";
import type { SubscriberExtras, SubscriberMessage } from "./subscriptions.js";

const NO_HEADERS: SubscriberExtras["headers"] = [];

/** One object for all messages of a view; `take` moves it to the envelope the view stands on. */
export class KeptCurrent implements SubscriberMessage {
  path = "";
  contentType = "";
  tenant = "";
  deviceId = "";
  qos = 0;
  retain = false;
  bytes: Buffer = Buffer.alloc(0);
  payloadStart = 0;
  payloadEnd = 0;
  private known: SubscriberExtras | undefined;
  private isKnown = false;

  constructor(private readonly view: BatchView) {}

  take(): void {
    const { view } = this;
    this.path = view.path;
    this.contentType = view.contentType;
    this.tenant = view.tenant;
    this.deviceId = view.deviceId;
    this.bytes = view.bytes;
    this.payloadStart = view.payloadStart;
    this.payloadEnd = view.payloadEnd;
    this.qos = Math.max(1, view.qos);
    this.retain = view.retain;
    this.known = undefined;
    this.isKnown = false;
  }

  extras(): SubscriberExtras | undefined {
    if (!this.isKnown) {
      this.known = this.read();
      this.isKnown = true;
    }
    return this.known;
  }

  private read(): SubscriberExtras | undefined {
    const { view } = this;
    const { expiresAtUs, responsePath, payloadIsText: isText, hasHeaders } = view;
    const correlation = view.correlation();
    if (expiresAtUs === 0 && responsePath === "" && !isText && correlation.length === 0 && !hasHeaders) {
      return undefined;
    }
    const headers = hasHeaders ? envelope.Envelope.decode(view.envelopeBytes()).headers : NO_HEADERS;
    return { expiresAtUs, headers, responsePath, correlation: Buffer.from(correlation), isText };
  }
}
