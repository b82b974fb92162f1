// Four numbers rounded to int8, the largest of their group by magnitude being 127: x ~ top /
// 127 * q.
fn quants4(x: vec4f, top: f32) -> u32 {
  if (top == 0) {
    return 0;
  }
  let q = vec4u(vec4i(round(x * (127 / top)))) & vec4u(255);
  return q.x | (q.y << 8) | (q.z << 16) | (q.w << 24);
}
