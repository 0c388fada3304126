import { BreakerState, type Instance, Instance_Status as Status } from "@keelson/client";
import type { MethodBreaker, Traffic } from "@keelson/client/gen/keelson/platform/v1/platform_pb";
import { count, latency, percent, perSecond, plural, secondsOf } from "../lib/format.js";
import { Badge } from "../ui/badge.js";
import { Icon } from "../ui/icon.js";
import { When } from "../ui/time.js";
import { Chart, type Line } from "./chart.js";
import { instanceDashboardLink, serviceDashboardLink, serviceTracesLink } from "./links.js";
import type { Series } from "./series.js";
import type { ServiceView } from "./store.js";
import { type Word, breakerWord, stateWord, statusWord } from "./words.js";

const RATE: Line[] = [
  { label: "Calls", color: "--chart-1", of: (s) => s.calls, fill: true },
  { label: "Errors", color: "--chart-bad", of: (s) => s.errors, dash: [4, 3] },
];
const LATENCY: Line[] = [
  { label: "p50", color: "--chart-1", of: (s) => s.p50 },
  { label: "p99", color: "--chart-2", of: (s) => s.p99, dash: [4, 3] },
];

export function ServiceCard({ view: { service, series } }: { view: ServiceView }) {
  const id = service.name.replace("services/", "");
  const heading = `service-${id}`;
  const broken = service.breakers.filter((b) => b.state !== BreakerState.CLOSED && b.state !== BreakerState.UNSPECIFIED);
  return (
    <section class="card service" aria-labelledby={heading} data-service={id} data-state={stateWord(service.state).text.toLowerCase()}>
      <div class="service-head">
        <h2 id={heading}>{id}</h2>
        <WordBadge word={stateWord(service.state)} />
        {service.self && <Badge tone="plain">This gateway</Badge>}
        <span class="service-links">
          <Outside to={serviceTracesLink(id)}>Traces</Outside>
          <Outside to={serviceDashboardLink(id)}>Dashboard</Outside>
        </span>
      </div>
      {service.stateReason && <p class="service-reason">{service.stateReason}</p>}
      {!service.self && <Numbers traffic={service.traffic} />}
      {!service.self && <Charts id={id} series={series} traffic={service.traffic} />}
      {broken.length > 0 && <Breakers breakers={broken} />}
      <Instances service={id} instances={service.instances} self={service.self} />
      <p class="service-foot muted">
        {service.grpcServices.map((g) => g.fullName).join(", ")}
        {service.loadBalancer && ` · balanced by ${service.loadBalancer}`}
        {service.resolution?.lastGoodTime && <> · registry read <When time={service.resolution.lastGoodTime} relative /></>}
      </p>
    </section>
  );
}

function WordBadge({ word, title }: { word: Word; title?: string }) {
  return <Badge tone={word.tone} icon={word.icon} title={title ?? ""}>{word.text}</Badge>;
}

function Outside({ to, children }: { to: string; children: string }) {
  if (!to) return null;
  return <a href={to} target="_blank" rel="noreferrer">{children} <Icon name="link" /><span class="sr-only"> (opens a new tab)</span></a>;
}

const errorsOf = (t: Traffic | undefined) => (t?.errorRatio ? percent(t.errorRatio) : "none");

function Numbers({ traffic: t }: { traffic: Traffic | undefined }) {
  return (
    <dl class="numbers">
      <div><dt>Calls</dt><dd>{perSecond(t?.callsPerSecond ?? 0)}</dd></div>
      <div data-bad={t?.errorRatio ? "" : undefined}><dt>Errors</dt><dd>{errorsOf(t)}</dd></div>
      <div><dt>p50</dt><dd>{t?.p50 ? latency(secondsOf(t.p50)) : "–"}</dd></div>
      <div><dt>p99</dt><dd>{t?.p99 ? latency(secondsOf(t.p99)) : "–"}</dd></div>
      <div><dt>In flight</dt><dd>{count(t?.inFlight ?? 0)}</dd></div>
    </dl>
  );
}

