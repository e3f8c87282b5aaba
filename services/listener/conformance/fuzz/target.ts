/** What is fuzzed: connections without sockets, and what must hold of each, whatever it is sent. */
import mqttPacket from "mqtt-packet";
import { connectPacket, type MqttClient, type MqttRig, mqttRig } from "../../test/mqtt-rig.js";
import type { Input } from "./corpus.js";

const INPUTS_PER_RIG = 1_000;
const NEIGHBOUR = "the neighbour that nobody hits by chance";
const CONNECT = { 4: opening(4), 5: opening(5) };

function opening(version: 4 | 5): Buffer {
  return mqttPacket.generate(connectPacket("d", version), { protocolVersion: version });
}

/** Clients may prove themselves by any method, in two steps; what begins with `n` is no proof. */
function rigWithExchanges(): MqttRig {
  const rig = mqttRig();
  rig.admission.exchange = ({ deviceId }) => {
    let steps = 0;
    return {
      step(data) {
        steps += 1;
        if (steps === 1) return { data };
        const identity = { tenant: "", deviceId, user: "" };
        const allow = data[0] !== 0x6e;
        return { data, verdict: allow ? { allow, identity } : { allow, code: "auth.bad_credentials" } };
      },
    };
  };
  return rig;
}

export class Target {
  private rig: MqttRig = rigWithExchanges();
  private neighbour: MqttClient = this.rig.connected(NEIGHBOUR, 5);
  private inputs = 0;

  /** Undefined, or what is wrong; the bytes come in two pieces, cut at `cut`. */
  complaintAbout(input: Input, cut: number): string | undefined {
    this.inputs += 1;
    if (this.inputs % INPUTS_PER_RIG === 0) this.renew();
    try {
      return this.run(input, cut);
    } catch (error) {
      this.renew();
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
  }

  private run({ opening: version, bytes }: Input, cut: number): string | undefined {
    const { rig } = this;
    const client = rig.client();
    const { connection, stream } = client;
    if (version !== undefined) client.raw(CONNECT[version]);
    const faults = sum(rig);
    if (cut > 0) client.raw(bytes.subarray(0, cut));
    if (cut < bytes.length) client.raw(bytes.subarray(cut));
    rig.events.settle();
    // Whatever the server says must be MQTT.
    const told = client.packets(connection.version === 5 ? 5 : 4);
    const counted = sum(rig) - faults;
    if (connection.ending === "internal") return "it broke something of ours";
    if (counted > 1) return `${counted} faults were counted on one connection`;
    if (counted === 1 && !stream.ended) return "a fault was counted and the connection lives";
    if (told.filter(({ cmd }) => cmd === "connack").length > 1) return "there was more than one CONNACK";
    const goodbye = told.findIndex(({ cmd }) => cmd === "disconnect");
    if (goodbye >= 0 && goodbye < told.length - 1) return "something came behind DISCONNECT";
    client.lose();
    rig.telemetry.taken.length = rig.events.taken.length = 0;
    if (rig.manager.size !== 1) return `${rig.manager.size} connections are left where 1 is`;
    if ([...rig.table.filters()].length > 0) return "a subscription was left behind";
    return undefined;
  }

  /** A new system; the neighbour of the old one must have come through. */
  private renew(): void {
    this.neighbour.send({ cmd: "pingreq" });
    const [answer] = this.neighbour.packets(5);
    if (answer?.cmd !== "pingresp") throw new Error("the neighbour was harmed");
    this.rig = rigWithExchanges();
    this.neighbour = this.rig.connected(NEIGHBOUR, 5);
  }
}

function sum(rig: MqttRig): number {
  let count = 0;
  for (const value of rig.metrics.malformed.values.values()) count += value;
  return count;
}
