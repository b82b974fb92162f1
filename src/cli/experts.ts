// Prints statistics of experts that are not all in one memory.

import type { ExpertStats, TierStats } from "../index.ts";
import { formatBytes, formatSeconds } from "./output.ts";

/** All bytes that were moved into a tier. */
function moved({ bytes }: TierStats): number {
  return bytes.demand + bytes.admission + bytes.prefetch;
}

function uses({ layers }: TierStats): { readonly routed: number; readonly hits: number } {
  const sum = (field: "routed" | "hits"): number => layers.reduce((total, layer) => total + layer[field], 0);
  return { routed: sum("routed"), hits: sum("hits") };
}

/** "experts 78 % hot, 41 MB/token": since `before`; `tokens` were generated since then. */
export function expertsLine(now: ExpertStats, before: ExpertStats, tokens: number): string {
  const [to, from] = [uses(now.main), uses(before.main)];
  const routed = to.routed - from.routed;
  const hot = routed > 0 ? `${Math.floor((100 * (to.hits - from.hits)) / routed)} %` : "-";
  const bytes = moved(now.main) - moved(before.main);
  return `experts ${hot} hot, ${tokens > 0 ? `${formatBytes(bytes / tokens)}/token` : "-"}`;
}

/** The output of --stats: each tier's bytes, the times, and a line for each layer. */
export function expertsTable(stats: ExpertStats, main: string): string {
  const lines: string[] = [];
  const tiers: [string, TierStats | null][] = [
    [main, stats.main],
    ["RAM", stats.ram],
  ];
  for (const [name, tier] of tiers) {
    if (!tier) continue;
    const { routed, hits } = uses(tier);
    const { demand, admission, prefetch, wasted } = tier.bytes;
    lines.push(
      `${name}: ${tier.slots} of ${stats.experts} experts a layer (${formatBytes(stats.recordBytes)} each); ${hits} of ${routed} uses were hits (${percent(hits, routed)})`,
      `  moved in: demand ${formatBytes(demand)}, admission ${formatBytes(admission)}, prefetch ${formatBytes(prefetch)} (wasted ${formatBytes(wasted)})`,
      "  layer   routed     hits   misses admitted  hit rate  residents",
    );
    for (const [i, layer] of tier.layers.entries()) {
      const cells = [i, layer.routed, layer.hits, layer.misses, layer.admissions].map((n) => String(n).padStart(8));
      const rate = percent(layer.hits, layer.routed).padStart(9);
      lines.push(`${cells.join(" ").slice(1)} ${rate}  ${layer.residents.join(" ")}`);
    }
  }
  if (stats.packed !== null) {
    const { bytes, refused } = stats.packed;
    const more = refused === null ? "" : `; the others are packed again each time: ${refused}`;
    lines.push(`packed experts kept on disk: ${formatBytes(bytes)}${more}`);
  }
  const { stall, sync, upload, disk, hostCompute } = stats.ms;
  const times = { stall, sync, upload, disk, "CPU experts": hostCompute };
  lines.push(
    `time: ${Object.entries(times)
      .map(([name, ms]) => `${name} ${formatSeconds(ms)}`)
      .join(", ")}`,
  );
  return `${lines.join("\n")}\n`;
}

function percent(part: number, whole: number): string {
  return whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "-";
}
