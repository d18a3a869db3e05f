//! Volumes that tifffile and NumPy wrote, compared value by value with what they read in them.

use std::path::{Path, PathBuf};

use cellseg_io::{AnyVolume, DType, Error, VolumeReader, Voxel, inspect, read_any, read_labels, read_volume};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().clone()
}

/// The values as exact numbers; none of the fixtures has a float that is not a number.
fn values(volume: &AnyVolume) -> Vec<serde_json::Number> {
    fn integers<T: Voxel + Into<serde_json::Number>>(
        volume: &cellseg_io::Volume<T>,
    ) -> Vec<serde_json::Number> {
        volume.data.iter().map(|&value| value.into()).collect()
    }
    fn floats(values: impl Iterator<Item = f64>) -> Vec<serde_json::Number> {
        values.map(|value| serde_json::Number::from_f64(value).unwrap()).collect()
    }
    match volume {
        AnyVolume::U8(v) => integers(v),
        AnyVolume::I8(v) => integers(v),
        AnyVolume::U16(v) => integers(v),
        AnyVolume::I16(v) => integers(v),
        AnyVolume::U32(v) => integers(v),
        AnyVolume::I32(v) => integers(v),
        AnyVolume::U64(v) => integers(v),
        AnyVolume::I64(v) => integers(v),
        AnyVolume::F32(v) => floats(v.data.iter().map(|&value| value.into())),
        AnyVolume::F64(v) => floats(v.data.iter().copied()),
        other => panic!("no such type in the fixtures: {}", other.dtype()),
    }
}

#[test]
fn every_fixture_gives_what_python_reads_or_a_clear_error() {
    for (name, truth) in expected() {
        let path = fixtures().join("volumes").join(&name);
        let found = read_any(&path);
        if let Some(words) = truth.get("error") {
            let error = found.expect_err(&name);
            let (message, words) = (error.to_string(), words.as_str().unwrap());
            assert!(message.contains(words) && message.contains(&name), "{name}: {message}");
            assert!(matches!(
                error,
                Error::NotAVolume { .. } | Error::Unsupported { .. } | Error::Corrupt { .. }
            ));
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.dtype().name(), truth["dtype"].as_str().unwrap(), "{name}");
        assert_eq!(serde_json::json!(found.shape()), truth["shape"], "{name}");
        assert_eq!(
            values(&found),
            truth["values"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_number().unwrap().clone())
                .collect::<Vec<_>>(),
            "{name}"
        );
        match (found.spacing(), truth["spacing"].as_array()) {
            (None, None) => {}
            (Some(found), Some(truth)) => {
                for (found, truth) in found.zyx().into_iter().zip(truth) {
                    let truth = truth.as_f64().unwrap();
                    assert!((found / truth - 1.0).abs() < 1e-9, "{name}: {found} instead of {truth}");
                }
            }
            (found, truth) => panic!("{name}: voxel size {found:?} instead of {truth:?}"),
        }
        let info = inspect(&path).unwrap();
        assert_eq!(
            (info.dtype, info.shape, info.spacing),
            (found.dtype(), found.shape(), found.spacing()),
            "{name}"
        );
    }
}

#[test]
fn the_name_is_the_files_without_its_extension() {
    assert_eq!(read_any(fixtures().join("volumes/u2_le.npy")).unwrap().name(), "u2_le");
}

#[test]
fn floats_with_whole_values_are_labels_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.npy");
    let mut data = ndarray::Array3::from_elem((2, 2, 2), 3.0f32);
    cellseg_io::write_npy(&path, data.view(), cellseg_io::Overwrite::Refuse).unwrap();
    assert!(read_labels(&path).unwrap().data.iter().all(|&label| label == 3));
    for bad in [0.5, -1.0, f32::NAN, f32::INFINITY, 16_777_218.0] {
        data[[1, 0, 1]] = bad;
        cellseg_io::write_npy(&path, data.view(), cellseg_io::Overwrite::Replace).unwrap();
        let message = read_labels(&path).unwrap_err().to_string();
        assert!(message.contains("(1, 0, 1)") && message.contains(&format!("{bad:?}")), "{message}");
        assert!(
            message.contains("labels.npy") && message.contains("whole numbers from 0 to 16777216"),
            "{message}"
        );
    }
}

#[test]
fn negative_labels_and_labels_beyond_32_bits_are_refused() {
    for name in ["i1_le", "i2_be", "i4_le", "i8_le", "u8_le"] {
        let error = read_labels(fixtures().join(format!("volumes/{name}.npy"))).unwrap_err();
        assert!(matches!(error, Error::Conversion { .. }), "{name}: {error}");
    }
    assert_eq!(read_labels(fixtures().join("volumes/u4_be.npy")).unwrap().data[[1, 2, 3]], 4_294_967_284);
}

#[test]
fn finite_values_beyond_f32_are_refused_and_others_rounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.npy");
    let mut data = ndarray::Array3::from_elem((1, 1, 3), 0.1f64);
    data[[0, 0, 1]] = f64::NEG_INFINITY;
    cellseg_io::write_npy(&path, data.view(), cellseg_io::Overwrite::Refuse).unwrap();
    assert_eq!(read_volume(&path).unwrap().data.as_slice().unwrap(), [0.1f32, f32::NEG_INFINITY, 0.1]);
    data[[0, 0, 2]] = 1e39;
    cellseg_io::write_npy(&path, data.view(), cellseg_io::Overwrite::Replace).unwrap();
    let message = read_volume(&path).unwrap_err().to_string();
    assert!(message.contains("1e39") && message.contains("(0, 0, 2)"), "{message}");
}