function Charts({ id, series, traffic: t }: { id: string; series: Series; traffic: Traffic | undefined }) {
  const rate = `${perSecond(t?.callsPerSecond ?? 0)}, errors ${errorsOf(t)}`;
  const times = t?.p50 && t.p99 ? `p50 ${latency(secondsOf(t.p50))}, p99 ${latency(secondsOf(t.p99))}` : "no calls lately";
  return (
    <div class="charts">
      <Chart title="Calls per second" summary={`${id}, ${rate}`} series={series} lines={RATE} format={(n) => String(n)} none="No calls in the last five minutes" />
      <Chart title="Latency" summary={`${id}, ${times}`} series={series} lines={LATENCY} format={(n) => (n ? latency(n) : "0")} none="Nothing to measure" />
    </div>
  );
}

function Breakers({ breakers }: { breakers: MethodBreaker[] }) {
  return (
    <ul class="breakers" aria-label="Breakers that are not closed">
      {breakers.map((b) => {
        const word = breakerWord(b.state);
        return (
          <li key={b.method}>
            {word && <WordBadge word={word} />}
            <span class="mono">{b.method}</span>
            <span class="muted">{plural(b.failureCount, "failure")} of {plural(b.callCount, "call")}, {count(b.rejectionCount)} refused</span>
          </li>
        );
      })}
    </ul>
  );
}

function Instances({ service, instances, self }: { service: string; instances: Instance[]; self: boolean }) {
  if (instances.length === 0) return <p class="muted">No instances are known.</p>;
  return (
    <div class="table-frame">
      <table class="table cards instances" role="table">
        <caption class="sr-only">Instances of {service}</caption>
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">Instance</th>
            <th role="columnheader" scope="col">Status</th>
            {!self && <>
              <th role="columnheader" scope="col">Breaker</th>
              <th role="columnheader" scope="col" class="number">Calls</th>
              <th role="columnheader" scope="col" class="number">Errors</th>
              <th role="columnheader" scope="col" class="number">p50</th>
              <th role="columnheader" scope="col" class="number">p99</th>
            </>}
            <th role="columnheader" scope="col">Version</th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {instances.map((i) => <InstanceRow key={`${i.id}@${i.address}`} service={service} i={i} self={self} />)}
        </tbody>
      </table>
    </div>
  );
}

function InstanceRow({ service, i, self }: { service: string; i: Instance; self: boolean }) {
  const word = statusWord(i.status);
  const breaker = breakerWord(i.breaker);
  const t = i.traffic;
  return (
    <tr role="row" data-instance={i.id} data-status={Status[i.status].toLowerCase()} data-tone={word.tone}>
      <th role="rowheader" scope="row">
        <span class="strong">{i.id}</span>
        {i.address !== i.id && <span class="mono muted instance-address">{i.address}</span>}
        <Outside to={instanceDashboardLink(service, i.id)}>Dashboard</Outside>
      </th>
      <td role="cell" data-label="Status">
        <span class="status">
          <WordBadge word={word} title={i.statusReason} />
          {i.statusReason && <span class="status-reason">{i.statusReason}</span>}
          {i.statusTime && <span class="muted status-time"><When time={i.statusTime} relative /></span>}
        </span>
      </td>
      {!self && <>
        <td role="cell" data-label="Breaker">{breaker ? <WordBadge word={breaker} title={i.ejectReason && `opened last for ${i.ejectReason}`} /> : <span class="muted">–</span>}</td>
        <td role="cell" data-label="Calls" class="number">{perSecond(t?.callsPerSecond ?? 0)}</td>
        <td role="cell" data-label="Errors" class="number">{errorsOf(t)}</td>
        <td role="cell" data-label="p50" class="number">{t?.p50 ? latency(secondsOf(t.p50)) : "–"}</td>
        <td role="cell" data-label="p99" class="number">{t?.p99 ? latency(secondsOf(t.p99)) : "–"}</td>
      </>}
      <td role="cell" data-label="Version"><span class="mono">{i.version || "–"}</span></td>
    </tr>
  );
}
