// A grid of more than 65535 workgroups is folded by the host into x and y; this is its
// linear index again.
fn group_index(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}
