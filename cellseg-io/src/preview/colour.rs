//! Colours of labels.

use image::Rgb;

/// The colour of a label: always the same, and far from those of the next labels.
///
/// Hues follow the golden angle, so that any run of labels spreads evenly over the circle; saturation and
/// brightness vary over three steps, so that labels of nearly the same hue differ in them. Label 0, the
/// background, is black.
pub fn label_colour(label: u32) -> Rgb<u8> {
    if label == 0 {
        return Rgb([0, 0, 0]);
    }
    // The golden angle as a part of the circle.
    let turn = f64::from(label) * 0.618_033_988_749_895;
    let (saturation, value) = [(0.65, 1.0), (0.95, 1.0), (0.8, 0.8)][label as usize % 3];
    hsv(turn.fract(), saturation, value)
}

/// A colour by hue, saturation and value, each from 0 to 1 (Smith 1978).
fn hsv(hue: f64, saturation: f64, value: f64) -> Rgb<u8> {
    // The distance of the hue from red, green and blue in sixths of the circle, 3 at most.
    let channel = |offset: f64| {
        let k = (offset + hue * 6.0) % 6.0;
        let level = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (level * 255.0).round() as u8
    };
    Rgb([channel(5.0), channel(3.0), channel(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_hues_are_where_they_belong() {
        assert_eq!(hsv(0.0, 1.0, 1.0), Rgb([255, 0, 0]));
        assert_eq!(hsv(1.0 / 3.0, 1.0, 1.0), Rgb([0, 255, 0]));
        assert_eq!(hsv(2.0 / 3.0, 1.0, 1.0), Rgb([0, 0, 255]));
        assert_eq!(hsv(0.5, 0.0, 0.5), Rgb([128, 128, 128]));
    }

    #[test]
    fn the_next_eight_labels_differ_clearly() {
        for label in 1..2000u32 {
            for other in label + 1..=label + 8 {
                let distance: u32 =
                    (0..3).map(|c| u32::from(label_colour(label)[c].abs_diff(label_colour(other)[c]))).sum();
                assert!(distance >= 60, "labels {label} and {other} differ by {distance}");
            }
        }
    }

    #[test]
    fn no_label_looks_like_background() {
        assert!((1..5000).all(|label| label_colour(label).0.into_iter().max() >= Some(200)));
    }
}
