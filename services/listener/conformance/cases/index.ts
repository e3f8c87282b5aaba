/** All cases by the file they stand in. */
import type { Case } from "../case.js";
import { authenticating } from "./authenticating.js";
import { carrying } from "./carrying.js";
import { connecting } from "./connecting.js";
import { delivering } from "./delivering.js";
import { ending } from "./ending.js";
import { malformed } from "./malformed.js";
import { publishing } from "./publishing.js";
import { retained } from "./retained.js";
import { sessions } from "./sessions.js";
import { subscribing } from "./subscribing.js";
import { waiting } from "./waiting.js";
import { wills } from "./wills.js";

export const CASES: Readonly<Record<string, readonly Case[]>> = {
  connecting,
  authenticating,
  sessions,
  waiting,
  wills,
  publishing,
  retained,
  delivering,
  subscribing,
  ending,
  malformed,
  carrying,
};
