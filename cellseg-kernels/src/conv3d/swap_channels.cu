// The weights of each tap with input and output channels exchanged: [taps, rows, columns] -> [taps, columns, rows]. Data
// gradients sum over output channels, so their kernels want the inputs of an output together; wgmma wants it the other way
// round. Tiles of 32x32 through shared memory, padded by one column so that neither side meets a bank twice; 256 threads,
// each four numbers. Moves each number once in and once out.
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: swap_channels registers=40 shared=4224

constexpr i32 TILE = 32;

KERNEL BOUNDS(256, 4) swap_channels(REAL* __restrict__ y, const REAL* __restrict__ x, i32 rows, i32 columns) {
    __shared__ REAL tile[TILE][TILE + 1];
    const i32 lane = threadIdx.x % TILE, first = threadIdx.x / TILE;
    const i32 tiles = (columns + TILE - 1) / TILE;  // of a tap, along a row
    const i32 row = blockIdx.y * TILE, column = blockIdx.x % tiles * TILE;
    const i64 tap = (i64)(blockIdx.x / tiles) * rows * columns;
    for (i32 i = first; i < TILE; i += 8)
        if (row + i < rows && column + lane < columns) tile[i][lane] = x[tap + (i64)(row + i) * columns + column + lane];
    __syncthreads();
    for (i32 i = first; i < TILE; i += 8)
        if (column + i < columns && row + lane < rows) y[tap + (i64)(column + i) * rows + row + lane] = tile[lane][i];
}
