// How many parts the positions of each token are cut into. Uses the kernel's params and `count`.
fn splits_each() -> u32 {
  return max(p.most / count.n, 1);
}
