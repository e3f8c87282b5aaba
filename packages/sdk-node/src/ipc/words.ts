/** The words of the public surface for the numbers of the wire. */
import { app, type EnumName, enumNames, Kind, Lane, Protocol, Quality } from "@myelin/contract";

export const lanes = enumNames(Lane);
export const kinds = enumNames(Kind);
export const protocols = enumNames(Protocol);
export const qualities = enumNames(Quality);
export const sendStates = enumNames(app.SendState);

/** What a message means. */
export type KindWord = EnumName<typeof Kind>;
/** How a message came to the platform. */
export type ProtocolWord = EnumName<typeof Protocol>;
/** What a sample is worth. */
export type QualityWord = EnumName<typeof Quality>;
/** Lanes that apps receive and publish on. */
export type LaneWord = "telemetry" | "event";
