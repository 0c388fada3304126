import { useEffect, useMemo } from "preact/hooks";
import { type User, User_State } from "@keelson/client";
import { idOf, initials } from "../lib/format.js";
import { href } from "../lib/route.js";
import { ConnectionState } from "../ui/connection.js";
import { Icon } from "../ui/icon.js";
import { A } from "../ui/link.js";
import { None } from "../ui/none.js";
import { ProblemView } from "../ui/problem.js";
import { Bones } from "../ui/state.js";
import { When } from "../ui/time.js";
import { activate, suspend, undelete } from "./actions.js";
import { UserDialogs, onChanged, openDialog } from "./dialogs.js";
import { History } from "./history.js";
import { UserStore } from "./user-store.js";
import { StateBadge } from "./state-badge.js";
import { Labels, hue } from "./table.js";

export function UserPage({ id }: { id: string }) {
  const store = useMemo(() => new UserStore(`users/${id}`), [id]);
  useEffect(() => {
    document.title = `${id} · Keelson`;
    store.live.start();
    const deaf = onChanged((user) => store.put(user));
    return () => {
      deaf();
      store.live.stop();
    };
  }, [store]);
  const user = store.user.value;
  const problem = store.problem.value;
  return (
    <div class="page narrow">
      <nav class="crumbs" aria-label="Breadcrumb"><A href={href("users")}><Icon name="left" /> Users</A></nav>
      <div class="page-head">
        {user && <span class="avatar big" aria-hidden="true" data-hue={hue(user.uid)}>{initials(user.displayName, user.name)}</span>}
        <div class="page-title">
          <h1 tabIndex={-1}><bdi>{user?.displayName || id}</bdi></h1>
          {user && <span class="subtitle"><span class="mono">{idOf(user.name)}</span><StateBadge user={user} /></span>}
        </div>
        {!problem && <ConnectionState live={store.live} what="This user is" />}
        {user && !store.purged.value && <Actions user={user} />}
      </div>
      {problem && (
        <ProblemView problem={problem} title="This user could not be read">
          <button type="button" class="button" onClick={() => { store.problem.value = undefined; store.live.start(); }}><Icon name="refresh" /> Try again</button>
        </ProblemView>
      )}
      {!user && !problem && <Bones rows={4} label="Loading the user" />}
      {store.purged.value && <p class="banner warn" role="status"><Icon name="info" /> <span>This user was purged and cannot be brought back. What is shown is how it was last.</span></p>}
      {user && <Facts user={user} />}
      {user && <History name={user.name} uid={user.uid} etag={user.etag} />}
      <UserDialogs />
    </div>
  );
}

function Actions({ user }: { user: User }) {
  if (user.deleteTime) {
    return <div class="page-actions"><button type="button" class="button primary" onClick={() => void undelete(user)}><Icon name="undo" /> Undelete</button></div>;
  }
  return (
    <div class="page-actions">
      {user.state === User_State.SUSPENDED
        ? <button type="button" class="button" onClick={() => void activate(user)}><Icon name="play" /> Activate</button>
        : <button type="button" class="button" onClick={() => void suspend(user)}><Icon name="pause" /> Suspend</button>}
      <button type="button" class="button" onClick={() => openDialog({ kind: "delete", user })}><Icon name="trash" /> Delete</button>
      <button type="button" class="button primary" onClick={() => openDialog({ kind: "edit", user })}><Icon name="edit" /> Edit</button>
    </div>
  );
}

function Facts({ user }: { user: User }) {
  return (
    <section class="card" aria-labelledby="facts">
      <h2 id="facts">Details</h2>
      <dl class="facts">
        <dt>E-mail</dt><dd>{user.email}</dd>
        <dt>Given name</dt><dd>{user.givenName ? <bdi>{user.givenName}</bdi> : <None />}</dd>
        <dt>Family name</dt><dd>{user.familyName ? <bdi>{user.familyName}</bdi> : <None />}</dd>
        <dt>Labels</dt><dd><Labels labels={user.labels} /></dd>
        <dt>Created</dt><dd><When time={user.createTime} /></dd>
        <dt>Changed</dt><dd><When time={user.updateTime} /></dd>
        {user.deleteTime && <><dt>Deleted</dt><dd><When time={user.deleteTime} /></dd></>}
        {user.purgeTime && <><dt>Purged after</dt><dd><When time={user.purgeTime} /></dd></>}
        <dt>UID</dt><dd class="mono">{user.uid}</dd>
        <dt>ETag</dt><dd class="mono">{user.etag}</dd>
      </dl>
    </section>
  );
}
