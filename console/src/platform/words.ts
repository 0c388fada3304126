// The enums of the platform in words, with an icon and a tone each.
import { BreakerState, Instance_Status as Status, Service_State as State } from "@keelson/client";
import type { Tone } from "../ui/badge.js";
import type { IconName } from "../ui/icon.js";

export interface Word {
  text: string;
  tone: Tone;
  icon: IconName;
}

const unknown: Word = { text: "Unknown", tone: "plain", icon: "info" };

const STATES: Partial<Record<State, Word>> = {
  [State.SERVING]: { text: "Serving", tone: "good", icon: "check" },
  [State.DEGRADED]: { text: "Degraded", tone: "warn", icon: "alert" },
  [State.DOWN]: { text: "Down", tone: "bad", icon: "close" },
};

const STATUSES: Partial<Record<Status, Word>> = {
  [Status.SERVING]: { text: "Serving", tone: "good", icon: "check" },
  [Status.DRAINING]: { text: "Draining", tone: "info", icon: "down" },
  [Status.EJECTED]: { text: "Ejected", tone: "bad", icon: "alert" },
  [Status.UNREACHABLE]: { text: "Unreachable", tone: "bad", icon: "close" },
  [Status.GONE]: { text: "Gone", tone: "bad", icon: "close" },
};

const BREAKERS: Partial<Record<BreakerState, Word>> = {
  [BreakerState.CLOSED]: { text: "Closed", tone: "plain", icon: "check" },
  [BreakerState.HALF_OPEN]: { text: "Half open", tone: "warn", icon: "alert" },
  [BreakerState.OPEN]: { text: "Open", tone: "bad", icon: "close" },
};

export const stateWord = (s: State) => STATES[s] ?? unknown;
export const statusWord = (s: Status) => STATUSES[s] ?? unknown;
export const breakerWord = (b: BreakerState) => BREAKERS[b];
