// The piece of a weight matrix, or of a layer's experts, that one binding holds; matrices larger
// than a binding have several. Rows lie in panels of eight, element j of eight rows side by side
// (src/tensor/panels.ts): an invocation that takes a word of each has 32 bytes of one address, and
// what it knows of those columns serves eight rows.
#import "lib/matrix/rows8.wgsl"

struct Part {
  first_expert: u32,
  experts: u32, // a plain matrix is one expert, 0
  first_row: u32,
  rows: u32, // of each expert
  planes: vec4u, // where each plane starts in an expert's packed matrix, in units of 16 bytes
  stride: u32, // from one expert's packed matrix to the next, in units of 16 bytes
  groups: u32, // groups of 32 columns a row
  biases: u32, // where the rows' biases start, in units of 16 bytes (bias.wgsl)
}

@group(0) @binding(1) var<uniform> part: Part;

// Columns 4 quad .. 4 quad + 3, a column each, of rows row .. row + 3; row a multiple of 4.
fn weights4x4(expert: u32, row: u32, quad: u32) -> mat4x4f {
  return half4x4(expert, row / 8, row / 4 % 2, quad / 2, quad % 2);
}
