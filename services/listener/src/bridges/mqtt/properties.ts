/** What MQTT 5 carries beside the payload, between the codec of the broker's side and our envelopes. */
import type { EnvelopeExtras } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { IPublishPacket } from "mqtt-packet";
import type { SubscriberExtras, SubscriberMessage } from "../../core/subscriptions.js";

type Properties = NonNullable<IPublishPacket["properties"]>;
type Header = SubscriberExtras["headers"][number];

const MICROSECONDS = 1_000_000;

export function headersOf(properties: Properties | undefined): Header[] {
  return Object.entries(properties?.userProperties ?? {}).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values]).map((value) => ({ name, value: String(value) })),
  );
}

/** Of a message from the broker. */
export function extrasOf(
  clock: Clock,
  properties: Properties | undefined,
  message: { readonly qos: number; readonly retain: boolean; readonly headers: readonly Header[] },
): EnvelopeExtras {
  const {
    messageExpiryInterval: expiry,
    responseTopic,
    correlationData,
    payloadFormatIndicator,
  } = properties ?? {};
  return {
    retain: message.retain || undefined,
    qos: message.qos === 2 ? 2 : undefined,
    expiresAtUs: expiry === undefined ? undefined : clock.wallUs() + expiry * MICROSECONDS,
    responsePath: responseTopic,
    correlation: correlationData,
    headers: message.headers,
    payloadIsText: payloadFormatIndicator === true || undefined,
  };
}

/** Seconds that are left of a message; 0: it does not expire; undefined: it has expired. */
export function secondsLeft(clock: Clock, extras: SubscriberExtras | undefined): number | undefined {
  const expiresAtUs = extras?.expiresAtUs ?? 0;
  if (expiresAtUs === 0) return 0;
  const left = Math.ceil((expiresAtUs - clock.wallUs()) / MICROSECONDS);
  return left > 0 ? left : undefined;
}

/** For a message to the broker. */
export function propertiesOf(
  message: SubscriberMessage,
  secondsLeft: number,
  headers: readonly Header[],
): Properties {
  const extras = message.extras();
  const userProperties: Record<string, string[]> = Object.create(null);
  for (const { name, value } of headers) {
    userProperties[name] ??= [];
    userProperties[name].push(value);
  }
  return {
    ...(secondsLeft > 0 && { messageExpiryInterval: secondsLeft }),
    ...(message.contentType !== "" && { contentType: message.contentType }),
    ...(extras?.isText === true && { payloadFormatIndicator: true }),
    ...(extras !== undefined && extras.responsePath !== "" && { responseTopic: extras.responsePath }),
    ...(extras !== undefined &&
      extras.correlation.length > 0 && {
        correlationData: Buffer.from(extras.correlation),
      }),
    userProperties,
  };
}
