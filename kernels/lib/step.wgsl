// How many rows a verb works on.
struct Count {
  n: u32, // T tokens of the batch, or R output rows
  // Of R only: 1 where every token is an output of its own sequence, so that the one chosen takes
  // its place; 2 where rows are a chain, each chosen as long as those before chose the next token
  advance: u32,
}
