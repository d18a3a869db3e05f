//! Window attention as an operation.

use super::{
    WindowAttention,
    backward::{self, Backward},
    bias::Table,
    cuda::Plan,
    forward::{self, Forward, Head},
    layout::{Layout, Packing},
    windows::Regions,
};
use crate::simd::Isa;
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use rayon::prelude::*;
use std::sync::Arc;

const NAME: &str = "window_attention";

/// The attention of one input, `qkv`, or two, with a bias table.
#[derive(Debug, Clone)]
pub(super) struct Attention(pub(super) WindowAttention);

/// What both passes need, packed for this machine.
struct Packed<'a, T> {
    layout: Layout,
    packing: Packing,
    isa: Isa,
    scale: T,
    bias: Vec<T>,
    qkv: &'a [T],
}

impl WindowAttention {
    fn layout(&self, qkv: Shape) -> Result<Layout> {
        let heads = self.heads;
        match *qkv.dims() {
            [windows, tokens, numbers]
                if tokens > 0 && heads > 0 && numbers > 0 && numbers % (3 * heads) == 0 =>
            {
                Ok(Layout { windows, tokens, heads, dim: numbers / (3 * heads) })
            }
            _ => Err(Error::argument(
                NAME,
                format!("{qkv:?}: [windows, tokens, 3 * heads * dim] is expected, with {heads} heads"),
            )),
        }
    }

    fn check(&self, shapes: &[Shape]) -> Result<Layout> {
        let layout = self.layout(shapes[0])?;
        let differences =
            self.window.iter().try_fold(1usize, |n, &w| n.checked_mul(w.checked_mul(2)?.checked_sub(1)?));
        if differences.is_none_or(|n| n > isize::MAX as usize / size_of::<f64>()) {
            let why = format!(
                "a window {:?} (d, h, w): its extents start at 1, and its table must fit memory",
                self.window
            );
            return Err(Error::argument(NAME, why));
        }
        let table = Table::new(self.window);
        if let Some(shape) = shapes.get(1) {
            if shape.dims() != [table.len(), self.heads] {
                return Err(Error::argument(
                    NAME,
                    format!(
                        "a bias table {shape:?}: [{}, {}] is expected, a row for each difference in a window {:?} and a \
                         column for each head",
                        table.len(),
                        self.heads,
                        self.window
                    ),
                ));
            }
            if layout.tokens > self.window.iter().product() {
                return Err(Error::argument(
                    NAME,
                    format!("{} tokens where a window {:?} holds fewer", layout.tokens, self.window),
                ));
            }
        }
        if let Some(regions) = &self.regions
            && (regions.tokens() != layout.tokens || layout.windows % regions.windows() != 0)
        {
            return Err(Error::argument(
                NAME,
                format!(
                    "regions of {} windows of {} tokens do not fit {} windows of {} tokens",
                    regions.windows(),
                    regions.tokens(),
                    layout.windows,
                    layout.tokens
                ),
            ));
        }
        if !self.scale.is_none_or(f64::is_finite) {
            return Err(Error::argument(NAME, format!("the scale is {:?}; it must be finite", self.scale)));
        }
        Ok(layout)
    }

    fn packed<'a, T: Real>(&self, layout: Layout, qkv: &'a [T], table: Option<&[T]>) -> Packed<'a, T> {
        let isa = Isa::best();
        let packing = Packing::new::<T>(&layout, isa);
        let bias = Table::new(self.window).packed(table, &layout, &packing);
        let scale = T::of(self.scale.unwrap_or(1.0 / (layout.dim as f64).sqrt()));
        Packed { layout, packing, isa, scale, bias, qkv }
    }

    /// The regions of a window's tokens, if it has several, padded to whole tiles.
    fn regions<T: Real>(&self, window: usize, packing: &Packing) -> Option<Vec<T>> {
        let regions = self.regions.as_deref().map(|r: &Regions| r.of_window(window))?;
        if regions.iter().all(|r| *r == regions[0]) {
            return None;
        }
        let mut padded: Vec<T> = regions.iter().map(|r| T::of(f64::from(*r))).collect();
        padded.resize(packing.padded_columns, T::zero());
        Some(padded)
    }
}

