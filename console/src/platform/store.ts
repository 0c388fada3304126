// The services as the gateway sees them, and what their histories add up to.
import { computed, signal } from "@preact/signals";
import { type Service, type ServiceEvent, watchServices } from "@keelson/client";
import { platform } from "../api/clients.js";
import { Live } from "../lib/live.js";
import { type Series, appended } from "./series.js";

export interface ServiceView {
  service: Service;
  series: Series;
}

export class PlatformStore {
  readonly #services = signal<ReadonlyMap<string, ServiceView>>(new Map());
  /** Whether all services have been told once. */
  readonly complete = signal(false);
  /** By name, the gateway itself last. */
  readonly services = computed(() =>
    [...this.#services.value.values()].sort((a, b) => Number(a.service.self) - Number(b.service.self) || (a.service.name < b.service.name ? -1 : 1)),
  );
  readonly live: Live<ServiceEvent>;
  // The services told since the last reset.
  #told = new Set<string>();

  constructor() {
    this.live = new Live<ServiceEvent>((options) => watchServices(platform, { ...options, history: true }), (event) => this.#take(event));
  }

  #take(event: ServiceEvent): void {
    switch (event.kind) {
      case "reset":
        this.#told = new Set();
        break;
      case "service":
        this.#told.add(event.service.name);
        this.#put(event.service, event.initial);
        break;
      case "removed":
        this.#keep((name) => name !== event.name);
        break;
      case "synced":
        this.#keep((name) => this.#told.has(name));
        this.complete.value = true;
    }
  }

  #put(service: Service, anew: boolean): void {
    const old = anew ? undefined : this.#services.value.get(service.name)?.series;
    this.#services.value = new Map(this.#services.value).set(service.name, { service, series: appended(old, service.history) });
  }

  #keep(wanted: (name: string) => boolean): void {
    this.#services.value = new Map([...this.#services.value].filter(([name]) => wanted(name)));
  }
}
