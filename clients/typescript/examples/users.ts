// What can be done with users, against a running platform:
//
//     go run ./cmd/keelson up                  (in the root of the repository)
//     npm run example                          (here)
//     npm run example -- --url http://127.0.0.1:8080 --transport connect
//
// KEELSON_URL is another way to say where the platform is. It exits with 1 when
// something is not as it should be.
import { parseArgs } from "node:util";
import { Code, createKeelsonClient, eachUser, importUsers, KeelsonError, rowsOf, watchUsers } from "@keelson/client/node";
import type { KeelsonClient } from "@keelson/client/node";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: process.env["KEELSON_URL"] ?? "http://127.0.0.1:8080" },
    transport: { type: "string", default: "grpc-web" },
  },
});

async function main(): Promise<void> {
  const { transport } = values;
  if (transport !== "grpc-web" && transport !== "connect" && transport !== "grpc") {
    throw new Error(`--transport is ${transport}; give grpc-web, connect or grpc`);
  }
  const client = createKeelsonClient({
    baseUrl: values.url,
    transport,
    onCall: ({ method, attempts, durationMs, correlationId }) =>
      console.log(`    ${method}  ${durationMs.toFixed(1)} ms, attempts: ${attempts}, correlation ID: ${correlationId}`),
  });
  const team = `example-${Date.now().toString(36)}`;
  const ada = await create(client, team);
  const watched = watch(client, team);
  await watched.begun; // what happens from here on is seen happening
  await update(client, ada.name, ada.etag);
  const imported = await importFile(client, team);
  const names = await list(client, team);
  check(names.length === imported + 1, `the team has ${names.length} users`);
  for (const name of names) {
    await client.users.deleteUser({ name });
  }
  const seen = await watched.kinds;
  check(seen.filter((kind) => kind === "deleted").length === names.length, `the watch saw: ${seen.join(", ")}`);
}

async function create({ users }: KeelsonClient, team: string) {
  const user = await users.createUser({
    userId: `${team}-ada`,
    user: { email: `ada@${team}.example.com`, displayName: "Ada Lovelace", labels: { team } },
  });
  console.log(`created ${user.name}, etag ${user.etag}`);
  try {
    await users.createUser({ userId: `${team}-eve`, user: { email: "no address" } });
    check(false, "a user without an address was created");
  } catch (error) {
    check(error instanceof KeelsonError && error.code === Code.InvalidArgument, `a user without an address is refused: ${String(error)}`);
    for (const { field, description } of (error as KeelsonError).fieldViolations) {
      console.log(`    ${field}: ${description}`);
    }
  }
  return user;
}

/** Changes a user, and then once more as somebody who has not seen the change. */
async function update({ users }: KeelsonClient, name: string, etag: string): Promise<void> {
  const updateMask = { paths: ["display_name"] };
  const user = await users.updateUser({ user: { name, etag, displayName: "Countess of Lovelace" }, updateMask });
  console.log(`updated ${user.name}, etag ${user.etag}`);
  try {
    await users.updateUser({ user: { name, etag, displayName: "Ada King" }, updateMask });
    check(false, "a change was lost");
  } catch (error) {
    check(
      error instanceof KeelsonError && error.reason === "ETAG_MISMATCH" && error.metadata["current_etag"] === user.etag,
      `an update with the old etag is refused: ${String(error)}`,
    );
  }
}

async function importFile(client: KeelsonClient, team: string): Promise<number> {
  const lines = ["user_id,email,display_name,labels.team"];
  for (let i = 0; i < 20; i++) {
    lines.push(`${team}-${i},user-${i}@${team}.example.com,Number ${i},${team}`);
  }
  lines.push(`${team}-bad,no address,Nobody,${team}`);
  const file = new File([lines.join("\n")], "users.csv");
  let created = 0;
  for await (const { row, outcome, error } of importUsers(client, rowsOf(file), { importId: team, chunkSize: 8 })) {
    created += outcome === "created" ? 1 : 0;
    if (error) {
      console.log(`    row ${row}: ${error.reason} ${error.fieldViolations.map((v) => v.field).join()}`);
    }
  }
  check(created === 20, `imported ${created} users of ${file.name}`);
  return created;
}

async function list({ users }: KeelsonClient, team: string): Promise<string[]> {
  const names: string[] = [];
  for await (const user of eachUser(users, { filter: `labels.team = "${team}"`, orderBy: "email", pageSize: 10 })) {
    names.push(user.name);
  }
  return names;
}

/** Watches a team until it has no users; begun resolves when those that it has were told. */
function watch(client: KeelsonClient, team: string): { begun: Promise<void>; kinds: Promise<string[]> } {
  let begin = () => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const kinds = watchTeam(client, team, begin);
  return { begun: Promise.race([begun, kinds.then(() => {})]), kinds };
}

async function watchTeam({ users }: KeelsonClient, team: string, begin: () => void): Promise<string[]> {
  const kinds: string[] = [];
  let count = 0;
  const events = watchUsers(users, { filter: `labels.team = "${team}"`, onState: ({ kind }) => console.log(`watch: ${kind}`) });
  for await (const { kind } of events) {
    kinds.push(kind);
    if (kind === "synced") {
      begin();
    }
    count += kind === "added" ? 1 : kind === "deleted" ? -1 : 0;
    if (kind === "deleted" && count === 0) {
      break;
    }
  }
  return kinds;
}

function check(holds: boolean, what: string): void {
  if (!holds) {
    throw new Error(`not as it should be: ${what}`);
  }
  console.log(what);
}

main().catch((error: unknown) => {
  const lost = error instanceof KeelsonError && error.isNetworkFailure;
  console.error(lost ? `${error.message}; does \`keelson up\` run, and is ${values.url} what it shows?` : error);
  process.exitCode = 1;
});
