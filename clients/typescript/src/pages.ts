import type { Client } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Change, ListChangesRequestSchema } from "./gen/audit/v1/audit_pb.js";
import type { AuditService } from "./gen/audit/v1/audit_pb.js";
import type { ListUsersRequestSchema, User, UserService } from "./gen/user/v1/user_pb.js";

/** A page of a list (AIP-158). */
export interface Page {
  readonly nextPageToken: string;
}

/**
 * Yields the pages of a list, each read when it is asked for:
 *
 *     for await (const page of pages((pageToken) => users.listUsers({ filter, pageToken }))) { ... }
 *
 * The request must be the same for all pages. Begin with a token to go on where
 * another iteration ended.
 */
export async function* pages<P extends Page>(list: (pageToken: string) => Promise<P>, pageToken = ""): AsyncGenerator<P, void, void> {
  do {
    const page = await list(pageToken);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}

/** Yields the users that a list finds, over all its pages. */
export async function* eachUser(
  users: Client<typeof UserService>,
  request: MessageInitShape<typeof ListUsersRequestSchema> = {},
  signal?: AbortSignal,
): AsyncGenerator<User, void, void> {
  for await (const page of pages((pageToken) => users.listUsers({ ...request, pageToken }, signal && { signal }))) {
    yield* page.users;
  }
}

/** Yields the changes that a list of the history finds, over all its pages. */
export async function* eachChange(
  audit: Client<typeof AuditService>,
  request: MessageInitShape<typeof ListChangesRequestSchema> = {},
  signal?: AbortSignal,
): AsyncGenerator<Change, void, void> {
  for await (const page of pages((pageToken) => audit.listChanges({ ...request, pageToken }, signal && { signal }))) {
    yield* page.changes;
  }
}
