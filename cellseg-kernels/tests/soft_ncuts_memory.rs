//! What SoftNCuts takes of memory beside the gradient. The counters are those of the whole process, hence one test.

use cellseg_core::{Result, Tape, Tensor, memory};
use cellseg_kernels::soft_ncuts::{Form, SoftNCuts, soft_ncuts};

#[test]
fn no_volume_is_taken_but_the_gradient_and_the_degrees_of_the_exact_form() -> Result<()> {
    let [d, h, w, k] = [48, 24, 24, 2];
    let volume = d * h * w * size_of::<f32>();
    let p = Tensor::full(0.5f32, &[1, d, h, w, k])?.trainable();
    let image = Tensor::full(1.0f32, &[1, d, h, w, 1])?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be had");
    // The planes that one thread works on, as the modules state them for a radius of two, and a few for rows. Short rows
    // of the exact form double with what is added to them.
    let approximate = (Form::Approximate, k, 6 * k + 1);
    let exact = (Form::Exact, k + 1, 3 * (2 * k + 2) * 2 + 4);
    for (form, volumes, planes) in [approximate, exact] {
        let settings = SoftNCuts { form, ..SoftNCuts::default() };
        let before = memory::stats().live;
        memory::reset_peak();
        pool.install(|| -> Result<()> {
            let tape = Tape::new();
            tape.backward(&soft_ncuts(&p.on(&tape), &image, &settings)?)?;
            Ok(())
        })?;
        let taken = memory::stats().peak - before;
        let most = volumes * volume + planes * volume / d;
        assert!(taken <= most, "{form:?}: {taken} bytes where {most} are stated");
        assert!(taken >= volumes * volume, "{form:?}: the counters see the gradient");
        let forward = {
            memory::reset_peak();
            pool.install(|| soft_ncuts(&p, &image, &settings))?;
            memory::stats().peak - before
        };
        assert!(forward <= planes * volume / d, "{form:?}: {forward} bytes without a gradient");
    }
    Ok(())
}
