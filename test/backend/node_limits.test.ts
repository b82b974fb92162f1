import { describe, expect, it } from "vitest";
import { defaultBudget, type GroupLimits, groupLimits, memoryGroup } from "../../src/backend/cpu/node_limits.ts";

const V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const V1 = [
  "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
  "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
  "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
  "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
].join("\n");
const HYBRID = `${V1}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`;
const G = "/sys/fs/cgroup";
const NONE: GroupLimits = { cpus: null, memory: null };
const UNLIMITED = "9223372036854771712\n";

/** What the kernel would say: mountinfo, this process's groups, and files. */
type Machine = readonly [mountinfo: string | null, cgroup: string | null, files: Record<string, string>];

const MACHINES: readonly (readonly [string, Machine, GroupLimits])[] = [
  ["no control groups at all", [null, null, {}], NONE],
  ["v2: nothing set", [V2, "0::/a\n", { [`${G}/a/cpu.max`]: "max 100000\n", [`${G}/a/memory.max`]: "max\n" }], NONE],
  [
    "v2: its own",
    [V2, "0::/a\n", { [`${G}/a/cpu.max`]: "150000 100000\n", [`${G}/a/memory.max`]: "1073741824\n" }],
    { cpus: 1.5, memory: 2 ** 30 },
  ],
  [
    "v2: a slice above a service has the lower limits",
    [
      V2,
      "0::/app.slice/app-b.slice/c.service\n",
      {
        [`${G}/app.slice/cpu.max`]: "50000 100000\n",
        [`${G}/app.slice/memory.max`]: "500\n",
        [`${G}/app.slice/app-b.slice/memory.max`]: "max\n",
        [`${G}/app.slice/app-b.slice/c.service/memory.max`]: "700\n",
        [`${G}/app.slice/app-b.slice/c.service/cpu.max`]: "400000 100000\n",
      },
    ],
    { cpus: 0.5, memory: 500 },
  ],
  [
    "v2: memory.high",
    [V2, "0::/a", { [`${G}/a/memory.max`]: "900", [`${G}/a/memory.high`]: "800" }],
    { cpus: null, memory: 800 },
  ],
  ["v2: another period", [V2, "0::/a", { [`${G}/a/cpu.max`]: "20000 10000" }], { cpus: 2, memory: null }],
  ["v2: a quota without a period", [V2, "0::/a", { [`${G}/a/cpu.max`]: "200000" }], { cpus: 2, memory: null }],
  [
    "v2, in a container with a namespace: the path is /, the limits lie at the mount",
    [V2, "0::/\n", { [`${G}/cpu.max`]: "200000 100000\n", [`${G}/memory.max`]: "64\n" }],
    { cpus: 2, memory: 64 },
  ],
  [
    "v2, a path above what is mounted",
    [V2, "0::/../../other\n", { [`${G}/cpu.max`]: "100000 100000\n" }],
    { cpus: 1, memory: null },
  ],
  [
    "v2, in a container without a namespace: the mount shows the host's group as its root",
    [
      "31 23 0:28 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup ro\n",
      "0::/docker/x/inner\n",
      { [`${G}/memory.max`]: "64\n", [`${G}/inner/memory.max`]: "max\n" },
    ],
    { cpus: null, memory: 64 },
  ],
  [
    "v2, a group that is not below the mount's root",
    [
      "31 23 0:28 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup ro\n",
      "0::/docker/xy\n",
      { [`${G}/memory.max`]: "64\n" },
    ],
    { cpus: null, memory: 64 },
  ],
  [
    "v2: a mount in a place with a space",
    ["31 23 0:28 / /mnt/my\\040groups rw - cgroup2 x rw\n", "0::/a\n", { "/mnt/my groups/a/memory.max": "7\n" }],
    { cpus: null, memory: 7 },
  ],
  [
    "v2: a group whose name holds a colon",
    [V2, "0::/a:b\n", { [`${G}/a:b/memory.max`]: "7\n" }],
    { cpus: null, memory: 7 },
  ],
  [
    "v1: nothing set",
    [
      V1,
      "4:memory:/a\n2:cpu,cpuacct:/b\n1:name=systemd:/c\n",
      {
        [`${G}/memory/a/memory.limit_in_bytes`]: UNLIMITED,
        [`${G}/cpu,cpuacct/b/cpu.cfs_quota_us`]: "-1\n",
        [`${G}/cpu,cpuacct/b/cpu.cfs_period_us`]: "100000\n",
      },
    ],
    NONE,
  ],
  [
    "v1: its own, a group for each controller",
    [
      V1,
      "4:memory:/a\n2:cpu,cpuacct:/b\n",
      {
        [`${G}/memory/a/memory.limit_in_bytes`]: "4096\n",
        [`${G}/memory/a/memory.stat`]: "cache 0\nhierarchical_memory_limit 4096\n",
        [`${G}/cpu,cpuacct/b/cpu.cfs_quota_us`]: "100000\n",
        [`${G}/cpu,cpuacct/b/cpu.cfs_period_us`]: "50000\n",
      },
    ],
    { cpus: 2, memory: 4096 },
  ],
  [
    "v1: a parent's",
    [
      V1,
      "4:memory:/pod/a\n2:cpu,cpuacct:/pod/a\n",
      {
        [`${G}/memory/pod/memory.limit_in_bytes`]: "2048\n",
        [`${G}/memory/pod/a/memory.limit_in_bytes`]: UNLIMITED,
        [`${G}/cpu,cpuacct/pod/cpu.cfs_quota_us`]: "300000\n",
        [`${G}/cpu,cpuacct/pod/cpu.cfs_period_us`]: "100000\n",
        [`${G}/cpu,cpuacct/pod/a/cpu.cfs_quota_us`]: "-1\n",
      },
    ],
    { cpus: 3, memory: 2048 },
  ],
  [
    "v1: a parent's limit that a container cannot see",
    [
      "35 31 0:32 /pod/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
      "4:memory:/pod/a\n",
      {
        [`${G}/memory/memory.limit_in_bytes`]: UNLIMITED,
        [`${G}/memory/memory.stat`]: "cache 0\nhierarchical_memory_limit 2048\ntotal_cache 0\n",
      },
    ],
    { cpus: null, memory: 2048 },
  ],
  [
    "hybrid: controllers are in v1, the v2 tree has none",
    [
      HYBRID,
      "4:memory:/a\n2:cpu,cpuacct:/\n0::/a\n",
      {
        [`${G}/memory/a/memory.limit_in_bytes`]: "512\n",
        [`${G}/cpu,cpuacct/cpu.cfs_quota_us`]: "50000\n",
        [`${G}/cpu,cpuacct/cpu.cfs_period_us`]: "100000\n",
      },
    ],
    { cpus: 0.5, memory: 512 },
  ],
  [
    "hybrid: memory is in v2",
    [HYBRID, "2:cpu,cpuacct:/\n0::/a\n", { [`${G}/unified/a/memory.max`]: "512\n" }],
    { cpus: null, memory: 512 },
  ],
  ["no mountinfo: the usual places", [null, "0::/a\n", { [`${G}/a/memory.max`]: "9\n" }], { cpus: null, memory: 9 }],
  [
    "files in the usual place, mounts as they were before",
    [HYBRID, "0::/a/b\n", { [`${G}/a/cpu.max`]: "150000 100000\n", [`${G}/a/b/memory.max`]: "9\n" }],
    { cpus: 1.5, memory: 9 },
  ],
  [
    "no list of groups: the mount's own",
    [V2, null, { [`${G}/cpu.max`]: "100000 100000\n" }],
    { cpus: 1, memory: null },
  ],
  [
    "files that hold something else",
    [
      V2,
      "what is this\n0::/a\n",
      { [`${G}/a/cpu.max`]: "much\n", [`${G}/a/memory.max`]: "", [`${G}/cpu.max`]: "0 0\n" },
    ],
    NONE,
  ],
];

