use super::*;
use crate::Error;

/// Options that differ from the small volume's in one respect.
fn with(change: impl FnOnce(&mut SynthOptions)) -> SynthOptions {
    let mut options = small(0);
    change(&mut options);
    options
}

#[test]
fn options_out_of_range_are_errors_that_name_the_option() {
    let cases = [
        ("shape", with(|o| o.shape = [0, 64, 64])),
        ("shape", with(|o| o.shape = [usize::MAX, 2, 2])),
        ("shape", with(|o| o.shape = [1, 1, usize::MAX / 8])),
        ("spacing_um", with(|o| o.spacing_um[1] = 0.0)),
        ("spacing_um", with(|o| o.spacing_um[0] = f64::NAN)),
        ("spacing_um", with(|o| o.spacing_um[0] = f64::INFINITY)),
        ("semi_axes_um", with(|o| o.semi_axes_um = [0.0, 5.0])),
        ("semi_axes_um", with(|o| o.semi_axes_um = [5.0, 4.0])),
        ("semi_axes_um", with(|o| o.semi_axes_um = [f64::NAN, 4.0])),
        ("semi_axes_um", with(|o| o.semi_axes_um = [0.9, 4.0])),
        ("semi_axes_um", with(|o| o.semi_axes_um = [4.0, 17.0])),
        ("semi_axes_um", with(|o| o.shape = [1, 64, 64])),
        ("nuclei", with(|o| o.nuclei = 80)),
        ("nuclei", with(|o| o.nuclei = usize::MAX)),
        ("clustering", with(|o| o.clustering = 1.1)),
        ("compression", with(|o| o.compression = 0.5)),
        ("brightness", with(|o| o.brightness = [100.0, 50.0])),
        ("brightness", with(|o| o.brightness = [-1.0, 50.0])),
        ("texture", with(|o| o.texture = -0.1)),
        ("texture_scale_um", with(|o| o.texture_scale_um = 0.0)),
        ("background", with(|o| o.background = f64::NAN)),
        ("unevenness", with(|o| o.unevenness = 2.0)),
        ("background_scale_um", with(|o| o.background_scale_um = f64::NAN)),
        ("light_at_bottom", with(|o| o.light_at_bottom = 0.0)),
        ("psf_sigma_um", with(|o| o.psf_sigma_um[2] = 1e9)),
        ("psf_sigma_um", with(|o| o.psf_sigma_um[0] = -1.0)),
        ("camera_offset", with(|o| o.camera_offset = -5.0)),
        ("gain", with(|o| o.gain = 0.0)),
        ("read_noise", with(|o| o.read_noise = f64::INFINITY)),
    ];
    for (name, options) in cases {
        match generate(&options) {
            Err(Error::Argument(text)) => assert!(text.contains(&format!("`{name}` is")), "{text}"),
            other => panic!("{options:?} gives {:?}", other.map(|_| "a volume")),
        }
    }
}

#[test]
fn error_says_what_was_given_and_what_would_do() {
    let error = generate(&with(|o| o.nuclei = 80)).unwrap_err().to_string();
    assert!(error.contains("`nuclei` is 80") && error.contains("at most 52"), "{error}");
}

#[test]
fn nuclei_that_find_no_room_are_an_error_that_counts_those_placed() {
    // Equal balls placed at random jam when about 0.4 of the volume is full.
    let options =
        SynthOptions { nuclei: 420, semi_axes_um: [4.2; 2], compression: 0.0, ..Default::default() };
    let error = generate(&options).unwrap_err().to_string();
    let placed = error.strip_prefix("only ").and_then(|rest| rest.split_once(" of 420 nuclei found room"));
    let placed: usize = placed.unwrap_or_else(|| panic!("{error}")).0.parse().unwrap();
    assert!((300..400).contains(&placed), "{placed}");
}

#[test]
fn volume_larger_than_memory_is_an_error() {
    let options = with(|o| {
        o.shape = [1 << 18, 1 << 18, 1 << 18];
        o.nuclei = 100;
    });
    let error = generate(&options).unwrap_err().to_string();
    assert!(error.contains("need 72057594037927936 bytes of memory"), "{error}");
}

#[test]
fn smallest_volumes_can_be_made_without_nuclei() {
    for shape in [[1, 1, 1], [1, 7, 1], [5, 1, 1], [1, 1, 9]] {
        let synth = make(&SynthOptions { shape, psf_sigma_um: [0.3; 3], ..flat(10.0) });
        assert_eq!(synth.image.shape(), shape);
        assert!(synth.labels.iter().all(|&l| l == 0) && synth.nuclei.is_empty());
    }
}

#[test]
fn configuration_takes_defaults_for_what_it_leaves_out_and_refuses_what_it_does_not_know() {
    let options: SynthOptions = serde_json::from_str(r#"{"seed": 9, "nuclei": 12}"#).unwrap();
    assert_eq!(options, SynthOptions { seed: 9, nuclei: 12, ..Default::default() });
    let written = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<SynthOptions>(&written).unwrap(), options);
    let error = serde_json::from_str::<SynthOptions>(r#"{"nucleus": 12}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `nucleus`"), "{error}");
}
