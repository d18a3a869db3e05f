//! Dropout of whole channels.

use cellseg_core::{Result, Tensor};
use cellseg_kernels::{
    dropout::{Dropout, dropout},
    pointwise::{broadcast_to, mul},
};

/// `x`, `[n, d, h, w, c]`, with whole channels of each sample dropped, if any are to be: neighbouring voxels say much the
/// same, so dropping some of them alone would not keep it from getting through (Tompson et al., CVPR 2015). PyTorch calls
/// this `Dropout3d`.
pub(crate) fn channel_dropout(x: &Tensor, dropping: Option<Dropout>) -> Result<Tensor> {
    let Some(Dropout { p, key }) = dropping else { return Ok(x.clone()) };
    let [n, _, _, _, c] = x.shape().volumes("channel_dropout")?;
    let kept = Tensor::full(1f32, &[n, 1, 1, 1, c])?.to(&x.device())?.cast(x.dtype())?;
    mul(x, broadcast_to(&dropout(kept, p, key)?, x.shape().dims())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cellseg_core::Tape;

    #[test]
    fn channels_and_their_gradients_are_dropped_whole_or_scaled_whole() -> Result<()> {
        let (dims, p) = ([3, 2, 3, 5, 40], 0.25);
        let (tape, x) = (Tape::new(), Tensor::full(3.0f32, &dims)?.trainable());
        let y = channel_dropout(&x.on(&tape), Some(Dropout { p, key: 9 }))?;
        let gradients = tape.backward_from(&y, Tensor::full(3.0f32, &dims)?)?;
        let ys = y.to_vec::<f32>()?;
        assert_eq!(gradients.get(&x).map(Tensor::to_vec).transpose()?, Some(ys.clone()));
        let voxels = 2 * 3 * 5;
        let mut dropped = [0; 3];
        for (n, sample) in ys.chunks(voxels * 40).enumerate() {
            assert!(
                sample.chunks(40).all(|voxel| *voxel == sample[..40]),
                "all voxels have the same channels"
            );
            assert!(sample.iter().all(|y| [0.0, 4.0].contains(y)));
            dropped[n] = sample[..40].iter().filter(|y| **y == 0.0).count();
        }
        assert!(dropped.iter().all(|n| (2..20).contains(n)), "{dropped:?} of 40 are dropped");
        assert_ne!(ys[..40], ys[voxels * 40..][..40], "each sample drops channels of its own");
        Ok(())
    }

    #[test]
    fn nothing_is_dropped_where_there_is_no_dropout() -> Result<()> {
        let x = Tensor::full(3.0f32, &[1, 2, 2, 2, 4])?;
        assert_eq!(channel_dropout(&x, None)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
        Ok(())
    }
}
