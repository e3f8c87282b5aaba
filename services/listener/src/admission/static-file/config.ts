/** Settings of the admission by files. */
import { type Infer, object, oneOf, string } from "@myelin/config";

export const schema = object({
  anonymous: oneOf(["loopback", "nobody", "everybody"], {
    default: "loopback",
    description: "Who may connect without a user name: clients on this machine, nobody, or everybody.",
  }),
  certificates: oneOf(["ignored", "user"], {
    default: "ignored",
    description:
      "What the verified certificate of a client without a user name counts for: nothing, or the client is the user that its common name says, without a password.",
  }),
  usersFile: string({
    default: "",
    description:
      "YAML file of users with hashed passwords, followed while it changes; empty: there are none.",
  }),
  aclFile: string({
    default: "",
    description:
      "YAML file of rules who may publish and subscribe where, followed while it changes; empty: who may connect may do all.",
  }),
});

export type StaticFileConfig = Infer<typeof schema>;
