// 128 rows of activations by 128 of weights.
const TILE = 128u;
