import { newUuid } from "@keelson/client";

/**
 * The SHA-256 of a text in hex. Where pages are not given it (outside of https
 * and loopback) a random name, which is new each time.
 */
export async function digest(text: string): Promise<string> {
  if (!crypto.subtle) return newUuid();
  const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(sum), (x) => x.toString(16).padStart(2, "0")).join("");
}
