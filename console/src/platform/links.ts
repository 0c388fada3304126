// Where to look further: what the gateway says of Jaeger and Grafana.
import { computed, signal } from "@preact/signals";
import type { ConsoleConfig } from "@keelson/client/gen/keelson/platform/v1/platform_pb";
import { platform } from "../api/clients.js";

export const config = signal<ConsoleConfig | undefined>(undefined);

/** loadConfig asks once; without an answer there are no links. */
export async function loadConfig(): Promise<void> {
  try {
    config.value = await platform.getConsoleConfig({ name: "consoleConfig" });
  } catch {
    config.value = undefined;
  }
}

const links = computed(() => config.value?.links);

/** expand puts values into a template; "" when it is none of http or https, or needs what is not known. */
export function expand(template: string, values: Record<string, string>): string {
  if (!/^https?:\/\//.test(template)) return "";
  let missing = false;
  const url = template.replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) missing = true;
    return encodeURIComponent(value ?? "");
  });
  return missing ? "" : url;
}

export const traceLink = (correlationId: string) => expand(links.value?.trace ?? "", { correlation_id: correlationId });
export const serviceTracesLink = (service: string) => expand(links.value?.serviceTraces ?? "", { service });
export const serviceDashboardLink = (service: string) => expand(links.value?.serviceDashboard ?? "", { service });
export const instanceDashboardLink = (service: string, instance: string) => expand(links.value?.instanceDashboard ?? "", { service, instance });
