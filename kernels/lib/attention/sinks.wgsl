// Attention sinks: a logit a head that joins the softmax and has no value; SINKS is 0 where there
// are none. Uses the kernel's params and its binding `sinks` [H].
override SINKS: u32;

fn sink_of(head: u32) -> f32 {
  return sinks[min(head, p.heads - 1)];
}
