//! Volumes written here: read back here and by tifffile, whole or not at all.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
};

use cellseg_io::{
    AtomicFile, Compression, Error, Frame, Overwrite, Spacing, TiffOptions, Volume, Voxel, atomic_write,
    read_any, read_labels, read_volume, write_in_slabs, write_labels, write_npy, write_tiff, write_volume,
};
use ndarray::{Array, Array3, Array4};
use proptest::prelude::*;

/// A volume of pseudo-random values, by their bits.
fn volume<T: Voxel>(
    shape: [usize; 3],
    seed: u64,
    spacing: Option<[f64; 3]>,
    value: impl Fn(u64) -> T,
) -> Volume<T> {
    let mut state = seed | 1;
    let data = Array3::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value(state >> 11)
    });
    Volume { data, spacing: spacing.map(|zyx| Spacing::new(zyx).unwrap()), name: "v".into() }
}

/// Writes and reads; the type, the values and the voxel size must come back.
fn check<T: Voxel + std::fmt::Debug>(written: &Volume<T>, compression: Compression) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.tif");
    write_tiff(&path, written, TiffOptions { compression, overwrite: Overwrite::Refuse }).unwrap();
    let found = read_any(&path).unwrap();
    assert_eq!(found.dtype(), T::DTYPE);
    assert_eq!(found.shape(), written.shape());
    match (found.spacing(), written.spacing) {
        (None, None) => {}
        (Some(found), Some(written)) => {
            for (found, written) in found.zyx().into_iter().zip(written.zyx()) {
                assert!((found / written - 1.0).abs() < 1e-9, "{found} {written}");
            }
        }
        other => panic!("voxel sizes {other:?}"),
    }
    // Through NPY, whose reading is tested on its own, the values are compared without knowing the type.
    let npy = folder.path().join("v.npy");
    write_npy(&npy, written.data.view(), Overwrite::Refuse).unwrap();
    let values = |volume: cellseg_io::AnyVolume| format!("{:?}", volume).replace(char::is_whitespace, "");
    let plain = |volume: cellseg_io::AnyVolume| values(volume).split("spacing:").next().unwrap().to_owned();
    assert_eq!(plain(found), plain(read_any(&npy).unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_type_survives_a_round_trip(
        shape in [1usize..5, 1usize..9, 1usize..9],
        seed in any::<u64>(),
        spacing in proptest::option::of([1e-3..1e3f64, 1e-3..1e3f64, 1e-3..1e3f64]),
        deflate in any::<bool>(),
    ) {
        let compression = if deflate { Compression::Deflate } else { Compression::None };
        check(&volume(shape, seed, spacing, |v| v as u8), compression);
        check(&volume(shape, seed, spacing, |v| v as i8), compression);
        check(&volume(shape, seed, spacing, |v| v as u16), compression);
        check(&volume(shape, seed, spacing, |v| v as i16), compression);
        check(&volume(shape, seed, spacing, |v| v as u32), compression);
        check(&volume(shape, seed, spacing, |v| v as i32), compression);
        check(&volume(shape, seed, spacing, |v| v), compression);
        check(&volume(shape, seed, spacing, |v| v as i64), compression);
        check(&volume(shape, seed, spacing, |v| f32::from_bits(v as u32)), compression);
        check(&volume(shape, seed, spacing, |v| f64::from_bits(v << 11)), compression);
    }
}

#[test]
fn slabs_make_the_file_that_the_whole_volume_makes() {
    let folder = tempfile::tempdir().unwrap();
    // More planes than a slab has.
    let whole = volume([70, 30, 40], 5, Some([2.0, 1.0, 1.0]), |v| if v % 7 == 0 { v as u32 } else { 9 });
    for extension in ["tif", "npy"] {
        let [at_once, in_slabs] = ["a", "b"].map(|name| folder.path().join(name).with_extension(extension));
        write_volume(&at_once, &whole, Overwrite::Refuse).unwrap();
        let mut next = 0;
        write_in_slabs(&in_slabs, &whole.frame(), Overwrite::Refuse, |planes| {
            assert_eq!(planes.start, next);
            next = planes.end;
            Ok(whole.data.slice(ndarray::s![planes, .., ..]).to_owned())
        })
        .unwrap();
        assert_eq!(next, 70);
        assert!(fs::read(at_once).unwrap() == fs::read(in_slabs).unwrap(), "{extension}");
    }
}

#[test]
fn a_slab_that_cannot_be_had_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let frame = Frame { shape: [40, 4, 4], spacing: None, name: "v" };
    for name in ["v.tif", "v.npy"] {
        let error = write_in_slabs::<u8>(folder.path().join(name), &frame, Overwrite::Refuse, |planes| {
            if planes.start > 0 {
                return Err(Error::Argument("the source is gone".into()));
            }
            Ok(Array3::zeros((planes.len(), 4, 4)))
        });
        assert_eq!(error.unwrap_err().to_string(), "the source is gone");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_slab_of_another_shape_is_refused_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let frame = Frame { shape: [40, 4, 5], spacing: None, name: "v" };
    for name in ["v.tif", "v.npy"] {
        for wrong in [(1, 4, 5), (8, 5, 4), (8, 4, 6), (0, 4, 5)] {
            let path = folder.path().join(name);
            let written = write_in_slabs(path, &frame, Overwrite::Refuse, |planes| {
                Ok(if planes.start == 0 {
                    Array3::<u8>::zeros((planes.len(), 4, 5))
                } else {
                    Array3::zeros(wrong)
                })
            });
            let error = written.unwrap_err();
            assert!(matches!(error, Error::Argument(_)));
            assert_eq!(
                error.to_string(),
                format!("a slab has shape {wrong:?}; expected (8, 4, 5) (z, y, x)")
            );
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_volume_in_another_order_of_axes_is_written_as_it_is_indexed() {
    let data = Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (100 * z + 10 * y + x) as u16);
    let turned = Volume::new(data.view().permuted_axes([2, 0, 1]).to_owned(), "v");
    let view = Volume::new(data.permuted_axes([2, 0, 1]), "v");
    assert!(!view.data.is_standard_layout());
    let folder = tempfile::tempdir().unwrap();
    for name in ["v.tif", "v.npy"] {
        write_volume(folder.path().join(name), &view, Overwrite::Refuse).unwrap();
        assert_eq!(read_labels(folder.path().join(name)).unwrap(), turned.map(|&value| value.into()));
    }
}

#[test]
fn a_plane_of_many_strips_comes_back() {
    let written = volume([2, 1200, 1100], 3, None, |v| v as u16);
    check(&written, Compression::Deflate);
}

#[test]
fn labels_take_sixteen_bits_if_they_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.tif");
    let mut labels = volume([2, 3, 4], 1, Some([2.0, 1.0, 1.0]), |v| (v % 65_536) as u32);
    labels.name = "labels".into();
    write_labels(&path, &labels, Overwrite::Refuse).unwrap();
    assert_eq!(read_any(&path).unwrap().dtype().name(), "u16");
    assert_eq!(read_labels(&path).unwrap(), labels);
    labels.data[[1, 1, 1]] = 65_536;
    write_labels(&path, &labels, Overwrite::Replace).unwrap();
    assert_eq!(read_any(&path).unwrap().dtype().name(), "u32");
    assert_eq!(read_labels(&path).unwrap(), labels);
}

#[test]
fn names_of_files_say_how_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_volume(
        folder.path().join("v.png"),
        &volume([1, 1, 1], 1, None, |v| v as u8),
        Overwrite::Refuse,
    );
    assert!(error.unwrap_err().to_string().contains(".tif, .tiff or .npy"));
    let empty = Volume::new(Array3::<f32>::zeros((0, 4, 4)), "e");
    assert!(matches!(
        write_volume(folder.path().join("e.tif"), &empty, Overwrite::Refuse),
        Err(Error::Argument(_))
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A Python with tifffile, if there is one: `CELLSEG_PYTHON`, or `python3`.
fn python() -> Option<Command> {
    let program = std::env::var("CELLSEG_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_tifffile =
        Command::new(&program).args(["-c", "import tifffile"]).output().is_ok_and(|o| o.status.success());
    if !has_tifffile {
        eprintln!("skipped: no Python with tifffile; name one in CELLSEG_PYTHON");
        return None;
    }
    Some(Command::new(program))
}

#[test]
fn tifffile_and_numpy_read_what_is_written() {
    let Some(mut python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, shape: [usize; 3], compression| {
        macro_rules! each {
            ($($type:ident)*) => {$(
                let mut written = volume(shape, 7, Some([3.0, 0.25, 0.5]), |v| v as $type);
                written.name = "cells & \u{b5}m".into();
                let path = folder.path().join(format!("{name}_{}", stringify!($type)));
                let options = TiffOptions { compression, overwrite: Overwrite::Refuse };
                write_tiff(path.with_extension("tif"), &written, options).unwrap();
                write_npy(path.with_extension("npy"), written.data.view(), Overwrite::Refuse).unwrap();
            )*};
        }
        each!(u8 i8 u16 i16 u32 i32 u64 i64 f32 f64);
    };
    write("stack", [6, 4, 5], Compression::Deflate);
    write("plain", [3, 4, 5], Compression::None);
    write("plane", [1, 4, 5], Compression::Deflate);
    let script = r#"
import glob, os, sys, numpy, tifffile
names = sorted(glob.glob(os.path.join(sys.argv[1], "*.tif")))
assert len(names) == 30, names
for name in names:
    truth = numpy.load(name[:-3] + "npy")
    with tifffile.TiffFile(name) as file:
        image = file.asarray()
        axes = file.series[0].axes
        page = file.pages[0]
        ij, ome, shaped = file.imagej_metadata, file.ome_metadata, file.shaped_metadata
        per_unit = page.tags["XResolution"].value, page.tags["YResolution"].value, int(page.tags["ResolutionUnit"].value)
    assert image.shape == truth.shape and image.dtype == truth.dtype, (name, image.shape, image.dtype)
    assert (image == truth).all() and axes == "ZYX", (name, axes)
    if ij:
        assert ij["spacing"] == 3.0 and ij["unit"] == "micron" and per_unit == ((2, 1), (4, 1), 1), (name, ij, per_unit)
    else:
        assert per_unit == ((20000, 1), (40000, 1), 3), (name, per_unit)
    if ome:
        pixels = tifffile.xml2dict(ome)["OME"]["Image"]
        assert pixels["Name"] == "cells & \u00b5m", pixels["Name"]
        pixels = pixels["Pixels"]
        assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == (3.0, 0.25, 0.5), pixels
        assert pixels["PhysicalSizeZUnit"] == "\u00b5m", pixels
    assert ij or ome or (shaped and shaped[0]["spacing"] == 3.0), name
"#;
    let output = python.args(["-c", script]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn arrays_of_four_axes_are_written_in_c_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logits.npy");
    let array = Array4::from_shape_fn((2, 3, 4, 5), |(c, z, y, x)| (1000 * c + 100 * z + 10 * y + x) as f32);
    write_npy(&path, array.view(), Overwrite::Refuse).unwrap();
    let back: Array4<f32> = ndarray_npy::read_npy(&path).unwrap();
    assert_eq!(back, array);
    write_npy(&path, array.t(), Overwrite::Replace).unwrap();
    let back: Array<f32, ndarray::Ix4> = ndarray_npy::read_npy(&path).unwrap();
    assert_eq!((back.view(), back.is_standard_layout()), (array.t(), true));
    let message = read_volume(&path).unwrap_err().to_string();
    assert!(message.contains("4 axes, [5, 4, 3, 2]"), "{message}");
}

/// The names in a folder, temporary files included.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_existing_file_is_refused_before_any_work_and_replaced_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    fs::write(&path, "old").unwrap();
    let refused = atomic_write(&path, Overwrite::Refuse, |_| panic!("work was done"));
    assert!(matches!(&refused, Err(Error::Exists { path: p }) if p == &path));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("out.txt exists already") && message.contains("replaced"), "{message}");
    atomic_write(&path, Overwrite::Replace, |file| file.write_all(b"new")).unwrap();
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), names(folder.path())),
        ("new", vec!["out.txt".into()])
    );
}

#[test]
fn a_file_that_appears_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let mut file = AtomicFile::create(&path, Overwrite::Refuse).unwrap();
    file.write_all(b"ours").unwrap();
    fs::write(&path, "theirs").unwrap();
    assert!(matches!(file.commit(), Err(Error::Exists { .. })));
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), names(folder.path())),
        ("theirs", vec!["out.txt".into()])
    );
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    fs::write(&path, "old").unwrap();
    let failed = atomic_write(&path, Overwrite::Replace, |file| {
        file.write_all(&[0; 1 << 20])?;
        Err(io::ErrorKind::StorageFull.into())
    });
    let message = failed.unwrap_err().to_string();
    assert!(message.contains("out.txt") && message.contains("untouched"), "{message}");
    assert_eq!(
        (fs::read_to_string(&path).unwrap().as_str(), names(folder.path())),
        ("old", vec!["out.txt".into()])
    );
    drop(AtomicFile::create(folder.path().join("dropped"), Overwrite::Refuse).unwrap());
    assert_eq!(names(folder.path()), ["out.txt"]);
}

