/** SCRAM against the users file. */
import type { AuthenticationExchange, AuthenticationStep, ConnectVerdict } from "../../core/admission.js";
import { readClientFirst, ScramExchange, type ScramVerifier, strangersVerifier } from "../../core/scram.js";
import type { PasswordChecker, User } from "./users.js";

const NOTHING = Buffer.alloc(0);
const REFUSED: AuthenticationStep = {
  data: NOTHING,
  verdict: { allow: false, code: "auth.bad_credentials" },
};

interface Running {
  readonly exchange: ScramExchange;
  readonly user: string;
  readonly verifier: ScramVerifier;
}

/** One client. Its address pays for each proof as for a password, and gets it back when it is right. */
export class ScramLogin implements AuthenticationExchange {
  private running: Running | undefined;

  constructor(
    private readonly passwords: PasswordChecker,
    private readonly address: string,
    /** Of the process: makes up salts for names that nobody has. */
    private readonly secret: Uint8Array,
    private readonly allow: (user: User) => ConnectVerdict,
  ) {}

  step(data: Uint8Array): AuthenticationStep {
    const { running } = this;
    this.running = undefined;
    return running === undefined ? this.begin(data) : this.finish(running, data);
  }

  private begin(data: Uint8Array): AuthenticationStep {
    const first = readClientFirst(data);
    if (first === undefined) return REFUSED;
    const verifier = this.passwords.verifierOf(first.name) ?? strangersVerifier(this.secret, first.name);
    const exchange = new ScramExchange(first, verifier);
    this.running = { exchange, user: first.name, verifier };
    return { data: Buffer.from(exchange.serverFirst) };
  }

  private finish({ exchange, user: name, verifier }: Running, data: Uint8Array): AuthenticationStep {
    if (!this.passwords.mayGuess(this.address)) {
      return { data: NOTHING, verdict: { allow: false, code: "limit.rate" } };
    }
    const proof = exchange.finish(data);
    // The file may have been edited meanwhile: only who is still in it is let in.
    const user = proof === undefined ? undefined : this.passwords.guessedRight(this.address, name, verifier);
    if (proof === undefined || user === undefined) return REFUSED;
    return { data: Buffer.from(proof), verdict: this.allow(user) };
  }
}
