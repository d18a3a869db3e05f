//! Tutorial 1: a tensor, an operation, and a gradient.
//!
//! A straight line is fitted to noisy points by gradient descent: all that training a network needs, in thirty lines.
//!
//!     cargo run --release --example 01_tensor_and_gradient

use cellseg::core::{Result, Rng, Tape, Tensor};
use cellseg::kernels::{
    loss::mse,
    pointwise::{add, broadcast_to, mul},
};

fn main() -> Result<()> {
    // A tensor is an array of numbers on a device: immutable, cheap to clone. Its shape is known at run time.
    let mut rng = Rng::new(1);
    let x: Vec<f32> = (0..100).map(|_| rng.uniform() as f32).collect();
    let y: Vec<f32> = x.iter().map(|x| 3.0 * x - 1.0 + 0.01 * rng.normal() as f32).collect();
    let (x, y) = (Tensor::from_slice(&x, &[100])?, Tensor::from_slice(&y, &[100])?);

    // What is to be learnt is made trainable. Nothing else marks a parameter.
    let mut slope = Tensor::from_slice(&[0.0f32], &[1])?.trainable();
    let mut offset = Tensor::from_slice(&[0.0f32], &[1])?.trainable();

    for step in 0..200 {
        // Recording starts at the input: `x.on(&tape)` puts all that is computed from `x` on the tape. Without a tape
        // the same lines are inference and keep nothing.
        let tape = Tape::new();
        let line = mul(x.on(&tape), broadcast_to(&slope.on(&tape), &[100])?)?;
        let line = add(line, broadcast_to(&offset.on(&tape), &[100])?)?;
        let loss = mse(&line, &y)?;

        // The backward pass empties the tape and gives the gradient of every trainable tensor.
        let grads = tape.backward(&loss)?;
        for parameter in [&mut slope, &mut offset] {
            let Some(grad) = grads.get(parameter) else { continue };
            let grad = grad.to_vec::<f32>()?;
            for (p, g) in parameter.as_mut_slice::<f32>()?.iter_mut().zip(grad) {
                *p -= 0.5 * g;
            }
        }
        if step % 50 == 0 {
            println!("step {step:3}: loss {:.5}", loss.item()?);
        }
    }
    println!("y = {:.2} x + {:.2}, and the points were made with 3 x - 1", slope.item()?, offset.item()?);
    assert!((slope.item()? - 3.0).abs() < 0.05 && (offset.item()? + 1.0).abs() < 0.05);
    Ok(())
}
