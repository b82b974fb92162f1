// 64 rows of activations by 64 of weights.
const TILE = 64u;
