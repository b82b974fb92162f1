// The end of choosing: what was chosen goes to the host, to the chooser's memory and to the place
// of the next token. Uses the kernel's `choosers`, `tables`, `step`, `outputs`, `ids`, `count`, and
// its params. Called by one invocation of a row.

const UNDECIDED = 0xffffffffu;

// `random`: the state of the chooser's generator from now on.
fn chosen(row: u32, t: u32, id: u32, random: vec4u) {
  ids[row] = id;
  let entry = step[t * 4 + 3];
  if (id == UNDECIDED) {
    choosers[entry].undecided = 1;
  } else {
    choosers[entry].random = random;
    let table = choosers[entry].table;
    if (table != NO_TABLE) {
      tables[table + p.V + id] = (tables[table + p.V + id] | 1) + 2;
    }
  }
  if (count.advance == 2 && row + 1 < count.n && id != step[outputs[row + 1] * 4]) {
    choosers[entry].undecided = 1; // the rows that follow are of another text
  }
  if (count.advance == 1) {
    step[t * 4] = select(id, 0, id == UNDECIDED); // a valid token, though what follows is not used
    step[t * 4 + 1] += 1;
  }
}