impl<T: Real> Packed<'_, T> {
    /// A head of a window.
    fn head<'a>(&'a self, head: usize, window: usize, regions: Option<&'a [T]>) -> Head<'a, T> {
        let (numbers, scores) = (3 * self.layout.window(), self.packing.all_scores());
        Head {
            layout: &self.layout,
            packing: &self.packing,
            head,
            scale: self.scale,
            qkv: &self.qkv[window * numbers..][..numbers],
            bias: &self.bias[head * scores..][..scores],
            regions,
        }
    }
}

impl<const N: usize> Kernel<N> for Attention {
    const NAME: &'static str = NAME;
    /// The logarithm of the sum of each row's exponentials, `[windows, heads, tokens]`.
    type Aux = Tensor;

    fn shape(&self, shapes: [Shape; N]) -> Result<Shape> {
        let layout = self.0.check(&shapes)?;
        Shape::new(&[layout.windows, layout.tokens, layout.heads * layout.dim])
    }

    fn cpu<T: Real>(&self, shapes: [Shape; N], inputs: [&[T]; N], out: &mut [T], _: bool) -> Result<Tensor> {
        let layout = self.0.layout(shapes[0])?;
        let packed = self.0.packed(layout, inputs[0], inputs.get(1).copied());
        let (at_once, rows) = (layout.windows_at_once(), layout.heads * layout.tokens);
        Tensor::build(&[layout.windows, layout.heads, layout.tokens], |logarithms: &mut [T]| {
            out.par_chunks_mut(at_once * layout.window())
                .zip(logarithms.par_chunks_mut(at_once * rows))
                .enumerate()
                .for_each_init(
                    || forward::Scratch::new(&layout, &packed.packing),
                    |scratch, (i, (out, logarithms))| {
                        let first = i * at_once;
                        let regions: Vec<_> = (first..first + out.len() / layout.window())
                            .map(|window| self.0.regions(window, &packed.packing))
                            .collect();
                        let outs = out.chunks_exact_mut(layout.window());
                        let logarithms = logarithms.chunks_exact_mut(rows);
                        for (w, (out, logarithms)) in outs.zip(logarithms).enumerate() {
                            for (head, logarithms) in logarithms.chunks_exact_mut(layout.tokens).enumerate() {
                                packed.isa.run(Forward {
                                    head: packed.head(head, first + w, regions[w].as_deref()),
                                    scratch,
                                    out,
                                    logarithms,
                                });
                            }
                        }
                    },
                );
            Ok(())
        })
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; N],
        inputs: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<Tensor> {
        let (layout, table) = (self.0.layout(shapes[0])?, inputs.get(1).copied());
        Plan::new(device, &self.0, layout, out.dtype(), table.is_some())?.forward(inputs[0], table, out)
    }
}

/// What the gradient needs: the inputs, the output, and the logarithms.
pub(super) struct Saved {
    qkv: Tensor,
    table: Option<Tensor>,
    out: Tensor,
    logarithms: Tensor,
}

impl<const N: usize> Op<N> for Attention {
    type Saved = Saved;

    fn save(&self, logarithms: Tensor, inputs: [&Tensor; N], out: &Tensor) -> Saved {
        let table = inputs.get(1).map(|t| t.detached());
        Saved { qkv: inputs[0].detached(), table, out: out.detached(), logarithms }
    }

    fn backward(&self, saved: Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        let Saved { qkv, table, out, logarithms } = saved;
        let dtype = qkv.dtype();
        let wants_table = wanted.get(1) == Some(&true);
        let gradient = Gradient { attention: self.0.clone(), table, logarithms, wants_table };
        let (of_qkv, of_table) = run(&gradient, [qkv.into(), grad.into(), out.into()])?;
        let mut all = [Some(of_qkv), of_table.map(|t| t.cast(dtype)).transpose()?];
        Ok(std::array::from_fn(|i| all[i].take().filter(|_| wanted[i])))
    }
}

/// The gradients of [`Attention`] from its first input, the gradient of its output, and the output.
#[derive(Clone)]
struct Gradient {
    attention: WindowAttention,
    table: Option<Tensor>,
    logarithms: Tensor,
    wants_table: bool,
}

