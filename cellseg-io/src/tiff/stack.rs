//! Which pages are the planes of the volume.

use std::fs::File;

use super::{
    description::Description,
    directory::TiffFile,
    pages::{Page, Pages, Sample},
    problem::Problem,
};
use crate::Spacing;

/// A volume in a TIFF: its shape, and where its planes are.
pub(super) struct Stack {
    pub(super) file: TiffFile,
    pub(super) sample: Sample,
    /// The lengths `[z, y, x]`.
    pub(super) shape: [usize; 3],
    pub(super) spacing: Option<Spacing>,
    pub(super) planes: Planes,
}

/// Where the planes are.
pub(super) enum Planes {
    /// In these pages, in this order, each with the same number of planes.
    Pages(Vec<Page>),
    /// One after the other from this byte on, as plain values.
    Contiguous(u64),
}

/// More leading planes than this are not taken for channels that somebody forgot to split.
const MOST_CHANNELS: u64 = 4;

impl Stack {
    /// Finds the volume in a file.
    pub(super) fn open(file: File) -> Result<Self, Problem> {
        let Pages { mut file, first: directory, pages } = Pages::scan(file)?;
        let [first, ..] = pages.as_slice() else { return Err(Problem::Corrupt("it has no pages".into())) };
        let (size, sample) = ([first.height, first.width], first.sample);
        let mut description = Description::read(&mut file, &directory, size, pages.len())?;
        let stored = pages.len() as u64 * planes_per_page(first, &description)?;
        if product(&description.leading) == Some(1) && stored > 1 {
            // Nothing is said, or only of the first of many pages, as mesoSPIM's BigTIFFs do.
            description.leading = vec![("z".into(), stored)];
        }
        let count = product(&description.leading)
            .ok_or_else(|| Problem::Corrupt("its metadata promise more planes than there can be".into()))?;
        let shape = shape(&description, size)?;
        let spacing = spacing(description.spacing);
        let contiguous = first.plain_offset().filter(|_| description.one_directory && pages.len() == 1);
        let planes = match contiguous {
            _ if count == stored => Planes::Pages(in_order(pages, description.order)?),
            Some(offset) if count > stored => {
                check_contiguous(offset, count, first.plane_bytes(), file.bytes)?;
                Planes::Contiguous(offset)
            }
            _ if count > stored => {
                return Err(Problem::Corrupt(format!(
                    "its metadata promise {count} planes, but it has {stored}"
                )));
            }
            _ => {
                let found = format!("{stored} pages, of which its metadata describe {count}");
                return Err(Problem::NotAVolume(found, "save the volume in a file of its own"));
            }
        };
        Ok(Self { file, sample, shape, spacing, planes })
    }
}

/// The number of planes, where it can be represented.
fn product(leading: &[(String, u64)]) -> Option<u64> {
    leading.iter().try_fold(1u64, |product, (_, length)| product.checked_mul(*length))
}

/// How many planes each page holds: one, unless tifffile took the planes of a small volume for colours.
///
/// Given an array of three or four planes, tifffile writes one page of as many samples, one plane after the
/// other; only its own description tells such a volume from a colour image.
fn planes_per_page(page: &Page, description: &Description) -> Result<u64, Problem> {
    if page.samples == 1 {
        return Ok(1);
    }
    let innermost = description.leading.last().map(|(_, length)| *length);
    if page.planar && page.sample != Sample::Bit && innermost == Some(page.samples) {
        return Ok(page.samples);
    }
    let found = format!(
        "a colour image of {} values a pixel, (y, x) = ({}, {})",
        page.samples, page.height, page.width
    );
    Err(Problem::NotAVolume(
        found,
        "save one channel as a gray stack; in tifffile with photometric='minisblack'",
    ))
}

/// The pages in the order of the planes, all of one size and type.
fn in_order(pages: Vec<Page>, order: Option<Vec<u64>>) -> Result<Vec<Page>, Problem> {
    let kind = |page: &Page| (page.height, page.width, page.sample, page.samples, page.planar);
    if let Some((plane, page)) = pages.iter().enumerate().find(|(_, page)| kind(page) != kind(&pages[0])) {
        let describe = |page: &Page| format!("{}x{} {}", page.height, page.width, page.sample.dtype());
        let found = format!(
            "planes that differ: plane {plane} is {}, plane 0 {}",
            describe(page),
            describe(&pages[0])
        );
        return Err(Problem::NotAVolume(found, "save planes of one size and type together"));
    }
    let Some(order) = order else { return Ok(pages) };
    let mut pages: Vec<Option<Page>> = pages.into_iter().map(Some).collect();
    order
        .into_iter()
        .map(|page| usize::try_from(page).ok().and_then(|page| pages.get_mut(page)?.take()))
        .collect::<Option<_>>()
        .ok_or_else(|| Problem::Corrupt("its metadata name a page twice, or one that is not there".into()))
}

/// Checks that planes which follow the only directory are all there: never a short volume.
fn check_contiguous(
    offset: u64,
    count: u64,
    plane_bytes: Option<u64>,
    file_bytes: u64,
) -> Result<(), Problem> {
    let end = plane_bytes.and_then(|bytes| bytes.checked_mul(count)?.checked_add(offset));
    if end.is_none_or(|end| end > file_bytes) {
        return Err(Problem::Corrupt(format!(
            "its metadata promise {count} planes of {} bytes from byte {offset} on, \
             but the file ends at byte {file_bytes}",
            plane_bytes.unwrap_or(u64::MAX)
        )));
    }
    Ok(())
}

/// The lengths `[z, y, x]`, if there are three.
fn shape(description: &Description, [height, width]: [u64; 2]) -> Result<[usize; 3], Problem> {
    let long: Vec<&(String, u64)> = description.leading.iter().filter(|(_, length)| *length > 1).collect();
    let axes = || {
        let leading = long.iter().map(|(name, length)| format!("{name}={length}, "));
        format!("axes {}y={height}, x={width}", leading.collect::<String>())
    };
    let planes = match long[..] {
        [] if description.three_axes => 1,
        [] => {
            let found = format!("one plane (y, x) = ({height}, {width})");
            return Err(Problem::NotAVolume(found, "stack the planes of the volume in one file"));
        }
        [(name, length)] if name == "c" && *length <= MOST_CHANNELS && description.spacing[0].is_none() => {
            let advice = "if the channels are really planes, save them with axes='ZYX'";
            return Err(Problem::NotAVolume(axes(), advice));
        }
        [(name, length)] => {
            if name == "c" || name == "t" {
                tracing::warn!("the {length} planes along axis {name} are taken as z");
            }
            *length
        }
        _ => {
            let advice = "save one channel and time point alone (Fiji: Image > Color > Split Channels, or Image > \
                          Duplicate; tifffile: imread(path)[0])";
            return Err(Problem::NotAVolume(axes(), advice));
        }
    };
    let lengths = [planes, height, width].map(usize::try_from);
    match lengths {
        [Ok(z), Ok(y), Ok(x)] if z.checked_mul(y).and_then(|zy| zy.checked_mul(x)).is_some() => Ok([z, y, x]),
        _ => Err(Problem::Memory(u64::MAX)),
    }
}

/// The voxel size, if all three are known and sensible.
fn spacing(zyx: [Option<f64>; 3]) -> Option<Spacing> {
    let [Some(z), Some(y), Some(x)] = zyx else { return None };
    Spacing::new([z, y, x]).inspect_err(|error| tracing::warn!("voxel size ignored: {error}")).ok()
}
