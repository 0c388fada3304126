import type { Client } from "@connectrpc/connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { KeelsonError } from "./errors.js";
import { WatchServicesResponse_Type } from "./gen/keelson/platform/v1/platform_pb.js";
import type { PlatformService, Service, WatchServicesRequestSchema, WatchServicesResponse } from "./gen/keelson/platform/v1/platform_pb.js";
import { attempts } from "./transport.js";
import { follow, judge } from "./watch.js";
import type { Ending, Source, WatchOptions } from "./watch.js";

/** What {@link watchServices} tells. */
export type ServiceEvent =
  /** All services follow; one that is not among them when `synced` comes is gone. Comes with each new stream. */
  | { readonly kind: "reset" }
  /** A service as it is now; `initial` among those that follow a reset. */
  | { readonly kind: "service"; readonly service: Service; readonly initial: boolean }
  /** A service, by its name, is not there any more. */
  | { readonly kind: "removed"; readonly name: string }
  /** All services were told. */
  | { readonly kind: "synced" }
  /** Nothing happened; it was sent then. */
  | { readonly kind: "heartbeat"; readonly sendTime: Timestamp | undefined };

/** What {@link watchServices} asks for. */
export interface WatchServicesOptions extends WatchOptions {
  /** How often each service is sent for its traffic, in milliseconds. Default 1000. */
  intervalMs?: number;
  /** With the history of services and instances. */
  history?: boolean;
}

/** How long the gateway is never silent, by its contract. */
const silenceMs = 15_000;

/**
 * Watches the services of the platform until the signal or the consumer ends it.
 * Streams that break begin anew, after a `reset`: there is nothing to resume.
 */
export function watchServices(platform: Client<typeof PlatformService>, options: WatchServicesOptions = {}): AsyncGenerator<ServiceEvent, void, void> {
  return follow(new ServiceSource(platform, options), { silenceMs, ...options });
}

class ServiceSource implements Source<WatchServicesResponse, ServiceEvent> {
  private readonly platform: Client<typeof PlatformService>;
  private readonly options: WatchServicesOptions;
  private begun = false;

  constructor(platform: Client<typeof PlatformService>, options: WatchServicesOptions) {
    this.platform = platform;
    this.options = options;
  }

  open(signal: AbortSignal): AsyncIterable<WatchServicesResponse> {
    const { intervalMs, history = false } = this.options;
    const request: MessageInitShape<typeof WatchServicesRequestSchema> = { history };
    if (intervalMs !== undefined) {
      request.interval = durationFromMs(intervalMs);
    }
    this.begun = false;
    return this.platform.watchServices(request, { signal, contextValues: attempts(1) });
  }

  receive(message: WatchServicesResponse): ServiceEvent[] {
    const events: ServiceEvent[] = [];
    if (!this.begun) {
      this.begun = true;
      events.push({ kind: "reset" });
    }
    const { type, service } = message;
    if (type === WatchServicesResponse_Type.HEARTBEAT) {
      events.push({ kind: "heartbeat", sendTime: message.sendTime });
    } else if (type === WatchServicesResponse_Type.REMOVE && service) {
      events.push({ kind: "removed", name: service.name });
    } else if (service) {
      events.push({ kind: "service", service, initial: type === WatchServicesResponse_Type.SNAPSHOT });
    }
    if (message.snapshotEnd) {
      events.push({ kind: "synced" });
    }
    return events;
  }

  ended(error: KeelsonError | undefined): Ending {
    return judge(error);
  }

  async resync(): Promise<void> {
    // Each stream begins with all there is.
  }
}