describe("limits of control groups", () => {
  it.each(MACHINES)("%s", (_, [mountinfo, cgroup, files], expected) => {
    const tree: Record<string, string | null> = {
      ...files,
      "/proc/self/mountinfo": mountinfo,
      "/proc/self/cgroup": cgroup,
    };
    expect(groupLimits((path) => tree[path] ?? null)).toEqual(expected);
  });
});

describe("the group that memory is counted in", () => {
  it.each([
    ["none", [null, null, {}], null],
    [
      "v1",
      [V1, "4:memory:/a/b\n1:cpu:/\n", { [`${G}/memory/a/b/memory.limit_in_bytes`]: UNLIMITED }],
      [1, `${G}/memory/a/b`],
    ],
    ["v2", [V2, "0::/a\n", { [`${G}/a/cgroup.controllers`]: "cpu io memory\n" }], [2, `${G}/a`]],
    ["v2 without the controller", [V2, "0::/a\n", { [`${G}/a/cgroup.controllers`]: "cpu io\n" }], null],
    [
      "a mixture: memory is version 1's",
      [
        HYBRID,
        "4:memory:/a\n0::/\n",
        { [`${G}/memory/a/memory.limit_in_bytes`]: UNLIMITED, [`${G}/unified/cgroup.controllers`]: "\n" },
      ],
      [1, `${G}/memory/a`],
    ],
  ] as const satisfies readonly (readonly [string, Machine, readonly [1 | 2, string] | null])[])(
    "%s",
    (_, [mountinfo, cgroup, files], expected) => {
      const tree: Record<string, string | null> = {
        ...(files as Record<string, string>),
        "/proc/self/mountinfo": mountinfo,
        "/proc/self/cgroup": cgroup,
      };
      const found = memoryGroup((path) => tree[path] ?? null);
      expect(found && [found.version, found.folder]).toEqual(expected);
    },
  );
});

it.each([
  ["no limit", 16, null, 2, 9.6],
  ["a limit above the machine's memory", 16, Number.POSITIVE_INFINITY, 2, 9.6],
  ["a large limit", 64, 32, 2, 0.94 * 32 - 400 / 1024],
  ["a limit of which Node itself needs a larger part", 16, 4, 2, 0.94 * 4 - 400 / 1024],
  ["many threads", 512, 8, 64, 0.94 * 8 - 896 / 1024],
  ["a small limit", 16, 1, 2, 0.6],
])("the default budget with %s", (_, machine, limit, threads, budget) => {
  const GB = 2 ** 30;
  expect(defaultBudget(machine * GB, limit && limit * GB, threads) / GB).toBeCloseTo(budget, 6);
});
