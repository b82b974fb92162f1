// What a step is made of: how many rows a verb works on, and what each token of the batch is.

// n: T tokens of the batch, or R output rows.
struct Count {
  n: u32,
}

struct Token {
  id: u32,
  position: u32,
  table: u32, // where its sequence's block ids start in the array of blocks
  unused: u32,
}
