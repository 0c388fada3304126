// Charts over the last five minutes, drawn by uPlot.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { type Series, windowOf } from "./series.js";

export interface Line {
  label: string;
  /** A custom property of the theme, such as `--chart-1`. */
  color: string;
  of: (s: Series) => (number | null)[];
  dash?: number[];
  fill?: boolean;
}

interface Props {
  title: string;
  /** What the chart shows now, in words: the chart itself is a picture. */
  summary: string;
  series: Series;
  lines: Line[];
  format: (n: number) => string;
  /** What is said in place of lines while there is nothing to draw. */
  none: string;
}

const HEIGHT = 120;

export function Chart({ title, summary, series, lines, format, none }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  useEffect(() => {
    const element = box.current!;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(element, lines, format), dataOf(series, lines), element);
    };
    make();
    const sized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    sized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const themed = new MutationObserver(make);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    dark.addEventListener("change", make);
    return () => {
      sized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, []);
  useEffect(() => plot.current?.setData(dataOf(series, lines)), [series]);
  const empty = lines.every((l) => l.of(series).every((n) => !n));
  return (
    <div class="chart" role="img" aria-label={`${title}: ${summary}`}>
      <div class="chart-head" aria-hidden="true">
        <span class="chart-title">{title}</span>
        {lines.map((l) => (
          <span class="chart-key" key={l.label}><span class="chart-swatch" data-color={l.color} data-dash={l.dash ? "" : undefined} />{l.label}</span>
        ))}
      </div>
      <div class="chart-frame" aria-hidden="true">
        <div class="chart-box" ref={box} />
        {empty && <p class="chart-none">{none}</p>}
      </div>
    </div>
  );
}

function dataOf(series: Series, lines: Line[]): uPlot.AlignedData {
  return [series.time, ...lines.map((l) => l.of(series))] as uPlot.AlignedData;
}

function optionsOf(element: HTMLElement, lines: Line[], format: (n: number) => string): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => resolved(element, name);
  const font = `11px ${style.fontFamily}`;
  const axis: uPlot.Axis = { stroke: color("--muted"), font, ticks: { show: false }, grid: { stroke: color("--line"), width: 1 } };
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [6, 30, 0, 0],
    scales: {
      x: { time: true, range: (u) => windowOf(u.data?.[0], Date.now() / 1000) },
      y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.15 : 1] },
    },
    axes: [
      { ...axis, size: 22, space: 70, incrs: [60, 120, 300], grid: { show: false }, values: (_u, at) => at.map(clock) },
      { ...axis, size: 58, space: 34, values: (_u, at) => at.map((n) => format(n)) },
    ],
    series: [
      {},
      ...lines.map((l) => {
        const stroke = color(l.color);
        const points: uPlot.Series.Points = { show: true, size: 4, width: 0, fill: stroke, filter: alone };
        const s: uPlot.Series = { label: l.label, stroke, width: 1.5, points, spanGaps: false };
        if (l.dash) s.dash = l.dash;
        if (l.fill) s.fill = color(`${l.color}-fill`);
        return s;
      }),
    ],
  };
}

// A value between two gaps has no line: it is drawn as a point.
function alone(u: uPlot, index: number): number[] {
  const all = u.data[index]!;
  return Array.from(all.keys()).filter((i) => all[i] != null && all[i - 1] == null && all[i + 1] == null);
}

// A canvas knows no custom properties, and no light-dark().
function resolved(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clock = (seconds: number) => hours.format(seconds * 1000);
