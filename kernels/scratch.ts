// Scratch memory of the plain kernels: named arrays that grow to the largest requested size
// and are reused.

/** One thread's scratch memory. Contents are undefined between kernels. */
export class Scratch {
  readonly #floats = new Map<string, Float32Array>();
  readonly #doubles = new Map<string, Float64Array>();

  /** At least `size` floats, the same array for the same name until it has to grow. */
  floats(name: string, size: number): Float32Array {
    const found = this.#floats.get(name);
    if (found !== undefined && found.length >= size) return found;
    const made = new Float32Array(size);
    this.#floats.set(name, made);
    return made;
  }

  /** The same in f64: V8 converts an f32 at every read, so repeated reads are converted once. */
  doubles(name: string, size: number): Float64Array {
    const found = this.#doubles.get(name);
    if (found !== undefined && found.length >= size) return found;
    const made = new Float64Array(size);
    this.#doubles.set(name, made);
    return made;
  }

  get bytes(): number {
    let sum = 0;
    for (const array of this.#floats.values()) sum += array.byteLength;
    for (const array of this.#doubles.values()) sum += array.byteLength;
    return sum;
  }
}
