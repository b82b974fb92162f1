// Products of few rows in the shape of a panel, eight rows of weights, by up to four rows of
// activations, by a team of TEAM invocations, which stride over the columns. Every weight is read
// and unpacked once for all of them; rows that the job lacks are not multiplied. Uses the kernel's
// x_row().
#import "lib/matrix/few.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/team/sums.wgsl"

const TILE_X = 4u;
const FEW_ROWS = 8u;

// Rows `row` .. `row + 7` of the job's expert, row a multiple of 8, times the job's rows of x: the
// team's sums (sum_of()). Contains barriers: call it in uniform control flow.
fn make_sums(job: Job, row: u32, lane: Lane) {
  let last = job.count - 1;
  let at = vec4u(x_row(job, 0), x_row(job, min(1, last)), x_row(job, min(2, last)), x_row(job, min(3, last)));
  var near = mat4x4f(); // rows 0 .. 3, by each row of activations
  var far = mat4x4f(); // rows 4 .. 7
  for (var first = lane.index % TEAM * EACH; first < part.groups * STEPS; first += TEAM * EACH) {
    for (var step = first; step < first + EACH; step++) {
      let v = weights_at(job.expert, row / 8, 0, step);
      let w = weights_at(job.expert, row / 8, 1, step);
      let a = columns_at(at.x, step);
      near[0] = plus_products(near[0], v, a);
      far[0] = plus_products(far[0], w, a);
      if (job.count > 1) {
        let b = columns_at(at.y, step);
        near[1] = plus_products(near[1], v, b);
        far[1] = plus_products(far[1], w, b);
      }
      if (job.count > 2) {
        let c = columns_at(at.z, step);
        near[2] = plus_products(near[2], v, c);
        far[2] = plus_products(far[2], w, c);
      }
      if (job.count > 3) {
        let d = columns_at(at.w, step);
        near[3] = plus_products(near[3], v, d);
        far[3] = plus_products(far[3], w, d);
      }
    }
  }
  put_sum(0, near[0], lane);
  put_sum(1, far[0], lane);
  if (job.count > 1) {
    put_sum(2, near[1], lane);
    put_sum(3, far[1], lane);
  }
  if (job.count > 2) {
    put_sum(4, near[2], lane);
    put_sum(5, far[2], lane);
  }
  if (job.count > 3) {
    put_sum(6, near[3], lane);
    put_sum(7, far[3], lane);
  }
  workgroupBarrier();
}
