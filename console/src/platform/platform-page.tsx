import "./platform.css";
import { useEffect } from "preact/hooks";
import { plural } from "../lib/format.js";
import { announce } from "../ui/announce.js";
import { ConnectionState } from "../ui/connection.js";
import { Icon } from "../ui/icon.js";
import { ProblemView } from "../ui/problem.js";
import { Bones, Empty } from "../ui/state.js";
import { ServiceCard } from "./service-card.js";
import { PlatformStore } from "./store.js";
import { stateWord } from "./words.js";

const store = new PlatformStore();

export function PlatformPage() {
  useEffect(() => {
    document.title = "Platform · Keelson";
    store.live.start();
    return () => store.live.stop();
  }, []);
  const services = store.services.value;
  const connection = store.live.state.value;
  const others = services.filter((v) => !v.service.self);
  const problem = "problem" in connection ? connection.problem : undefined;
  const stale = connection.phase !== "live" && services.length > 0;
  useAnnouncedStates();
  return (
    <div class="page">
      <div class="page-head">
        <h1 tabIndex={-1}>Platform</h1>
        <ConnectionState live={store.live} what="Services are" />
        {services.length > 0 && <p class="page-sub muted">{plural(services.length, "service")}, as this gateway sees {services.length === 1 ? "it" : "them"}</p>}
      </div>
      {problem && services.length === 0 && (
        <ProblemView problem={problem} title="The services could not be read">
          <button type="button" class="button" onClick={() => store.live.start()}><Icon name="refresh" /> Try again</button>
        </ProblemView>
      )}
      {services.length === 0 && !store.complete.value && !problem && <Bones rows={6} label="Loading the services" />}
      {others.length === 0 && store.complete.value && <Empty icon="pulse" title="The gateway exposes no services"><p>Services that its configuration lists appear here, with their instances and traffic.</p></Empty>}
      <div class="services" data-stale={stale ? "" : undefined}>
        {services.map((view) => <ServiceCard key={view.service.name} view={view} />)}
      </div>
    </div>
  );
}

const said = new Map<string, string>();

// A service whose state changes is news; its numbers are not.
function useAnnouncedStates(): void {
  const services = store.services.value;
  const states = services.map((v) => `${v.service.name}=${v.service.state}`).join();
  useEffect(() => {
    for (const { service } of services) {
      const word = stateWord(service.state).text;
      const before = said.get(service.name);
      said.set(service.name, word);
      if (before && before !== word) announce(`${service.name.replace("services/", "")} is now ${word.toLowerCase()}. ${service.stateReason}`);
    }
  }, [states]);
}
