//! The allocator's counters. One test in a process of its own, because the counters are the process's.

use cellseg_core::{Result, Tensor, memory};

#[test]
fn buffers_of_a_size_are_reused_and_the_cache_is_bounded() -> Result<()> {
    let before = memory::stats();
    let n = 1 << 16;
    let a = Tensor::full(1.0f32, &[n])?;
    let address = a.as_slice::<f32>()?.as_ptr();
    assert_eq!(memory::stats().live, before.live + 4 * n);
    drop(a);
    assert_eq!(memory::stats().live, before.live);
    let b = Tensor::full(2.0f32, &[n])?;
    assert_eq!(b.as_slice::<f32>()?.as_ptr(), address, "the same size gets the same memory back");

    memory::reset_peak();
    for i in 1..200 {
        drop(Tensor::full(0.0f32, &[i * 1000])?);
    }
    let s = memory::stats();
    assert!(s.cached <= 4 * n + 4 * 199_000, "{s:?}");
    assert_eq!(s.peak, s.live + 4 * 199_000);
    memory::trim();
    assert_eq!(memory::stats().cached, 0);
    assert_eq!(b.as_slice::<f32>()?[n - 1], 2.0);
    Ok(())
}
