// Products of few rows in the shape of half a panel, four rows of weights, by up to four rows of
// activations, by a team of TEAM invocations, which stride over the columns: for GPUs of few
// registers, on which larger shapes go to memory and back. Every weight is read and unpacked once
// for all of them; rows that the job lacks are not multiplied. Uses the kernel's x_row().
#import "lib/matrix/few.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/team/sums.wgsl"

const TILE_X = 4u;
const FEW_ROWS = 4u;

// Rows `row` .. `row + 3` of the job's expert, row a multiple of 4, times the job's rows of x: the
// team's sums (sum_of()). Contains barriers: call it in uniform control flow.
fn make_sums(job: Job, row: u32, lane: Lane) {
  let last = job.count - 1;
  let at = vec4u(x_row(job, 0), x_row(job, min(1, last)), x_row(job, min(2, last)), x_row(job, min(3, last)));
  var sums = mat4x4f(); // by each row of activations
  for (var first = lane.index % TEAM * EACH; first < part.groups * STEPS; first += TEAM * EACH) {
    for (var step = first; step < first + EACH; step++) {
      let w = weights_at(job.expert, row / 8, row / 4 % 2, step);
      sums[0] = plus_products(sums[0], w, columns_at(at.x, step));
      if (job.count > 1) {
        sums[1] = plus_products(sums[1], w, columns_at(at.y, step));
      }
      if (job.count > 2) {
        sums[2] = plus_products(sums[2], w, columns_at(at.z, step));
      }
      if (job.count > 3) {
        sums[3] = plus_products(sums[3], w, columns_at(at.w, step));
      }
    }
  }
  put_sum(0, sums[0], lane);
  if (job.count > 1) {
    put_sum(1, sums[1], lane);
  }
  if (job.count > 2) {
    put_sum(2, sums[2], lane);
  }
  if (job.count > 3) {
    put_sum(3, sums[3], lane);
  }
  workgroupBarrier();
}
