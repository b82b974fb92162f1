// Simulated machines for the schedulers: processors, links and disks from slow to fast, and their
// exact costs.

import type { Rates } from "../../src/experts/costs.ts";
import { type MachineRates, PIECES } from "./machine.ts";

const DEVICE = { device: { one: 0.2, each: 0.02 }, sync: 0.5, layer: 0.35 } as const;

/** Every processor with every link, all in RAM and with every disk. */
export function machines(disks: readonly number[] = [0]): [string, MachineRates][] {
  const hosts = { "fast host": 1, "middling host": 5, "slow host": 25 };
  const links = { "fast link": [1, 4], "link bound by the copy": [9, 3], "slow link": [2.5, 16] } as const;
  const result: [string, MachineRates][] = [];
  for (const [host, one] of Object.entries(hosts)) {
    for (const [name, [copy, link]] of Object.entries(links)) {
      for (const disk of disks) {
        const rates = { host: { one, each: one / 3 }, copy, link, disk, ...DEVICE };
        result.push([`${host}, ${name}, ${disk > 0 ? `disk ${disk} ms` : "all in RAM"}`, rates]);
      }
    }
  }
  return result;
}

/** The rates that calibration has to find. */
export function truth({ host, copy, link, device, sync, disk }: MachineRates): Rates {
  const tail = link > copy ? link - copy + copy / PIECES : link / PIECES;
  return { host, copy, link, tail, device, sync, disk };
}
