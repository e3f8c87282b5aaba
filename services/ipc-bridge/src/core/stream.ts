/** What a session needs of its connection; both transports of packages/rpc give it. */
export type { FrameStream } from "@myelin/rpc";
