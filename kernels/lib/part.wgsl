// The piece of a weight matrix, or of a layer's experts, that one binding holds; matrices larger than a binding have several.
struct Part {
  first_expert: u32,
  experts: u32, // a plain matrix is one expert, 0
  first_row: u32,
  rows: u32, // of each expert
  stride: u32, // u32 words from one expert's block to the next
  scales: u32, // u32 words from a block's start to its plane of scales
  groups: u32, // groups of 32 columns a row
}

@group(0) @binding(1) var<uniform> part: Part;

// Eight consecutive weights of a row: columns 8u .. 8u + 7.
struct Eight {
  lo: vec4f,
  hi: vec4f,
}
