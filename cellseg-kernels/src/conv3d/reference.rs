//! The convolution and its gradients by their definition, in double precision.

use super::Conv3d;

/// Calls `visit` with the places in input, kernel and output of every product that the convolution sums, for shapes
/// `[n, d, h, w, in]`, `[kd, kh, kw, in, out]` and `[n, d, h, w, out]`.
pub(crate) fn each_product(
    x: [usize; 5],
    w: [usize; 5],
    y: [usize; 5],
    settings: &Conv3d,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let place = |at: [usize; 5], shape: [usize; 5]| at.iter().zip(shape).fold(0, |i, (a, n)| i * n + a);
    let indices = |shape: [usize; 3]| {
        let [d, h, w] = shape;
        (0..d).flat_map(move |z| (0..h).flat_map(move |y| (0..w).map(move |x| [z, y, x])))
    };
    for n in 0..x[0] {
        for o in indices([y[1], y[2], y[3]]) {
            for k in indices([w[0], w[1], w[2]]) {
                let i: [usize; 3] = std::array::from_fn(|a| {
                    (o[a] * settings.stride[a] + k[a]).wrapping_sub(settings.padding[a])
                });
                if (0..3).any(|a| i[a] >= x[a + 1]) {
                    continue;
                }
                for a in 0..x[4] {
                    for b in 0..y[4] {
                        visit(
                            place([n, i[0], i[1], i[2], a], x),
                            place([k[0], k[1], k[2], a, b], w),
                            place([n, o[0], o[1], o[2], b], y),
                        );
                    }
                }
            }
        }
    }
}