#[test]
fn folders_devices_and_missing_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let create = |path: &Path| AtomicFile::create(path, Overwrite::Replace).unwrap_err();
    assert!(matches!(create(folder.path()), Error::Argument(_)));
    assert!(matches!(create(&folder.path().join("none/out.txt")), Error::Write { .. }));
    assert!(matches!(create(Path::new("..")), Error::Argument(_)));
    #[cfg(unix)]
    assert!(matches!(create(Path::new("/dev/null")), Error::Argument(_)));
}

#[cfg(unix)]
#[test]
fn outputs_have_the_permissions_of_the_users_other_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    fs::write(folder.path().join("plain"), "").unwrap();
    atomic_write(folder.path().join("ours"), Overwrite::Refuse, |_| Ok(())).unwrap();
    assert_eq!(mode("ours"), mode("plain"));
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    atomic_write(&link, Overwrite::Replace, |file| file.write_all(b"new")).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    }
    let path = folder.path().join("v.tif");
    fs::write(&path, "old").unwrap();
    let volume = volume([16, 128, 128], 5, None, |v| v as u16);
    let weights = cellseg_io::Weights {
        tensors: [("w".to_owned(), ndarray::ArrayD::zeros(ndarray::IxDyn(&[1 << 17])))].into(),
        ..Default::default()
    };
    let results = [
        write_volume(&path, &volume, Overwrite::Replace),
        write_npy(folder.path().join("v.npy"), volume.data.view(), Overwrite::Refuse),
        weights.save(folder.path().join("w.safetensors"), Overwrite::Refuse),
        cellseg_io::write_csv(
            folder.path().join("t.csv"),
            ["a"],
            (0..100_000u64).map(|k| [k.into()]),
            Overwrite::Refuse,
        ),
    ];
    let left = (fs::read_to_string(&path), names(folder.path()));
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    for result in results {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, Error::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull),
            "{error:?}"
        );
    }
    assert_eq!((left.0.unwrap().as_str(), left.1), ("old", vec!["v.tif".into()]));
}
