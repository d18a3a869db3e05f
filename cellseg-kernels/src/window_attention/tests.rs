use super::{
    cases::{CASES, Case, TOLERANCE},
    *,
};
use crate::pointwise::checks::{check, told};
use cellseg_core::{Error, testing::noise};

impl Case {
    fn settings(&self) -> WindowAttention {
        WindowAttention { heads: self.heads, window: self.window, scale: None, regions: None }
    }
}

/// The attention by its formula; `mask` is what is added to the score of two tokens of a window.
fn expected(
    case: &Case,
    qkv: &[f64],
    table: Option<&[f64]>,
    mask: impl Fn(usize, usize, usize) -> f64,
) -> Vec<f64> {
    let Case { windows, heads, dim, window, tokens } = *case;
    let (index, all) = (relative_position_index(window), window.iter().product::<usize>());
    let part = |w: usize, t: usize, part: usize, h: usize| {
        &qkv[(((w * tokens + t) * 3 + part) * heads + h) * dim..][..dim]
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut out = vec![0.0; windows * tokens * heads * dim];
    for (w, i, h) in
        (0..windows).flat_map(|w| (0..tokens).flat_map(move |i| (0..heads).map(move |h| (w, i, h))))
    {
        let weight = |j: usize| {
            let bias = table.map_or(0.0, |t| t[index[i * all + j] * heads + h]);
            (dot(part(w, i, 0, h), part(w, j, 1, h)) / (dim as f64).sqrt() + bias + mask(w, i, j)).exp()
        };
        let sum: f64 = (0..tokens).map(weight).sum();
        let out = &mut out[((w * tokens + i) * heads + h) * dim..][..dim];
        for j in 0..tokens {
            out.iter_mut().zip(part(w, j, 2, h)).for_each(|(o, v)| *o += weight(j) / sum * v);
        }
    }
    out
}

#[test]
fn outputs_and_gradients_are_those_of_the_formula() {
    for case in CASES {
        let settings = case.settings();
        check(
            &[noise(&case.qkv(), 1), noise(&case.table(), 2)],
            TOLERANCE,
            |v| window_attention(&v[0], Some(&v[1]), &settings),
            |v| expected(case, &v[0], Some(&v[1]), |_, _, _| 0.0),
        );
        check(
            &[noise(&case.qkv(), 1)],
            TOLERANCE,
            |v| window_attention(&v[0], None, &settings),
            |v| expected(case, &v[0], None, |_, _, _| 0.0),
        );
    }
}

#[test]
fn tokens_of_other_regions_are_not_attended_to() -> Result<()> {
    // Windows of 2 x 3 x 2 in a volume that they do not fill, for a batch of two.
    let windows = Windows::new([3, 5, 4], [2, 3, 2], [1, 1, 1])?;
    let case = Case { windows: 2 * windows.count(), heads: 2, dim: 6, window: [2, 3, 2], tokens: 12 };
    let regions = windows.regions().ok_or(Error::Gradient("a shift has regions"))?;
    let settings = WindowAttention { regions: Some(Arc::new(regions.clone())), ..case.settings() };
    let of = regions.as_slice();
    let region = |w: usize, t: usize| of[w % windows.count() * 12 + t];
    check(
        &[noise(&case.qkv(), 1), noise(&case.table(), 2)],
        TOLERANCE,
        |v| window_attention(&v[0], Some(&v[1]), &settings),
        |v| {
            expected(
                &case,
                &v[0],
                Some(&v[1]),
                |w, i, j| {
                    if region(w, i) == region(w, j) { 0.0 } else { -100.0 }
                },
            )
        },
    );
    Ok(())
}

#[test]
fn scores_of_any_size_neither_overflow_nor_vanish() -> Result<()> {
    // One key outweighs all others by far, for each query another one.
    let (tokens, dim) = (40, 40);
    let qkv = Tensor::build(&[1, tokens, 3 * dim], |qkv: &mut [f32]| {
        for (t, qkv) in qkv.chunks_exact_mut(3 * dim).enumerate() {
            qkv.fill(0.0);
            qkv[t] = 1e4;
            qkv[dim + t] = 1e4;
            qkv[2 * dim..].fill(t as f32);
        }
        Ok(())
    })?;
    let settings = WindowAttention { heads: 1, window: [1, 1, tokens], scale: None, regions: None };
    let y = window_attention(&qkv, None, &settings)?.to_vec::<f32>()?;
    for (t, row) in y.chunks(dim).enumerate() {
        // Nothing is less than exp(-87).
        assert!(row.iter().all(|y| (*y - t as f32).abs() < 1e-30), "token {t}: {row:?}");
    }
    Ok(())
}

#[test]
fn what_is_not_a_number_spoils_its_window_and_head_only() -> Result<()> {
    let mut qkv = noise(&[2, 8, 3 * 2 * 4], 1);
    qkv.as_mut_slice::<f64>()?[8 + 5] = f64::NAN; // a key of the second head of the first window
    let settings = WindowAttention { heads: 2, window: [2; 3], scale: None, regions: None };
    let y = window_attention(&qkv, None, &settings)?.to_vec::<f64>()?;
    for (i, y) in y.iter().enumerate() {
        assert_eq!(y.is_nan(), i < 64 && i % 8 >= 4, "number {i}");
    }
    Ok(())
}

#[test]
fn windows_put_together_again_are_the_volume() -> Result<()> {
    for (volume, window, shift) in [
        ([1, 1, 1], [1, 1, 1], [0; 3]),
        ([4, 6, 8], [2, 3, 4], [0; 3]),
        ([5, 7, 3], [2, 3, 2], [1, 2, 1]),
        ([3, 9, 5], [7, 4, 5], [3, 1, 2]),
    ] {
        let windows = Windows::new(volume, window, shift)?;
        let x = noise(&[2, volume[0], volume[1], volume[2], 3], 1);
        let y = partition(&x, &windows)?;
        assert_eq!(y.shape().dims(), [2 * windows.count(), windows.tokens(), 3]);
        assert_eq!(reverse(&y, &windows)?.to_vec::<f64>()?, x.to_vec::<f64>()?);
        cellseg_core::testing::check_gradients(&[x], 1e-9, |v| partition(&v[0], &windows));
        cellseg_core::testing::check_gradients(&[y], 1e-9, |v| reverse(&v[0], &windows));
    }
    Ok(())
}

#[test]
fn mistakes_name_what_was_given_and_what_is_expected() -> Result<()> {
    let (qkv, table) = (noise(&[2, 8, 24], 1), noise(&[27, 2], 2));
    let settings = WindowAttention { heads: 2, window: [2; 3], scale: None, regions: None };
    let with = |settings: WindowAttention| told(window_attention(&qkv, Some(&table), &settings));
    assert!(with(WindowAttention { heads: 5, ..settings.clone() }).contains("5 heads"));
    assert!(with(WindowAttention { heads: 0, ..settings.clone() }).contains("0 heads"));
    assert!(with(WindowAttention { window: [3; 3], ..settings.clone() }).contains("[125, 2] is expected"));
    assert!(with(WindowAttention { scale: Some(f64::NAN), ..settings.clone() }).contains("finite"));
    let regions = Windows::new([4; 3], [2; 3], [1; 3])?.regions().map(Arc::new);
    assert!(with(WindowAttention { regions, ..settings.clone() }).contains("regions of 8 windows"));
    let many = told(window_attention(&noise(&[1, 9, 24], 1), Some(&table), &settings));
    assert!(many.contains("9 tokens"));
    assert!(Windows::new([4; 3], [2; 3], [2, 0, 0]).is_err());
    let windows = Windows::new([4; 3], [2; 3], [0; 3])?;
    assert!(told(partition(&noise(&[1, 4, 4, 5, 1], 1), &windows)).contains("[4, 4, 4]"));
    assert!(told(reverse(&noise(&[7, 8, 1], 1), &windows)).contains("[n * 8, 8, c]"));
    Ok(())
}

#[test]
fn no_windows_pass_through() -> Result<()> {
    let settings = WindowAttention { heads: 2, window: [2; 3], scale: None, regions: None };
    assert_eq!(window_attention(&noise(&[0, 8, 24], 1), None, &settings)?.shape().dims(), [0, 8, 8]);
    Ok(())
}
