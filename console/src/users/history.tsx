import { useEffect, useState } from "preact/hooks";
import { type Change, Change_Kind as Kind } from "@keelson/client";
import { audit } from "../api/clients.js";
import { type Problem, problemOf } from "../api/problem.js";
import { Badge, type Tone } from "../ui/badge.js";
import { Icon, type IconName } from "../ui/icon.js";
import { ProblemView } from "../ui/problem.js";
import { Bones, Empty } from "../ui/state.js";
import { When } from "../ui/time.js";

const KINDS: Partial<Record<Kind, { text: string; icon: IconName; tone: Tone }>> = {
  [Kind.CREATED]: { text: "Created", icon: "plus", tone: "good" },
  [Kind.UPDATED]: { text: "Changed", icon: "edit", tone: "info" },
  [Kind.DELETED]: { text: "Deleted", icon: "trash", tone: "bad" },
  [Kind.UNDELETED]: { text: "Undeleted", icon: "undo", tone: "good" },
  [Kind.SUSPENDED]: { text: "Suspended", icon: "pause", tone: "warn" },
  [Kind.ACTIVATED]: { text: "Activated", icon: "play", tone: "good" },
  [Kind.PURGED]: { text: "Purged", icon: "close", tone: "bad" },
};

const FIELDS: Record<string, string> = { display_name: "display name", email: "e-mail", family_name: "family name", given_name: "given name", labels: "labels" };
const PAGE = 20;
// The history follows the users with a small delay.
const LOOK_AGAIN = [300, 1200, 4000];
const POLL = 15_000;

export function History({ name, uid, etag }: { name: string; uid: string; etag: string }) {
  const h = useHistory(name, etag);
  return (
    <section class="card" aria-labelledby="history">
      <h2 id="history">History</h2>
      {h.problem && <ProblemView problem={h.problem} title="The history could not be read"><button type="button" class="button small" onClick={h.refresh}><Icon name="refresh" /> Try again</button></ProblemView>}
      {!h.changes && !h.problem && <Bones rows={3} label="Loading the history" />}
      {h.changes?.length === 0 && <Empty icon="clock" title="Nothing is recorded yet"><p>Changes appear here shortly after they happen.</p></Empty>}
      {!!h.changes?.length && (
        <ol class="timeline" aria-live="polite" aria-relevant="additions">
          {h.changes.map((c) => <Entry key={String(c.position)} change={c} earlier={c.userUid !== uid} />)}
        </ol>
      )}
      {h.more && <button type="button" class="button" onClick={h.loadMore}>Older</button>}
    </section>
  );
}

function Entry({ change, earlier }: { change: Change; earlier: boolean }) {
  const kind = KINDS[change.kind] ?? { text: "Changed", icon: "dot" as const, tone: "plain" as const };
  const fields = change.changedFields.map((f) => FIELDS[f] ?? f);
  return (
    <li>
      <Badge tone={kind.tone} icon={kind.icon}>{kind.text}</Badge>
      <span class="timeline-what">
        {fields.length > 0 && fields.join(", ")}
        {change.inferred && <span class="muted" title="Found by comparing, not seen happening"> inferred</span>}
        {earlier && <span class="muted"> of an earlier user of this name</span>}
      </span>
      <When time={change.changeTime} relative />
    </li>
  );
}

function useHistory(name: string, etag: string) {
  const [changes, setChanges] = useState<Change[] | undefined>();
  const [older, setOlder] = useState<string | undefined>();
  const [problem, setProblem] = useState<Problem | undefined>();
  const read = async (pageToken: string) => {
    try {
      const answer = await audit.listChanges({ user: name, orderBy: "position desc", pageSize: PAGE, pageToken });
      setProblem(undefined);
      setChanges((have) => join(have ?? [], answer.changes));
      setOlder((have) => (pageToken || have === undefined ? answer.nextPageToken : have));
    } catch (cause) {
      setProblem(problemOf(cause));
    }
  };
  const refresh = () => void read("");
  useEffect(() => {
    refresh();
    const soon = LOOK_AGAIN.map((ms) => setTimeout(refresh, ms));
    const poll = setInterval(() => document.hidden || refresh(), POLL);
    return () => {
      soon.forEach(clearTimeout);
      clearInterval(poll);
    };
  }, [name, etag]);
  return { changes, problem, refresh, more: !!older, loadMore: () => void read(older!) };
}

/** join puts two parts of a history together, the newest first, each change once. */
export function join(a: Change[], b: Change[]): Change[] {
  const all = new Map([...a, ...b].map((c) => [c.position, c]));
  return [...all.values()].sort((x, y) => (x.position < y.position ? 1 : -1));
}
