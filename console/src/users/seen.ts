import { signal } from "@preact/signals";
import type { User } from "@keelson/client";

/** The user that a watch told of last, for forms that are open meanwhile. */
export const lastSeen = signal<User | undefined>(undefined);
