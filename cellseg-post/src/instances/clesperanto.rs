//! Voronoi-Otsu labelling as clesperanto computes it, which CellSeg3D calls.

use ndarray::ArrayView3;

use crate::gaussian::clesperanto_gaussian;
use crate::grid::{Grid, raster};
use crate::voronoi::grow_by_dilations;
use crate::{Connectivity, Error, Labels, MaximaRule, OtsuRule, components, local_maxima, mask_above, otsu};

/// Voronoi-Otsu labelling with the approximations of `voronoi_otsu_labeling` of clesperanto (CLIc), to compare with
/// results made by CellSeg3D.
///
/// Differs from [`crate::voronoi_otsu`]: seeds grow by dilations on the voxel grid, in which the higher id wins, instead of
/// to the nearest seed; sigmas count voxels, whatever their size; kernels are shorter; and parts of the foreground without
/// a seed are lost. `maxima` is [`MaximaRule::Strict`] in current versions and [`MaximaRule::FirstInScan`] in
/// `pyclesperanto_prototype`, with which the figures of the CellSeg3D paper were made; there both sigmas are 0.65. Ids are
/// renumbered by first voxels.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`], [`Error::Constant`], or [`Error::Argument`] for a sigma out of range.
pub fn voronoi_otsu_as_clesperanto(
    image: ArrayView3<f32>,
    spot_sigma: f64,
    outline_sigma: f64,
    maxima: MaximaRule,
) -> Result<Labels, Error> {
    let grid = Grid::of(&image);
    let spots = local_maxima(clesperanto_gaussian(image, spot_sigma)?.view(), maxima)?;
    let outline = clesperanto_gaussian(image, outline_sigma)?;
    let mask = mask_above(outline.view(), otsu(outline.view(), OtsuRule::Clesperanto)?);
    let mut seeds = spots;
    seeds.zip_mut_with(&mask, |seed, &inside| *seed &= inside);
    let mut ids = components(seeds.view(), Connectivity::TwentySix)?.into_ids();
    let voxels = ids.as_slice_mut().expect("labels are stored in raster order");
    grow_by_dilations(grid, voxels, &raster(&mask.view()));
    Ok(Labels::from_ids(ids.view()))
}
