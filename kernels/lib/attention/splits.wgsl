// How many parts the positions of each token are cut into: `most`, which more than `unshared`
// tokens share. Uses the kernel's params and `count`.
fn splits_each() -> u32 {
  return select(max(p.most / count.n, 1), p.most, count.n <= p.unshared);
}
