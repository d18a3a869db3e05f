// Random words that are the same on every device: `cellseg_core::philox`.

struct Words {
    u32 w[4];
};

/// Ten rounds of Philox 4x32 (Salmon, Moraes, Dror and Shaw, SC 2011) of the counter `{low, high, 0, 0}`.
DEVICE inline Words philox(u64 key, u64 counter) {
    u32 k0 = u32(key), k1 = u32(key >> 32);
    u32 c0 = u32(counter), c1 = u32(counter >> 32), c2 = 0, c3 = 0;
#pragma unroll
    for (i32 round = 0; round < 10; round++) {
        u64 a = u64(c0) * 0xD2511F53u, b = u64(c2) * 0xCD9E8D57u;
        c0 = u32(b >> 32) ^ c1 ^ k0;
        c1 = u32(b);
        c2 = u32(a >> 32) ^ c3 ^ k1;
        c3 = u32(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}
