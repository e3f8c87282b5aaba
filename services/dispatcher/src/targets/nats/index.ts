export { natsTarget as plugin } from "./nats-target.js";
