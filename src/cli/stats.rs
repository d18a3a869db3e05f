//! `cellseg stats`: one row of measurements for each cell of a label volume.

use super::{
    Common, Outcome, Result, interrupt,
    post::{Stoppable, read_ids, same_shape},
    settings::{Settings, spacing},
};
use cellseg::{
    StoredVolume, count_by_region,
    io::{DType, Spacing, TableFormat, Volume, VolumeReader, read_labels, read_volume},
    measure, measure_all, measure_like_cellseg3d, measure_stored,
    post::{MapSource, Table, region_table},
    write_table,
};
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Labels (z, y, x): TIFF or NPY, 0 is background
    labels: PathBuf,
    /// The image that intensities are measured in
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Where the table goes (.csv, or .parquet where the program was built with it)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The columns of CellSeg3D, in voxels
    #[arg(long, conflicts_with = "image")]
    cellseg3d: bool,
    /// Every measurement there is: also surface, convexity, the longest axis, contacts, neighbours, density, quantiles.
    /// Like --cellseg3d and --atlas it takes the whole volume into memory; without them only some planes are at a time
    #[arg(long, conflicts_with = "cellseg3d")]
    all: bool,
    /// Labels of the regions of an atlas, on the same grid
    #[arg(long, value_name = "FILE", requires = "atlas_output")]
    atlas: Option<PathBuf>,
    /// Where the number of cells in each of these regions goes (.csv, or .parquet where the program was built with it)
    #[arg(long, value_name = "FILE", requires = "atlas")]
    atlas_output: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct Report {
    table: PathBuf,
    cells: usize,
    physical_units: bool,
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    let tables = || [Some(&args.output), args.atlas_output.as_ref()].into_iter().flatten();
    args.common.refuse_existing(tables().map(PathBuf::as_path))?;
    for table in tables() {
        TableFormat::of(table)?;
    }
    let config = args.settings.read()?;
    let reader = VolumeReader::open(&args.labels)?;
    let spacing = spacing(reader.info().spacing, &config)?;
    let (table, regions) = if args.cellseg3d || args.all || args.atlas.is_some() {
        args.whole(spacing)?
    } else {
        (args.in_slabs(&reader, spacing)?, None)
    };
    interrupt::keep_on()?;
    write_table(&args.output, &table, args.common.overwrite())?;
    if let (Some(path), Some(regions)) = (&args.atlas_output, &regions) {
        write_table(path, regions, args.common.overwrite())?;
    }
    let physical_units = spacing.is_some();
    if !physical_units && !args.cellseg3d {
        tracing::warn!(
            "{} does not say how large a voxel is: lengths are in voxels; give --spacing z,y,x for micrometres",
            args.labels.display()
        );
    }
    let report = Report { table: args.output, cells: table.rows.len(), physical_units };
    args.common.report(&report, |out| writeln!(out, "{} cells: {}", report.cells, report.table.display()))?;
    Ok(Outcome::Done)
}

impl Args {
    /// The table of [`region_table`]'s columns, from labels that need not fit into memory.
    fn in_slabs(&self, labels: &VolumeReader, spacing: Option<Spacing>) -> Result<Table> {
        let image = self.image.as_ref().map(VolumeReader::open).transpose()?;
        if let Some(image) = &image {
            same_shape((labels.path(), labels.info().shape), (image.path(), image.info().shape))?;
        }
        let image = image.as_ref().map(|image| Stoppable(StoredVolume(image)));
        let image = image.as_ref().map(|image| image as &dyn MapSource);
        let measured = match measure_stored(&Stoppable(StoredVolume(labels)), image, spacing) {
            // Ids of 64 bits that do not fit are known only once they are met.
            Err(_) if matches!(labels.info().dtype, DType::U64 | DType::I64) && !interrupt::asked() => {
                measure_stored(&read_ids(&self.labels)?.data, image, spacing)
            }
            other => other,
        };
        Ok(region_table(&measured?))
    }

    /// The tables that need the whole volume at once: that of the cells, and that of an atlas' regions.
    fn whole(&self, spacing: Option<Spacing>) -> Result<(Table, Option<Table>)> {
        let labels = Volume { spacing, ..read_ids(&self.labels)? };
        let image = self.image.as_ref().map(read_volume).transpose()?;
        if let (Some(path), Some(image)) = (&self.image, &image) {
            same_shape((&self.labels, labels.shape()), (path, image.shape()))?;
        }
        let table = if self.cellseg3d {
            measure_like_cellseg3d(&labels)?
        } else if self.all {
            measure_all(&labels, image.as_ref())?
        } else {
            region_table(&measure(&labels, image.as_ref())?)
        };
        let regions =
            self.atlas.as_ref().map(|path| count_by_region(&labels, &read_labels(path)?)).transpose()?;
        Ok((table, regions))
    }
}
