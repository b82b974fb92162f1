// The limits of control groups for this process: CPU quotas and memory, of its own group
// and all parents.
//
// Node knows only the memory limit of the process's own group. Containers, pods, slices and
// services set theirs in parent groups. Supports both versions of control groups, and machines that
// mix them.

import { readFileSync } from "node:fs";

/** The text of a file, or null if it cannot be read. */
export type ReadText = (path: string) => string | null;

export interface GroupLimits {
  /** CPU time in processors, for example 1.5; null: no limit. */
  readonly cpus: number | null;
  /** Bytes; null: no limit. */
  readonly memory: number | null;
}

interface Hierarchy {
  readonly version: 1 | 2;
  /** Controllers of version 1, such as "cpu"; empty in version 2. */
  readonly controllers: readonly string[];
}

/** A mount of a hierarchy, or of its part below `root`. */
interface Mount extends Hierarchy {
  readonly root: string;
  readonly point: string;
}

/** A group that the process is in, in one hierarchy. */
interface Membership extends Hierarchy {
  readonly path: string;
}

/** The default budget's part of a machine's memory, which other programs use too. */
const MACHINE_SHARE = 0.6;
/**
 * What a group's limit, which is for this process, leaves to Node itself: so many bytes (120 MB and
 * a tokenizer), this part of the limit (page tables, holes, and copies of a step's values in every
 * heap), and bytes of a thread (6.5 MB were measured). All else is the budget.
 */
const GROUP_REST = { bytes: 384 * 2 ** 20, part: 0.06, thread: 8 * 2 ** 20 };

/**
 * The default budget in bytes, of a machine's memory and of the limit of the group that this
 * process is in; null: there is none. @param threads that compute
 */
export function defaultBudget(machine: number, limit: number | null, threads: number): number {
  if (limit === null || limit >= machine) return Math.floor(MACHINE_SHARE * machine);
  const rest = GROUP_REST.bytes + GROUP_REST.part * limit + threads * GROUP_REST.thread;
  return Math.floor(Math.max(MACHINE_SHARE * limit, limit - rest));
}

/** The smallest limits of this process's groups and all parents. */
export function groupLimits(read: ReadText = readText): GroupLimits {
  const mounts = mountsOf(read("/proc/self/mountinfo"));
  const memberships = membershipsOf(read("/proc/self/cgroup"));
  const cpus: (number | null)[] = [];
  const memory: (number | null)[] = [];
  for (const membership of memberships) {
    for (const mount of mounts.filter((one) => sameHierarchy(one, membership))) {
      for (const folder of foldersOf(mount, membership.path)) {
        const file = (name: string): string | null => read(`${folder}/${name}`);
        if (mount.version === 2) {
          cpus.push(quotient(file("cpu.max")?.split(/\s+/) ?? []));
          memory.push(bytes(file("memory.max")), bytes(file("memory.high")));
        } else {
          cpus.push(quotient([file("cpu.cfs_quota_us"), file("cpu.cfs_period_us")]));
          // The second includes limits of parents that a container cannot see.
          const above = /^hierarchical_memory_limit (\d+)$/m.exec(file("memory.stat") ?? "")?.[1];
          memory.push(bytes(file("memory.limit_in_bytes")), bytes(above ?? null));
        }
      }
    }
  }
  return { cpus: least(cpus), memory: least(memory) };
}

/**
 * The folder of the group of this process that its memory is counted in; null: there is none that
 * can be seen.
 */
export function memoryGroup(read: ReadText = readText): { readonly version: 1 | 2; readonly folder: string } | null {
  const mounts = mountsOf(read("/proc/self/mountinfo"));
  for (const membership of membershipsOf(read("/proc/self/cgroup"))) {
    const { version, controllers } = membership;
    if (version === 1 && !controllers.includes("memory")) continue;
    for (const mount of mounts.filter((one) => sameHierarchy(one, membership))) {
      const [folder] = foldersOf(mount, membership.path);
      const file = version === 2 ? "cgroup.controllers" : "memory.limit_in_bytes";
      const text = folder === undefined ? null : read(`${folder}/${file}`);
      if (text !== null && (version === 1 || /\bmemory\b/.test(text))) return { version, folder: folder! };
    }
  }
  return null;
}

/**
 * `36 35 98:0 /root /mount/point options ... - type source superoptions`, with spaces in
 * paths as \040.
 */
function mountsOf(mountinfo: string | null): Mount[] {
  const mounts: Mount[] = [];
  for (const line of (mountinfo ?? "").split("\n")) {
    const [place = "", kind = ""] = line.split(" - ");
    const [, , , root = "/", point = ""] = place.split(" ").map(unescaped);
    const [type, , options = ""] = kind.split(" ");
    if (type === "cgroup2") mounts.push({ version: 2, controllers: [], root, point });
    if (type === "cgroup") mounts.push({ version: 1, controllers: options.split(","), root, point });
  }
  // And the usual places: /proc may be missing, or show another view.
  const usual = "/sys/fs/cgroup";
  const one = (name: string): Mount => ({
    version: 1,
    controllers: name.split(","),
    root: "/",
    point: `${usual}/${name}`,
  });
  const two: Mount = { version: 2, controllers: [], root: "/", point: usual };
  return [...mounts, two, one("cpu"), one("cpu,cpuacct"), one("memory")];
}

/** `4:cpu,cpuacct:/path` a hierarchy; version 2 is `0::/path`. */
function membershipsOf(cgroup: string | null): Membership[] {
  const memberships: Membership[] = [];
  for (const line of (cgroup ?? "0::/\n1:cpu:/\n2:memory:/").split("\n")) {
    const [, id, names, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const version = id === "0" && names === "" ? 2 : 1;
    memberships.push({ version, controllers: version === 2 ? [] : names!.split(","), path });
  }
  return memberships;
}

function sameHierarchy(a: Hierarchy, b: Hierarchy): boolean {
  if (a.version !== b.version) return false;
  return (
    a.version === 2 || ["cpu", "memory"].some((name) => a.controllers.includes(name) && b.controllers.includes(name))
  );
}

/** The folders of a group and its visible parents, the highest last. */
function foldersOf({ root, point }: Mount, path: string): string[] {
  // In a container the mount may show the hierarchy from the container's group on, while the path
  // is still the host's; a path with ".." is above the visible part.
  const below = root === "/" ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : "/";
  const parts = below.split("/").filter((part) => part !== "");
  const seen = parts.includes("..") ? [] : parts;
  return Array.from({ length: seen.length + 1 }, (_, up) => [point, ...seen.slice(0, seen.length - up)].join("/"));
}

/** Quota divided by period, both in microseconds; null without a quota ("max", -1). */
function quotient([quota, period]: readonly (string | null | undefined)[]): number | null {
  const cpus = Number(quota?.trim() || Number.NaN) / Number(period?.trim() || 100_000);
  return cpus > 0 && Number.isFinite(cpus) ? cpus : null;
}

function bytes(text: string | null): number | null {
  const value = Number(text?.trim() || Number.NaN);
  // "max"; version 1 has almost 2^63
  return value > 0 && value < Number.MAX_SAFE_INTEGER ? value : null;
}

function least(values: readonly (number | null)[]): number | null {
  const limits = values.filter((value) => value !== null);
  return limits.length > 0 ? Math.min(...limits) : null;
}

function unescaped(path: string): string {
  return path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
