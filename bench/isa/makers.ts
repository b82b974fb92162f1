// Compilers for GPUs that are not there: Mesa's drivers for AMD and Intel, which generations they
// compile for, and how what they say is read.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { amdWorks } from "./amd.ts";
import { intelWorks } from "./intel.ts";
import type { Works } from "./work.ts";

/** What a driver says of a kernel, in the words of all drivers. */
export interface Figures {
  /** Registers: AMD's vector registers of a lane; Intel's of 32 bytes of a subgroup, of 128. */
  readonly registers: number;
  /** Registers that are kept in memory. */
  readonly spills: number;
  /** Bytes of memory a lane for them and for arrays. */
  readonly scratchBytes: number;
  /** Bytes of workgroup memory. */
  readonly ldsBytes: number;
  /** Subgroups that a SIMD unit holds at once; null where the driver does not say. */
  readonly waves: number | null;
  /** The compiler's estimate for a subgroup. */
  readonly cycles: number;
}

interface Maker {
  readonly name: string;
  /** The driver's manifest. */
  readonly manifest: RegExp;
  /** What a process has in its environment to compile for a family. */
  env(family: Family): Readonly<Record<string, string>>;
  /** A library that stands for the device, which is loaded before all others. */
  readonly device?: string;
  /** What the driver calls the machine code. */
  readonly assembly: string;
  figures(statistic: (name: string) => number): Figures;
  works(assembly: string, subgroup: number): Works;
}

const AMD: Maker = {
  name: "Mesa's RADV",
  manifest: /^radeon_icd.*\.json$/,
  env: (family) => ({ RADV_FORCE_FAMILY: family }),
  assembly: "Assembly",
  figures: (of) => ({
    registers: of("VGPRs"),
    spills: of("Spilled VGPRs") + of("Spilled SGPRs"),
    scratchBytes: of("Scratch size"),
    ldsBytes: of("LDS size"),
    waves: of("Subgroups per SIMD"),
    cycles: of("Latency"),
  }),
  works: amdWorks,
};

/** PCI ids of one GPU a generation. */
const INTEL_IDS = {
  tgl: "9a49", // Iris Xe
  dg2: "56a0", // Arc A770
  mtl: "7d55", // Arc Graphics of a Core Ultra
} as const;

const INTEL: Maker = {
  name: "Mesa's ANV",
  manifest: /^intel_icd.*\.json$/,
  env: (family) => ({ HOTSET_ISA_PCI: INTEL_IDS[family as keyof typeof INTEL_IDS] }),
  device: "intel_device.c",
  assembly: "GEN Assembly",
  figures: (of) => ({
    registers: of("Max live registers"),
    spills: of("Spill Count"),
    scratchBytes: of("Scratch Memory Size"),
    ldsBytes: of("Workgroup Memory Size"),
    waves: null,
    cycles: of("Cycle Count"),
  }),
  works: intelWorks,
};

/** AMD's generations that RADV compiles for without a device, from RDNA1 and late GCN on. */
const AMD_FAMILIES = [
  "vega10",
  "vega20",
  "raven",
  "renoir",
  "navi10",
  "navi14",
  "navi21",
  "vangogh",
  "navi31",
] as const;

/** A generation of GPUs. */
export type Family = (typeof AMD_FAMILIES)[number] | keyof typeof INTEL_IDS;

export const FAMILIES: readonly Family[] = [...AMD_FAMILIES, ...(Object.keys(INTEL_IDS) as (keyof typeof INTEL_IDS)[])];

export function makerOf(family: Family): Maker {
  return family in INTEL_IDS ? INTEL : AMD;
}

const FOLDERS = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/** A driver that is installed: its shared object, and the version of Vulkan that it has. */
export interface Driver {
  readonly object: string;
  readonly version: string;
}

/** What the manifest of a Vulkan driver says of it. */
interface Icd {
  readonly library_path: string;
  readonly api_version: string;
}

/** A maker's driver; null where it is not installed. */
export function driverOf(maker: Maker): Driver | null {
  for (const folder of FOLDERS.filter(existsSync)) {
    const file = readdirSync(folder).find((name) => maker.manifest.test(name));
    if (file === undefined) continue;
    const manifest = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const { library_path: path, api_version: version }: Icd = manifest.ICD;
    // A name alone is looked for where all libraries are; other paths start at the manifest.
    return { object: path.includes("/") && !isAbsolute(path) ? resolve(folder, path) : path, version };
  }
  return null;
}
