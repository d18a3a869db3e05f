// Copies columns of one matrix to columns of another: what joins tensors along the channels, and takes them apart.
//
// A thread takes a pack of 16 bytes, or one number where packs fill neither matrix; a grid strides over what is copied.
// No shared memory, no arithmetic: one read and one write, the minimum.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: columns registers=40 shared=0

struct Columns {
    // Rows of both, and numbers copied of each row.
    i64 rows;
    i64 count;
    // Numbers of a row, and the first one that is copied, in the matrix read and in the one written.
    i64 from_row, from_first, to_row, to_first;
    i32 width;
};

template <int N> DEVICE inline void copy(REAL* to, const REAL* from, const Columns& c) {
    i64 packs = c.count / N;
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < c.rows * packs; i += (i64)gridDim.x * 256) {
        i64 row = quotient(i, packs), column = (i - row * packs) * N;
        store<N>(to + row * c.to_row + c.to_first + column, load<N>(from + row * c.from_row + c.from_first + column));
    }
}

KERNEL BOUNDS(256, 4) columns(REAL* to, const REAL* from, Columns c) {
    if (c.width == 1) copy<1>(to, from, c);
    else copy<PACK<REAL>>(to, from, c);
}