impl Gradient {
    /// The gradients of the windows from `first` on, of which `of_qkv` holds room for several, and those of the parts of
    /// the bias table that the heads have.
    fn windows<T: Real>(
        &self,
        packed: &Packed<'_, T>,
        scratch: &mut backward::Scratch<T>,
        first: usize,
        [grad, out, logarithms]: [&[T]; 3],
        of_qkv: &mut [T],
    ) -> Vec<Vec<T>> {
        let (layout, table) = (&packed.layout, Table::new(self.attention.window));
        let numbers = layout.window();
        let regions: Vec<_> = (first..first + of_qkv.len() / (3 * numbers))
            .map(|window| self.attention.regions(window, &packed.packing))
            .collect();
        let lanes = packed.isa.lanes::<T>();
        let mut sums: Vec<Vec<T>> = if self.wants_table {
            (0..layout.heads).map(|_| table.sums(lanes)).collect()
        } else {
            Vec::new()
        };
        for (w, of_qkv) in of_qkv.chunks_exact_mut(3 * numbers).enumerate() {
            let window = first + w;
            for head in 0..layout.heads {
                packed.isa.run(Backward {
                    head: packed.head(head, window, regions[w].as_deref()),
                    scratch: &mut *scratch,
                    out: &out[window * numbers..][..numbers],
                    grad: &grad[window * numbers..][..numbers],
                    logarithms: &logarithms[(window * layout.heads + head) * layout.tokens..]
                        [..layout.tokens],
                    of_qkv,
                    of_table: sums.get_mut(head).map(|sums| (&table, &mut sums[..])),
                });
            }
        }
        sums
    }
}

impl Kernel<3> for Gradient {
    const NAME: &'static str = "window_attention gradient";
    /// The gradient of the table.
    type Aux = Option<Tensor>;

    fn shape(&self, [qkv, ..]: [Shape; 3]) -> Result<Shape> {
        Ok(qkv)
    }

    fn cpu<T: Real>(
        &self,
        [shape, ..]: [Shape; 3],
        [qkv, grad, out]: [&[T]; 3],
        of_qkv: &mut [T],
        _: bool,
    ) -> Result<Option<Tensor>> {
        let layout = self.attention.layout(shape)?;
        let table = self.table.as_ref().map(|t| t.cast(T::DTYPE)).transpose()?;
        let packed = self.attention.packed(layout, qkv, table.as_ref().map(Tensor::as_slice).transpose()?);
        let logarithms = self.logarithms.as_slice()?;
        let at_once = layout.windows_at_once();
        let parts: Vec<_> = of_qkv
            .par_chunks_mut(at_once * 3 * layout.window())
            .enumerate()
            .map_init(
                || backward::Scratch::new(&layout, &packed.packing),
                |scratch, (i, of_qkv)| {
                    self.windows(&packed, scratch, i * at_once, [grad, out, logarithms], of_qkv)
                },
            )
            .collect();
        if !self.wants_table {
            return Ok(None);
        }
        let table = Table::new(self.attention.window);
        let mut sums = vec![0.0; table.len() * layout.heads];
        for part in &parts {
            for (head, part) in part.iter().enumerate() {
                table.add_head(part, packed.isa.lanes::<T>(), head, layout.heads, &mut sums);
            }
        }
        let of_table = Tensor::build(&[table.len(), layout.heads], |out: &mut [T]| {
            out.iter_mut().zip(&sums).for_each(|(o, s)| *o = T::of(*s));
            Ok(())
        })?;
        Ok(Some(of_table))
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape, ..]: [Shape; 3],
        inputs: [&CudaBuffer; 3],
        of_qkv: &mut CudaBuffer,
        _: bool,
    ) -> Result<Option<Tensor>> {
        let (layout, table) = (self.attention.layout(shape)?, self.table.as_ref());
        let plan = Plan::new(device, &self.attention, layout, of_qkv.dtype(), table.is_some())?;
        plan.backward(inputs, table, &self.logarithms, of_qkv, self.wants_table)
    }
}
