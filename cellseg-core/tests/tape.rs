//! The tape, checked with two small operations of its own.

use cellseg_core::{
    DType, Error, Kernel, Op, Real, Result, Shape, Tape, Tensor, apply, checkpoint, run,
    testing::{check_gradients, noise},
};
use std::borrow::Cow;

#[derive(Clone)]
struct Mul;

impl Kernel<2> for Mul {
    const NAME: &'static str = "mul";
    type Aux = ();

    fn shape(&self, [a, b]: [Shape; 2]) -> Result<Shape> {
        if a == b { Ok(a) } else { Err(Error::argument(Self::NAME, format!("{a:?} and {b:?} differ"))) }
    }

    fn cpu<T: Real>(&self, _: [Shape; 2], [a, b]: [&[T]; 2], out: &mut [T], _: bool) -> Result<()> {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = *a * *b;
        }
        Ok(())
    }
}

impl Op<2> for Mul {
    type Saved = [Tensor; 2];

    fn save(&self, (): (), [a, b]: [&Tensor; 2], _: &Tensor) -> [Tensor; 2] {
        [a.detached(), b.detached()]
    }

    fn backward(&self, [a, b]: [Tensor; 2], grad: Tensor, wanted: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        let of = |x: Tensor, wanted: bool| -> Result<Option<Tensor>> {
            if wanted { Ok(Some(run(&Mul, [Cow::Borrowed(&grad), Cow::Owned(x)])?.0)) } else { Ok(None) }
        };
        Ok([of(b, wanted[0])?, of(a, wanted[1])?])
    }
}

fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply(Mul, [a.into(), b.into()])
}

/// `exp(x)`: saves its output, so it may overwrite its input.
#[derive(Clone)]
struct Exp;

impl Kernel<1> for Exp {
    const NAME: &'static str = "exp";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        Ok(x)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        out.iter_mut().zip(x).for_each(|(o, x)| *o = x.exp());
        Ok(())
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        data.iter_mut().for_each(|x| *x = x.exp());
        Ok(())
    }
}

impl Op<1> for Exp {
    type Saved = Tensor;

    fn save(&self, (): (), _: [&Tensor; 1], out: &Tensor) -> Tensor {
        out.detached()
    }

    fn backward(&self, y: Tensor, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(&Mul, [grad.into(), y.into()])?.0)])
    }
}

fn exp<'a>(x: impl Into<Cow<'a, Tensor>>) -> Result<Tensor> {
    apply(Exp, [x.into()])
}

#[test]
fn gradients_agree_with_differences_through_shared_inputs_and_reshapes() {
    let (a, b) = (noise(&[3, 4], 1), noise(&[3, 4], 2));
    check_gradients(&[a, b], 1e-7, |v| {
        let y = exp(mul(&v[0], &v[1])?.reshape(&[12])?)?.reshape(&[3, 4])?;
        mul(&mul(&y, &v[0])?, &y)
    });
}

#[test]
fn nothing_is_recorded_without_a_tape_or_without_a_trainable_input() -> Result<()> {
    let (x, w) = (noise(&[5], 1), noise(&[5], 2));
    let tape = Tape::new();
    mul(&x.on(&tape), &w)?;
    assert!(tape.is_empty());
    mul(&x, &w.clone().trainable())?;
    assert!(tape.is_empty());
    mul(&x.on(&tape), &w.trainable())?;
    assert_eq!(tape.len(), 1);
    Ok(())
}

#[test]
fn only_wanted_gradients_are_computed() -> Result<()> {
    let tape = Tape::new();
    let (x, w) = (noise(&[5], 1).on(&tape), noise(&[5], 2).trainable());
    let y = mul(&x, &w)?;
    let grads = tape.backward_from(&y, Tensor::full(1.0f64, &[5])?)?;
    assert!(grads.get(&x).is_none());
    assert_eq!(grads.get(&w).map(|g| g.to_vec::<f64>()).transpose()?, Some(x.to_vec()?));
    Ok(())
}

#[test]
fn a_checkpoint_gives_the_same_bits_from_a_shorter_tape() -> Result<()> {
    let (x, w) = (noise(&[7], 1), noise(&[7], 2).trainable());
    let block = {
        let w = w.clone();
        move |x: &Tensor| mul(&exp(mul(x, &w)?)?, x)
    };
    let gradients = |kept: bool| -> Result<(usize, Vec<f64>)> {
        let tape = Tape::new();
        let x = x.on(&tape);
        let x = exp(mul(&x, &w)?)?;
        let y = if kept { checkpoint(&x, block.clone())? } else { block(&x)? };
        let n = tape.len();
        let grads = tape.backward_from(&y, Tensor::full(1.0f64, &[7])?)?;
        Ok((n, grads.get(&w).expect("w is trainable").to_vec()?))
    };
    let ((long, plain), (short, kept)) = (gradients(false)?, gradients(true)?);
    assert_eq!((long, short), (5, 3));
    assert_eq!(plain, kept);
    Ok(())
}

