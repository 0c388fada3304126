// A platform of three services, of which one instance comes and goes.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { pause } from "./users.js";
import { BreakerState, Instance_Status as Status, type PlatformService, ServiceSchema, Service_State as State, WatchServicesResponse_Type as Type } from "../node_modules/@keelson/client/src/gen/keelson/platform/v1/platform_pb.js";


const START = Date.now() - 300_000;
let killed = false;
export const kill = (dead: boolean) => (killed = dead);

function wave(t: number, seed: number): number {
  return 40 + 18 * Math.sin(t / 23_000 + seed) + 9 * Math.sin(t / 5100 + seed * 3) + 4 * Math.sin(t * 12.9898 + seed);
}

function history(seed: number, from: number, to: number) {
  const at = Array.from({ length: Math.max(0, Math.floor((to - from) / 1000)) }, (_, i) => from + (i + 1) * 1000);
  return {
    endTime: timestampFromMs(to),
    step: durationFromMs(1000),
    callsPerSecond: at.map((t) => Math.max(0, wave(t, seed))),
    errorsPerSecond: at.map((t) => (killed ? 3 : Math.max(0, Math.sin(t / 9000) - 0.9) * 8)),
    p50Seconds: at.map((t) => 0.002 + 0.0005 * Math.sin(t / 8000 + seed)),
    p99Seconds: at.map((t) => 0.011 + 0.004 * Math.sin(t / 11_000 + seed)),
    inFlight: at.map(() => 3),
  };
}

const traffic = (calls: number, errors: number) => ({
  window: durationFromMs(5000), callsPerSecond: calls, errorsPerSecond: errors, errorRatio: errors / calls,
  p50: durationFromMs(2.1), p99: durationFromMs(12.4), inFlight: 4, callCount: 123456n, errorCount: 12n,
});

function instance(service: string, i: number, version: string) {
  const dead = killed && service === "user" && i === 2;
  return {
    id: `${service}-${i}`, address: `127.0.0.1:${41000 + i * 17}`, version, zone: "",
    status: dead ? Status.UNREACHABLE : Status.SERVING,
    statusReason: dead ? "the connection broke: connection refused" : "",
    statusTime: timestampFromMs(dead ? Date.now() - 4000 : START),
    breaker: dead ? BreakerState.OPEN : BreakerState.CLOSED,
    balanceFactor: 1,
    traffic: dead ? traffic(0.001, 0) : traffic(14 + i, killed ? 0.2 : 0),
  };
}

function services(from: number, to: number) {
  const make = (name: string, n: number, full: string, seed: number): MessageInitShape<typeof ServiceSchema> => {
    const hurt = killed && name === "user";
    return {
      name: `services/${name}`, target: `consul:///${name}`, state: hurt ? State.DEGRADED : State.SERVING,
      stateReason: hurt ? "1 of 3 instances is unreachable" : "",
      grpcServices: [{ fullName: full, methods: [] }],
      instances: Array.from({ length: n }, (_, i) => instance(name, i, "0.4.0")),
      traffic: traffic(wave(to, seed), hurt ? 1.2 : 0), loadBalancer: "least_request",
      resolution: { decision: "accepted", lastGoodTime: timestampFromMs(to - 800) },
      breakers: hurt ? [{ method: `${full}/GetUser`, state: BreakerState.HALF_OPEN, callCount: 120, failureCount: 61, rejectionCount: 8n }] : [],
      history: history(seed, from, to), readTime: timestampNow(),
    };
  };
  const self: MessageInitShape<typeof ServiceSchema> = {
    name: "services/gateway", self: true, state: State.SERVING, grpcServices: [{ fullName: "keelson.platform.v1.PlatformService", methods: [] }],
    instances: [{ id: "gateway-0", address: "127.0.0.1:8080", version: "0.4.0", status: Status.SERVING, statusTime: timestampFromMs(START) }],
  };
  return [make("audit", 2, "audit.v1.AuditService", 2), self, make("user", 3, "user.v1.UserService", 0)].map((s) => create(ServiceSchema, s));
}

export const platformService: Partial<ServiceImpl<typeof PlatformService>> = {
  async *watchServices(_req, context) {
    let last = Date.now();
    const all = services(START, last);
    for (const [i, service] of all.entries()) yield { type: Type.SNAPSHOT, service, snapshotEnd: i === all.length - 1 };
    while (!context.signal.aborted) {
      await pause(1000, context.signal);
      const now = last + 1000 * Math.floor((Date.now() - last) / 1000);
      for (const service of services(last, now)) yield { type: Type.UPDATE, service };
      last = now;
    }
  },
  getConsoleConfig: () => ({
    name: "consoleConfig",
    gateway: "services/gateway",
    links: {
      trace: "http://127.0.0.1:16686/search?service=gateway&tags=%7B%22keelson.correlation_id%22%3A%22{correlation_id}%22%7D",
      serviceTraces: "http://127.0.0.1:16686/search?service={service}",
      serviceDashboard: "http://127.0.0.1:3000/d/keelson?var-service={service}",
    },
  }),
};
