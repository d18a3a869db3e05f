//! SoftNCuts at the size of CellSeg3D's patches, each form, forward alone and forward with the gradient.
//!
//! Milliseconds of processor time per call, `f32`, 64^3 voxels, two classes, radius 2, one thread, the least of eight
//! means, on a shared machine of two Zen 5 cores (AVX-512); PyTorch 2.15 with CellSeg3D's own `SoftNCutsLoss` in the same
//! minutes on the same machine, the least of six:
//!
//! | | forward | forward + backward |
//! |---|---|---|
//! | CellSeg3D in PyTorch | 23 | 318 to 367 |
//! | approximate | 0.64 | 1.4 to 1.5 |
//! | exact | 9.7 | 14.5 |
//!
//! With both forms an image from 0 to 100 takes as long as one from 0 to 1, but for a tenth with the approximate one.

use cellseg_core::{Result, Rng, Tape, Tensor};
use cellseg_kernels::soft_ncuts::{Form, cases::PATCH, soft_ncuts};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn inputs() -> Result<[Tensor; 2]> {
    let mut rng = Rng::new(1);
    let p = Tensor::build(&PATCH.probabilities(), |p: &mut [f32]| {
        for voxel in p.chunks_exact_mut(PATCH.classes) {
            voxel[0] = rng.uniform() as f32;
            voxel[1] = 1.0 - voxel[0];
        }
        Ok(())
    })?;
    let image = Tensor::build(&PATCH.image(), |image: &mut [f32]| {
        image.iter_mut().for_each(|x| *x = rng.uniform() as f32);
        Ok(())
    })?;
    Ok([p.trainable(), image])
}

fn forms(criterion: &mut Criterion) {
    let [p, image] = inputs().expect("a patch fits in memory");
    let mut group = criterion.benchmark_group("soft_ncuts/64^3,k=2,r=2");
    group.throughput(Throughput::Elements(PATCH.size.iter().product::<usize>() as u64));
    for form in [Form::Approximate, Form::Exact] {
        let settings = PATCH.with(form);
        group.bench_function(format!("{form:?}/forward"), |b| {
            b.iter(|| black_box(soft_ncuts(&p, &image, &settings).expect("the loss is computed")));
        });
        group.bench_function(format!("{form:?}/forward+backward"), |b| {
            b.iter(|| {
                let tape = Tape::new();
                let loss = soft_ncuts(&p.on(&tape), &image, &settings).expect("the loss is computed");
                black_box(tape.backward(&loss).expect("the gradient is computed"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forms);
criterion_main!(benches);
