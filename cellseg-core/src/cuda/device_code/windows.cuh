// Window attention: what the score of two tokens depends on beside their products. A window is `tokens` voxels in the order
// (z, y, x); windows are counted through all volumes of a batch.

struct WindowAttention {
    i32 windows, tokens, heads, dim;
    f32 scale;                  // of products, times log2(e)
    f32 gradient_scale;         // of products
    i32 differences;            // rows of the bias table; 0 without one
    i32 table_h, table_w;       // of the window that the table is made for
    i32 centre;                 // the row of the difference zero
    i32 masked;                 // whether regions keep tokens apart
    i32 grid_z, grid_y, grid_x; // windows of a volume
    i32 d, h, w;                // of a window
    i32 shift_z, shift_y, shift_x;
    i32 shares;                 // of the windows, for the gradient of the table
};

/// Exponents count in powers of two.
constexpr f32 LOG2_E = 1.4426950408889634f;

/// What the score of two tokens from different regions loses, times log2(e), as in the original of Swin.
constexpr f32 REGION_PENALTY = 144.26950408889634f;

struct Token {
    i32 place;   // its part of a row of the bias table: that of a query and that of a key add up
    i32 region;
};

/// A query's part of a row of the bias table includes the centre; a key's is taken away.
DEVICE inline i32 find_place(i32 token, bool is_query, const WindowAttention& g) {
    if (g.differences == 0) return 0;
    i32 line = token / g.table_w;
    i32 place = (line / g.table_h * (2 * g.table_h - 1) + line % g.table_h) * (2 * g.table_w - 1) + token % g.table_w;
    return is_query ? place + g.centre : -place;
}

/// Which region of the volume a voxel is from along an axis: before the last window, of the last one before the shift, or
/// brought there from the start.
DEVICE inline i32 region_along(i32 window, i32 voxel, i32 extent, i32 windows, i32 shift) {
    i32 place = window * extent + voxel, padded = windows * extent;
    return place + shift >= padded ? 2 : place + extent >= padded ? 1 : 0;
}

/// The region of a token of a window.
DEVICE inline i32 find_region(i32 token, i32 window, const WindowAttention& g) {
    if (!g.masked) return 0;
    i32 z = token / (g.h * g.w), y = token / g.w % g.h, x = token % g.w;
    i32 window_x = window % g.grid_x, window_y = window / g.grid_x % g.grid_y;
    i32 window_z = window / (g.grid_x * g.grid_y) % g.grid_z;
    return region_along(window_z, z, g.d, g.grid_z, g.shift_z) * 9 +
           region_along(window_y, y, g.h, g.grid_y, g.shift_y) * 3 +
           region_along(window_x, x, g.w, g.grid_x, g.shift_x);
}

/// A token of a window; the last one where it does not exist.
DEVICE inline Token find_token(i32 token, i32 window, bool is_query, const WindowAttention& g) {
    token = min(token, g.tokens - 1);
    return {find_place(token, is_query, g), find_region(token, window, g)};
}