#[test]
fn an_input_that_is_given_away_lends_its_buffer_and_a_shared_one_does_not() -> Result<()> {
    let x = noise(&[9], 1);
    let before = x.to_vec::<f64>()?;
    let address = |t: &Tensor| t.as_slice::<f64>().map(|s| s.as_ptr());
    let y = exp(&x)?;
    assert_eq!(x.to_vec::<f64>()?, before);
    let at = address(&y)?;
    let z = exp(y)?;
    assert_eq!(address(&z)?, at);
    let kept = z.clone();
    assert_ne!(address(&exp(z)?)?, address(&kept)?);
    assert_eq!(kept.to_vec::<f64>()?, before.iter().map(|x| x.exp().exp()).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn half_precision_is_computed_in_single_and_rounded_once() -> Result<()> {
    let x = noise(&[64], 1).cast(DType::F32)?;
    let half = x.cast(DType::BF16)?;
    let y = exp(&half)?;
    assert_eq!(y.dtype(), DType::BF16);
    let expected = exp(half.cast(DType::F32)?)?.cast(DType::BF16)?;
    assert_eq!(y.to_vec::<half::bf16>()?, expected.to_vec::<half::bf16>()?);
    Ok(())
}

#[test]
fn a_cast_is_recorded_and_its_gradient_is_rounded_to_the_types_on_the_way() -> Result<()> {
    let w = noise(&[64], 1).cast(DType::F32)?.trainable();
    let tape = Tape::new();
    let half = w.on(&tape).cast(DType::F16)?;
    let square = mul(&half, &half)?;
    let grads = tape.backward_from(&square.cast(DType::F32)?, Tensor::full(1.0f32 / 3.0, &[64])?)?;
    // Of w, the type of w; computed from the rounded w and the rounded third, and rounded twice more: each product, the sum.
    let third = half::f16::from_f32(1.0 / 3.0).to_f32();
    let expected = w.to_vec::<f32>()?.into_iter().map(|w| {
        let product = half::f16::from_f32(half::f16::from_f32(w).to_f32() * third);
        (product + product).to_f32()
    });
    let found = grads.get(&w).expect("w is trainable").to_vec::<f32>()?;
    assert_eq!(found, expected.collect::<Vec<_>>());
    Ok(())
}

#[test]
fn a_cast_within_a_checkpoint_gives_the_same_gradient_to_a_tensor_from_outside() -> Result<()> {
    let (x, w) = (noise(&[7], 1).cast(DType::BF16)?, noise(&[7], 2).cast(DType::F32)?.trainable());
    let block = {
        let w = w.clone();
        move |x: &Tensor| {
            let w = x.tape().map_or(w.clone(), |tape| w.on(tape));
            exp(mul(x, &w.cast(x.dtype())?)?)
        }
    };
    let gradient = |kept: bool| -> Result<Vec<f32>> {
        let tape = Tape::new();
        let x = x.on(&tape);
        let y = if kept { checkpoint(&x, block.clone())? } else { block(&x)? };
        let grads = tape.backward_from(&y, Tensor::full(half::bf16::ONE, &[7])?)?;
        grads.get(&w).expect("w is trainable").to_vec()
    };
    assert_eq!(gradient(true)?, gradient(false)?);
    Ok(())
}

#[test]
fn integers_want_no_gradient() -> Result<()> {
    let tape = Tape::new();
    let w = noise(&[4], 1).trainable().on(&tape);
    assert!(w.cast(DType::F16)?.wants_gradient() && !w.cast(DType::I32)?.wants_gradient());
    assert_eq!(tape.len(), 1);
    Ok(())
}

#[test]
fn mistakes_are_errors_that_say_what_to_do() -> Result<()> {
    let (x, w) = (noise(&[4], 1), noise(&[5], 2).trainable());
    let told = |r: Result<Tensor>| r.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(told(mul(&x, &w)).contains("[4] and [5] differ"));
    assert!(told(mul(&x, &noise(&[4], 1).cast(DType::F32)?)).contains("F32"));
    assert!(told(exp(x.cast(DType::U8)?)).contains("floating point"));
    let (a, b) = (Tape::new(), Tape::new());
    assert!(told(mul(&w.on(&a), &w.on(&b))).contains("different tapes"));
    assert!(a.backward(&exp(w.on(&a))?).is_err_and(|e| e.to_string().contains("backward_from")));
    assert!(a.backward(&Tensor::scalar(1.0f32)?).is_err_and(|e| e.to_string().contains("not recorded")));
    assert!(Tensor::from_slice(&[1.0f32], &[2]).is_err_and(|e| e.to_string().contains("1 numbers")));
    assert!(x.as_slice::<f32>().is_err());
    Ok(())
}

#[test]
fn writing_to_a_shared_tensor_copies_it_and_renames_the_value() -> Result<()> {
    let mut x = noise(&[4], 1);
    let (kept, id) = (x.clone(), x.id());
    x.as_mut_slice::<f64>()?[0] = 42.0;
    assert_ne!(x.id(), id);
    assert_ne!(kept.to_vec::<f64>()?[0], 42.0);
    assert_eq!(x.to_vec::<f64>()?[0], 42.0);
    Ok(())
}

#[test]
fn arrays_of_any_memory_order_cross_the_edge_both_ways() -> Result<()> {
    let a = ndarray::Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32);
    let t = a.view().reversed_axes();
    assert_eq!(Tensor::from_ndarray(t)?.to_ndarray::<f32>()?, t.into_dyn());
    Ok(())
}
