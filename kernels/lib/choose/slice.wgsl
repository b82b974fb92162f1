// A row of logits is read in slices by many workgroups; this is what each leaves for the
// one that chooses.
struct Slice {
  best: vec2u, // rank
  mass: f32, // sum of exp((logit - best) / temperature)
}

const RANKED = 256u; // tokens that a draw ranks, and invocations of a workgroup
const SLICE = 2048u; // tokens of a slice
