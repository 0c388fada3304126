// A platform of three services, of which one instance comes and goes.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs, timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { pause } from "./users.js";
import { BreakerState, Instance_Status as Status, MethodBreakerSchema, type PlatformService, ServiceSchema, Service_State as State, WatchServicesResponse_Type as Type } from "../node_modules/@keelson/client/src/gen/keelson/platform/v1/platform_pb.js";


const START = Date.now() - 300_000;
type Init = MessageInitShape<typeof ServiceSchema> & { $typeName?: never };
let killed = false;
export const kill = (dead: boolean) => (killed = dead);

/** What the platform looks like: as it is by default, or as few ever do. */
export type Scene = "usual" | "crowd" | "quiet" | "alone";
let scene: Scene = "usual";
export const play = (s: Scene) => (scene = s);

const LONG = "user-recommendations-and-entitlements-worker-eu-central-1a-5f7d9c8b64-";
const REASON = `the connection broke: rpc error: code = Unavailable desc = transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate is valid for ${"a-name-without-end.".repeat(6)}example.com, not for this instance`;

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

/** Twenty instances, with names and errors that are long. */
function crowd(): Init["instances"] {
  return Array.from({ length: 20 }, (_, i) => ({
    ...instance("user", i, `v1.27.3-0.20261121093620-${"4410709089b8"}+dirty`),
    id: `${LONG}${String(i).padStart(5, "x")}`,
    address: `[2001:db8:85a3:8d3:1319:8a2e:370:${(7000 + i).toString(16)}]:41000`,
    ...(i % 6 === 1 && { status: Status.UNREACHABLE, statusReason: REASON, breaker: BreakerState.OPEN, ejectReason: "consecutive errors" }),
    ...(i % 6 === 3 && { status: Status.DRAINING, statusReason: "" }),
    ...(i % 6 === 5 && { status: Status.EJECTED, statusReason: "most of its calls failed", breaker: BreakerState.HALF_OPEN }),
    traffic: traffic(123_456.7, 12_345.6),
  }));
}

function services(from: number, to: number) {
  const make = (name: string, n: number, full: string, seed: number): Init => {
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
  const self: Init = {
    name: "services/gateway", self: true, state: State.SERVING, grpcServices: [{ fullName: "keelson.platform.v1.PlatformService", methods: [] }],
    instances: [{ id: "gateway-0", address: "127.0.0.1:8080", version: "0.4.0", status: Status.SERVING, statusTime: timestampFromMs(START) }],
  };
  const audit = make("audit", 2, "audit.v1.AuditService", 2);
  const user = make("user", 3, "user.v1.UserService", 0);
  const quiet = { callsPerSecond: 0, errorsPerSecond: 0, inFlight: 0 };
  const zeros = Array.from({ length: 60 }, () => 0);
  const scenes: Record<Scene, Init[]> = {
    usual: [audit, self, user],
    crowd: [{ ...user, name: `services/${LONG.slice(0, -1)}`, state: State.DEGRADED, stateReason: REASON, instances: crowd() ?? [], breakers: ["GetUser", "ListUsersByAnAttributeThatHasALongName"].map((m) => create(MethodBreakerSchema, { method: `user.v1.UserService/${m}`, state: BreakerState.OPEN, callCount: 1_234_567, failureCount: 1_234_560, rejectionCount: 98_765_432n })) }, self],
    quiet: [
      { ...user, instances: [{ ...instance("user", 0, "0.4.0"), traffic: quiet }], traffic: quiet, history: { ...history(0, to - 60_000, to), callsPerSecond: zeros, errorsPerSecond: zeros, p50Seconds: zeros, p99Seconds: zeros } },
      { name: "services/report", target: "consul:///report", state: State.DOWN, stateReason: "no instance is registered", instances: [], grpcServices: [], traffic: quiet },
      self,
    ],
    alone: [self],
  };
  return scenes[scene].map((s) => create(ServiceSchema, s));
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
