// Where expert_up_few's outputs go: rounded to int8, in groups of 32, of which a workgroup makes
// whole ones. A row is its quants, then a scale a group. Uses the kernel's params and overrides.
#import "lib/matrix/quants.wgsl"
@group(0) @binding(6) var<storage, read_write> y: array<u32>;

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override OUTPUTS: u32 = THREADS / TEAM * FEW_ROWS * TURNS / 2;
override MADE: u32 = OUTPUTS * TILE_X;
var<workgroup> made: array<f32, MADE>; // [assignment of the job, output]; 0 past the part's end

// The output of two rows from `row` of the part, for the job's m-th assignment.
fn put_output(job: Job, m: u32, row: u32, output: f32) {
  made[m * OUTPUTS + (row - job.row) / 2] = select(0, output, row < part.rows);
}

// Before the next sums take the place of those that others still read.
fn end_turn() {
  workgroupBarrier();
}

// After end_turn(): an invocation rounds four outputs of a group.
fn store_outputs(job: Job, lane: u32) {
  for (var i = lane; i < job.count * OUTPUTS / 4; i += THREADS) {
    let m = i / (OUTPUTS / 4);
    let word = i % (OUTPUTS / 4);
    if (job.row + word / 8 * 64 >= part.rows) {
      continue;
    }
    let group = m * OUTPUTS + word / 8 * 32;
    var top = 0.0;
    for (var j = 0u; j < 32; j++) {
      top = max(top, abs(made[group + j]));
    }
    let own = m * OUTPUTS + word * 4;
    let row = sorted[job.first + m] * p.y_stride;
    let to = (part.first_row + job.row) / 8 + word;
    y[row + to] = quants4(vec4f(made[own], made[own + 1], made[own + 2], made[own + 3]), top);
    if (word % 8 == 0) {
      y[row + p.y_stride / 9 * 8 + to / 8] = bitcast<u32>(top / 127);
    }
  }
}
