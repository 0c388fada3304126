// What went wrong with a call, in the words that the pages show.
import { Code, KeelsonError } from "@keelson/client";

/** Problem is an error as a person is shown it; decide by code and reason. */
export type Problem = KeelsonError;

/** problemOf reads an error, of whatever kind. */
export const problemOf = (cause: unknown): Problem => KeelsonError.from(cause);

/** sentence is the message as a sentence. A browser says no more of a connection that failed than "Failed to fetch". */
export function sentence(p: Problem): string {
  if (p.isNetworkFailure) return "The gateway cannot be reached.";
  const text = p.message || codeName(p.code);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The name of a code as gRPC writes it: NOT_FOUND. */
export function codeName(code: Code): string {
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}
