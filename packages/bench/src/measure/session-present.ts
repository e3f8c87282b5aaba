/** Whether a system keeps a session beyond its connection, asked as a client asks. */
import { once } from "node:events";
import { connect } from "node:net";

const ANSWER_MS = 10_000;
const CLIENT = "bench-keeps-sessions";

/** Connects twice with clean session 0, MQTT 3.1.1: the second CONNACK says whether the session is there. */
export async function keepsSessions(port: number): Promise<boolean> {
  await sessionPresent(port);
  return sessionPresent(port);
}

async function sessionPresent(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const name = Buffer.from(CLIENT);
    const rest = [0, 4, ...Buffer.from("MQTT"), 4, 0, 0, 60, 0, name.length, ...name];
    socket.write(Buffer.from([0x10, rest.length, ...rest]));
    const [connack] = (await once(socket, "data", { signal })) as [Buffer];
    // DISCONNECT, so that the session is at rest when the next one asks for it.
    socket.end(Buffer.from([0xe0, 0]));
    await once(socket, "close", { signal });
    return connack[0] === 0x20 && connack[3] === 0 && (connack[2]! & 1) === 1;
  } finally {
    socket.destroy();
  }
}