#[test]
fn other_kinds_of_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (bytes, words) in [
        (&b"\x89HDF\r\n\x1a\n12345"[..], "HDF5"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"PK\x03\x04rest", "zip"),
        (b"", "empty"),
        (b"hello, world", "starts with the bytes"),
    ] {
        let message = read_any(write("x.tif", bytes)).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("x.tif"), "{message}");
    }
    let message = read_any(folder.path()).unwrap_err().to_string();
    assert!(message.contains("a folder") && message.contains("TIFF"), "{message}");
    let message = read_any(folder.path().join("missing.tif")).unwrap_err().to_string();
    assert!(message.contains("missing.tif") && message.contains("No such file"), "{message}");
}

/// Shapes, types and sums that tifffile 2026.3.3 and numpy (f64) give for the shared volumes.
const SHARED: [(&str, [usize; 3], DType, f64); 14] = [
    ("bbbc050_train/Emb02_t451_image.tif", [51, 120, 122], DType::U16, 88_458_195.0),
    ("bbbc050_train/Emb02_t451_label.tif", [51, 120, 122], DType::U8, 1_010_189.0),
    ("bbbc050_train/Emb05_t501_image.tif", [51, 133, 120], DType::U16, 95_495_259.0),
    ("bbbc050_train/Emb05_t501_label.tif", [51, 133, 120], DType::U8, 642_188.0),
    ("cellseg3d/c5image.tif", [124, 86, 94], DType::F32, 420_787_391.0),
    ("cellseg3d/test_very_small.tif", [64, 64, 64], DType::F32, 119_589_357.0),
    ("qcanet/16_cell_stage.tif", [51, 120, 122], DType::U16, 91_480_180.0),
    ("qcanet/16_cell_stage_ndn.tif", [51, 120, 122], DType::U8, 134_640.0),
    ("qcanet/16_cell_stage_nsn.tif", [51, 120, 122], DType::U8, 7_118_070.0),
    ("qcanet/8_cell_stage.tif", [51, 120, 122], DType::U16, 91_881_918.0),
    ("qcanet/8_cell_stage_ndn.tif", [51, 120, 122], DType::U8, 67_320.0),
    ("qcanet/8_cell_stage_nsn.tif", [51, 120, 122], DType::U8, 4_315_620.0),
    ("stardist/img3d.tif", [31, 61, 57], DType::U16, 21_342_435.0),
    ("stardist/mask3d.tif", [31, 61, 57], DType::U16, 3_198_014.0),
];

#[test]
fn shared_volumes_have_the_sums_that_tifffile_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !folder.exists() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    for (name, shape, dtype, sum) in SHARED {
        let volume = read_any(folder.join(name)).unwrap();
        assert_eq!((volume.shape(), volume.dtype()), (shape, dtype), "{name}");
        let found: f64 = volume.into_f32().unwrap().data.iter().map(|&value| f64::from(value)).sum();
        assert_eq!(found, sum, "{name}");
    }
    let message = read_any(folder.join("gonuclear/1135_mini.h5")).unwrap_err().to_string();
    assert!(message.contains("HDF5") && message.contains("TIFF"), "{message}");
}

#[test]
fn any_box_of_any_fixture_is_that_part_of_the_whole() {
    // A pseudorandom number below `most`, by Knuth's multiplier.
    let mut state = 1u64;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % most
    };
    for (name, truth) in expected() {
        if truth.get("error").is_some() {
            continue;
        }
        let path = fixtures().join("volumes").join(&name);
        let whole = read_any(&path).unwrap();
        let reader = VolumeReader::open(&path).unwrap();
        for _ in 0..12 {
            let ranges = whole.shape().map(|length| {
                let start = below(length);
                start..start + 1 + below(length - start)
            });
            let part = reader.part(ranges.clone()).unwrap();
            assert_eq!(part, whole.part(ranges.clone()).unwrap(), "{name} {ranges:?}");
        }
        assert_eq!(reader.part(reader.info().whole()).unwrap(), whole, "{name} after its parts");
        let [z, y, x] = whole.shape();
        for wrong in [[0..z + 1, 0..y, 0..x], [0..z, 0..y, x..x], [0..z, y..y + 1, 0..x]] {
            let error = reader.part(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{:?}", [z, y, x])), "{error}");
        }
    }
}

#[test]
fn a_value_that_is_no_label_is_placed_in_the_whole_volume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.npy");
    let mut ids = ndarray::Array3::<i64>::zeros((4, 5, 6));
    ids[[3, 2, 1]] = -7;
    cellseg_io::write_npy(&path, ids.view(), cellseg_io::Overwrite::Refuse).unwrap();
    let reader = VolumeReader::open(&path).unwrap();
    assert!(reader.part_labels([0..3, 0..5, 0..6]).is_ok());
    let error = reader.part_labels([2..4, 1..3, 1..4]).unwrap_err().to_string();
    assert!(error.contains("-7") && error.contains("(3, 2, 1)"), "{error}");
}
