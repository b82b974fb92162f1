// What each token of the batch is. Uses the kernel's `step`: four words a token, then of each
// sequence what its positions lack to be rows of angles, and its block table.
struct Token {
  id: u32,
  position: u32,
  table: u32, // where its sequence's block ids start in `step`
  chooser: u32, // which chooser takes the token that follows it
}

fn token_at(t: u32) -> Token {
  return Token(step[t * 4], step[t * 4 + 1], step[t * 4 + 2], step[t * 4 + 3]);
}

// The row of RoPE's angles by which the token turns.
fn angle_row(token: Token) -> u32 {
  return token.position + step[token.table - 1];
}
