// How many rows a verb works on.
struct Count {
  n: u32, // T tokens of the batch, or R output rows
}
