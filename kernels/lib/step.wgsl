// How many rows a verb works on.
struct Count {
  n: u32, // T tokens of the batch, or R output rows
  advance: u32, // of R only: 1 where every token is an output of its own sequence, so that the one chosen takes its place
}
