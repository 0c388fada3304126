// The dialogs that change users. One is open at a time.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { User } from "@keelson/client";
import { ConfirmDelete } from "./confirm-delete.js";
import { UserDialog } from "./user-dialog.js";

export type DialogRequest = { kind: "create" } | { kind: "edit"; user: User } | { kind: "delete"; user: User };

const open = signal<DialogRequest | undefined>(undefined);

export function openDialog(request: DialogRequest): void {
  open.value = request;
}

export type Changed = (user: User, isNew: boolean) => void;

const listeners = new Set<Changed>();

/** tellChanged hands the answer to a change to the page that is shown. */
export function tellChanged(user: User, isNew = false): void {
  for (const listener of listeners) listener(user, isNew);
}

/** onChanged listens until the returned function is called. */
export function onChanged(listener: Changed): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function UserDialogs() {
  // Back and forward lead to pages that have not asked for it.
  useEffect(() => () => { open.value = undefined; }, []);
  const request = open.value;
  // An answer that comes late closes no dialog but its own.
  const close = () => {
    if (open.value === request) open.value = undefined;
  };
  if (request?.kind === "delete") return <ConfirmDelete user={request.user} close={close} />;
  if (request) return <UserDialog base={request.kind === "edit" ? request.user : undefined} close={close} />;
  return null;
}
