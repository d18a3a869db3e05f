//! `cellseg stats`: one row of measurements for each cell of a label volume.

use super::{
    Common, Outcome, Result,
    settings::{Settings, with_spacing},
};
use cellseg::{
    count_by_region,
    io::{TableFormat, read_labels, read_volume},
    measure, measure_all, measure_like_cellseg3d,
    post::region_table,
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
    /// Every measurement there is: also surface, convexity, the longest axis, contacts, neighbours, density, quantiles
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
    let labels = with_spacing(read_labels(&args.labels)?, &config)?;
    let image = args.image.as_ref().map(read_volume).transpose()?;
    let table = if args.cellseg3d {
        measure_like_cellseg3d(&labels)?
    } else if args.all {
        measure_all(&labels, image.as_ref())?
    } else {
        region_table(&measure(&labels, image.as_ref())?)
    };
    let regions =
        args.atlas.as_ref().map(|path| count_by_region(&labels, &read_labels(path)?)).transpose()?;
    write_table(&args.output, &table, args.common.overwrite())?;
    if let (Some(path), Some(regions)) = (&args.atlas_output, &regions) {
        write_table(path, regions, args.common.overwrite())?;
    }
    let physical_units = labels.spacing.is_some();
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
