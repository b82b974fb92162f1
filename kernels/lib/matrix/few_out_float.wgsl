// Where expert_up_few's outputs go: f32. Uses the kernel's params.
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// The output of two rows from `row` of the part, for the job's m-th assignment.
fn put_output(job: Job, m: u32, row: u32, output: f32) {
  if (row < part.rows) {
    y[sorted[job.first + m] * p.y_stride + (part.first_row + row) / 2] = output;
  }
}

fn end_turn() {}

fn store_outputs(job: Job, lane: u32) {}
