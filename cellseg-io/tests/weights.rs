//! Weights that PyTorch and safetensors wrote, bit for bit; and files made to do harm.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cellseg_io::{Error, Overwrite, Weights};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Shape and bits of each tensor, so that NaNs and signs of zero count.
fn bits(weights: &Weights) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let bits =
        |array: &ArrayD<f32>| (array.shape().to_vec(), array.iter().map(|value| value.to_bits()).collect());
    weights.tensors.iter().map(|(name, array)| (name.clone(), bits(array))).collect()
}

#[test]
fn every_bit_is_what_pytorch_has() {
    let text = std::fs::read_to_string(fixtures().join("weights.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() > 8);
    for (name, truth) in expected {
        let weights = Weights::open(fixtures().join("weights").join(&name)).unwrap();
        let tensors: BTreeMap<String, (Vec<usize>, Vec<u32>)> =
            serde_json::from_value(truth["tensors"].clone()).unwrap();
        assert_eq!(bits(&weights), tensors, "{name}");
        assert_eq!(serde_json::json!(weights.metadata), truth["metadata"], "{name}");
    }
}

#[test]
fn hostile_files_are_clear_errors_within_a_second() {
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures().join("weights")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("hostile") {
            continue;
        }
        count += 1;
        let start = Instant::now();
        let error = Weights::open(&path).expect_err(&name);
        assert!(start.elapsed() < Duration::from_secs(1), "{name} took {:?}", start.elapsed());
        assert!(matches!(error, Error::Corrupt { .. } | Error::Unsupported { .. }), "{name}: {error}");
        assert!(error.to_string().contains(&name), "{error}");
    }
    assert_eq!(count, 19);
    assert!(!Path::new("PWNED").exists());
}

#[test]
fn each_refusal_gives_its_reason() {
    for (name, words) in [
        ("hostile_command.pth", "posix.system"),
        ("hostile_eval.pth", "builtins.eval"),
        ("hostile_laughs.pth", "too many entries|nested more than 16 deep"),
        ("hostile_length.pth", "ends too early"),
        ("hostile_deep.pth", "nested more than 16 deep"),
        ("hostile_itself.pth", "nested more than 16 deep"),
        ("hostile_shape.pth", "tensor w of shape [2147483647, 2147483647] is larger"),
        ("hostile_huge.pth", "tensor w of shape [268435455] is larger"),
        ("hostile_offset.pth", "tensor w reaches outside of its storage"),
        ("hostile_stride.pth", "tensor w reaches outside of its storage"),
        ("hostile_storage.pth", "torch.EvilStorage"),
        ("hostile_opcode.pth", "0xff"),
        ("hostile_compressed.pth", "compressed"),
        ("large_integer.pth", "tensor w holds 16777217"),
        ("large_double.pth", "tensor w holds 1e300"),
        ("no_tensors.pth", "no tensors"),
        ("module.pth", "torch.nn.modules.container.Sequential"),
        ("legacy.pth", "before its version 1.6"),
        ("script.pth", "TorchScript"),
    ] {
        let message = Weights::open(fixtures().join("weights").join(name)).unwrap_err().to_string();
        assert!(words.split('|').any(|words| message.contains(words)), "{name}: {message}");
    }
}

#[test]
fn other_files_are_refused_by_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    for (bytes, words) in [
        (&b""[..], "empty"),
        (b"\x1f\x8b\x08rest of it", "gzip"),
        (b"just some text", "neither safetensors nor a PyTorch checkpoint"),
        (b"PK\x03\x04 but no archive", "zip archive"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "damaged or incomplete"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = Weights::open(&path).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("w.pth"), "{message}");
    }
    assert!(matches!(Weights::open(folder.path().join("none.pth")), Err(Error::Read { .. })));
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["state_dict.pth", "mixed.safetensors"] {
        let whole = std::fs::read(fixtures().join("weights").join(name)).unwrap();
        let path = folder.path().join(name);
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Weights::open(&path).is_err(), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn a_changed_byte_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["plain_tensor.pth", "mixed.safetensors"] {
        let whole = std::fs::read(fixtures().join("weights").join(name)).unwrap();
        let path = folder.path().join(name);
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= [1, 0x80, 0xff][place % 3];
            std::fs::write(&path, &bytes).unwrap();
            let _ = Weights::open(&path);
        }
    }
}

#[test]
fn a_part_can_be_taken_by_its_prefix() {
    let weights = Weights::open(fixtures().join("weights/two_parts.pth")).unwrap();
    assert_eq!(weights.under("a").tensors.keys().collect::<Vec<_>>(), ["w"]);
    assert!(weights.under("w").tensors.is_empty());
}

#[test]
fn the_same_weights_give_the_same_file_and_an_existing_one_is_kept() {
    let weights = Weights::open(fixtures().join("weights/checkpoint.pth")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.safetensors"), folder.path().join("2.safetensors"));
    weights.save(&first, Overwrite::Refuse).unwrap();
    weights.clone().save(&second, Overwrite::Refuse).unwrap();
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    assert!(matches!(weights.save(&first, Overwrite::Refuse), Err(Error::Exists { .. })));
    // The format's own reader, besides ours, takes it.
    let bytes = std::fs::read(&first).unwrap();
    let reader = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reader.len(), weights.tensors.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn saved_weights_come_back_bit_for_bit(
        tensors in proptest::collection::btree_map(
            "[a-z\\.\"\\\\é]{1,12}",
            (proptest::collection::vec(0usize..4, 0..4), any::<u32>()),
            0..6,
        ),
        metadata in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
    ) {
        let array = |(shape, seed): (Vec<usize>, u32)| {
            let count = shape.iter().product::<usize>() as u32;
            let bits = (0..count).map(|k| f32::from_bits(seed.wrapping_mul(2_654_435_761).wrapping_add(k * 0x0101_0107)));
            ArrayD::from_shape_vec(IxDyn(&shape), bits.collect()).unwrap()
        };
        let tensors = tensors.into_iter().map(|(name, tensor)| (name, array(tensor))).collect();
        let weights = Weights { tensors, metadata };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        weights.save(&path, Overwrite::Refuse).unwrap();
        let back = Weights::open(&path).unwrap();
        prop_assert_eq!(bits(&back), bits(&weights));
        prop_assert_eq!(back.metadata, weights.metadata);
    }
}
