//! Files that are cut short or changed: an error or a whole volume, never a short one, never a panic.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cellseg_io::{Error, read_any};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/volumes").join(name)).unwrap()
}

fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("v");
    fs::write(&path, bytes).unwrap();
    path
}

const KINDS: [&str; 8] = [
    "plain_u2_le.tif",
    "big_f4_be.tif",
    "zlib_u2_be_strips.tif",
    "zstd_f4_le_tiles.tif",
    "imagej_u2.tif",
    "imagej_one_ifd_be.tif",
    "ome_u4.tif",
    "fortran.npy",
];

#[test]
fn a_file_cut_short_anywhere_is_an_error_or_still_whole() {
    let folder = tempfile::tempdir().unwrap();
    for name in KINDS {
        let bytes = fixture(name);
        let whole = read_any(write(folder.path(), &bytes)).unwrap();
        // Every length up to the end of the first directories, and some of the others.
        for length in (0..bytes.len()).filter(|length| *length < 700 || length % 5 == 0) {
            match read_any(write(folder.path(), &bytes[..length])) {
                // Nothing that counts was cut off, such as padding at the end.
                Ok(volume) => assert_eq!(volume, whole, "{name} cut to {length} bytes"),
                Err(Error::Corrupt { .. } | Error::Unsupported { .. }) => {}
                Err(other) => panic!("{name} cut to {length} bytes: {other:?}"),
            }
        }
    }
}

#[test]
fn one_byte_short_of_a_big_imagej_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["imagej_one_ifd_le.tif", "imagej_one_ifd_be.tif"] {
        let bytes = fixture(name);
        let message = read_any(write(folder.path(), &bytes[..bytes.len() - 1])).unwrap_err().to_string();
        assert!(message.contains("promise 6 planes of 40 bytes"), "{message}");
    }
}

#[test]
fn a_changed_byte_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    for name in KINDS {
        let bytes = fixture(name);
        // Headers, directories and descriptions come first; values may be anything.
        for place in (0..bytes.len()).filter(|place| place % 3 == 0 || *place < 400) {
            let mut changed = bytes.clone();
            changed[place] ^= if place % 3 == 0 { 0xff } else { 1 << (place % 8) };
            let _ = read_any(write(folder.path(), &changed));
        }
    }
}

/// A classic TIFF of one directory, entries as (tag, type, count, value), and its data.
fn tiff(entries: &[(u16, u16, u32, u32)], data: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(data);
    bytes
}

#[test]
fn headers_that_lie_about_sizes_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let size = 100_000u32;
    for (compression, words) in
        [(1, "cannot hold"), (5, "cannot hold"), (8, "cannot hold"), (50_000, "cannot hold")]
    {
        let entries = [
            (256, 4, 1, size),
            (257, 4, 1, size),
            (258, 3, 1, 16),
            (259, 3, 1, compression),
            (262, 3, 1, 1),
            (273, 4, 1, 126),
            (278, 4, 1, size),
            (279, 4, 1, 16),
        ];
        let message = read_any(write(folder.path(), &tiff(&entries, &[0; 64]))).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let lists = [(256, 4, 1, 8), (257, 4, 1, 8), (273, 4, u32::MAX, 8), (279, 4, u32::MAX, 8)];
    let message = read_any(write(folder.path(), &tiff(&lists, &[0; 64]))).unwrap_err().to_string();
    assert!(message.contains("claims 4294967295 values"), "{message}");
    let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (99999, 99999, 99999)}\n";
    let mut npy = b"\x93NUMPY\x01\0".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    let message = read_any(write(folder.path(), &npy)).unwrap_err().to_string();
    assert!(message.contains("does not fit into its"), "{message}");
}

#[test]
fn directories_in_a_circle_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let entries =
        [(256, 4, 1, 2), (257, 4, 1, 2), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 86), (279, 4, 1, 4)];
    let mut bytes = tiff(&entries, &[1; 4]);
    bytes[82..86].copy_from_slice(&8u32.to_le_bytes());
    let message = read_any(write(folder.path(), &bytes)).unwrap_err().to_string();
    assert!(message.contains("circle"), "{message}");
}

#[test]
fn deeply_nested_metadata_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let deep = [format!("<OME>{}", "<a>".repeat(200_000)), format!("{{\"shape\": {}", "[".repeat(200_000))];
    for text in deep {
        let entries = [
            (256, 4, 1, 2),
            (257, 4, 1, 2),
            (258, 3, 1, 8),
            (262, 3, 1, 1),
            (270, 2, text.len() as u32, 98),
            (273, 4, 1, 98),
            (279, 4, 1, 4),
        ];
        assert!(read_any(write(folder.path(), &tiff(&entries, text.as_bytes()))).is_err());
    }
    let mut npy = b"\x93NUMPY\x01\0".to_vec();
    npy.extend(9_998u16.to_le_bytes());
    npy.extend("(".repeat(9_997).bytes().chain([b'\n']));
    assert!(read_any(write(folder.path(), &npy)).is_err());
}
