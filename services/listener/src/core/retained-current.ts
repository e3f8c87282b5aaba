/** A retained message on its way to a subscriber, read where it lies in its keeper's answer. */
import { type BatchView, envelope } from "@myelin/contract";
import type { SubscriberExtras, SubscriberMessage } from "./subscriptions.js";

/** One object for all messages of a view; `take` moves it to the envelope that the view stands on. */
export class RetainedCurrent implements SubscriberMessage {
  path = "";
  contentType = "";
  tenant = "";
  deviceId = "";
  qos = 0;
  readonly retain = true;
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
    // Its keeper has written it down, whatever the lane was.
    this.qos = view.qos;
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
    const headers = hasHeaders ? envelope.Envelope.decode(view.envelopeBytes()).headers : [];
    return { expiresAtUs, headers, responsePath, correlation: Buffer.from(correlation), isText };
  }
}
