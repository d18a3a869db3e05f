use rayon::ThreadPoolBuilder;

use super::*;

/// The 64-bit FNV-1a hash of a sequence of words, each as four little-endian bytes.
fn fnv1a(words: impl Iterator<Item = u32>) -> u64 {
    words.flat_map(u32::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[test]
fn volume_is_the_same_bit_for_bit_with_any_number_of_threads() {
    let expected = make(&small(5));
    for threads in [1, 2, 3] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let synth = pool.install(|| make(&small(5)));
        assert_eq!(synth.image, expected.image, "{threads} threads");
        assert_eq!(synth.labels, expected.labels, "{threads} threads");
        assert_eq!(synth.nuclei, expected.nuclei, "{threads} threads");
    }
}

#[test]
fn default_volume_has_the_checksum_that_was_published() {
    let synth = make(&SynthOptions::default());
    let image = fnv1a(synth.image.iter().map(|v| v.to_bits()));
    let labels = fnv1a(synth.labels.iter().copied());
    assert_eq!(
        (image, labels),
        (4_626_184_883_304_297_378, 17_427_582_699_480_179_731),
        "a change of these values is a change for users: changelog"
    );
}

#[test]
fn another_seed_makes_another_volume() {
    let (a, b) = (make(&small(1)), make(&small(2)));
    assert_ne!(a.nuclei[0].centre_um, b.nuclei[0].centre_um);
    let equal = a.image.iter().zip(&b.image).filter(|(a, b)| a == b).count();
    assert!(equal < a.image.len() / 10, "{equal} voxels are equal");
}

#[test]
fn more_slices_below_leave_the_noise_of_those_above_as_it_was() {
    let shallow = make(&flat(20.0));
    let deep = make(&SynthOptions { shape: [40, 64, 64], ..flat(20.0) });
    assert_eq!(deep.image.slice(s![..32, .., ..]), shallow.image);
}
