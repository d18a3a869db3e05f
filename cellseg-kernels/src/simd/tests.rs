use super::{Isa, Lanes, Routine};
use cellseg_core::Real;

/// What each operation makes of some numbers, lane by lane, for as many lanes as the set has.
struct Operations<'a, T> {
    a: &'a [T],
    b: &'a [T],
}

/// Results of one operation with what they should be.
type Row<T> = (&'static str, Vec<T>, Vec<T>);

impl<T: Real> Routine<T> for Operations<'_, T> {
    type Output = Vec<Row<T>>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Vec<Row<T>> {
        let (x, y) = (&self.a[..L::N], &self.b[..L::N]);
        let (a, b) = (L::from_slice(x), L::from_slice(y));
        let lanes = |v: L| {
            let mut out = vec![T::nan(); L::N];
            v.write(&mut out);
            out
        };
        let each = |f: fn(T, T) -> T| x.iter().zip(y).map(|(&a, &b)| f(a, b)).collect::<Vec<T>>();
        let mut rows = vec![
            ("add", lanes(a + b), each(|a, b| a + b)),
            ("sub", lanes(a - b), each(|a, b| a - b)),
            ("mul", lanes(a * b), each(|a, b| a * b)),
            ("div", lanes(a / b), each(|a, b| a / b)),
            ("max", lanes(a.max(b)), each(|a, b| if a > b { a } else { b })),
            ("power", lanes(a.power_of_two()), x.iter().map(|a| T::of(2f64.powf(a.wide()))).collect()),
            ("splat", lanes(L::splat(x[1])), vec![x[1]; L::N]),
            ("sum", vec![a.sum()], vec![x.iter().copied().sum()]),
        ];
        for count in 0..=L::N {
            let mut expected = vec![T::zero(); L::N];
            expected[..count].copy_from_slice(&x[..count]);
            rows.push(("partial load", lanes(L::from_slice(&x[..count])), expected));
            let (mut out, mut expected) = (y.to_vec(), y.to_vec());
            a.write(&mut out[..count]);
            expected[..count].copy_from_slice(&x[..count]);
            rows.push(("partial store", out, expected));
        }
        rows
    }
}

/// `a * b + c`, and how many lanes there are.
struct MultiplyAdd<T>(T, T, T);

impl<T: Real> Routine<T> for MultiplyAdd<T> {
    type Output = (T, usize);

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> (T, usize) {
        let mut out = vec![T::zero(); L::N];
        L::splat(self.0).mul_add(L::splat(self.1), L::splat(self.2)).write(&mut out);
        assert!(out.iter().all(|x| *x == out[0]));
        (out[0], L::N)
    }
}

fn check<T: Real>() {
    // Small whole numbers: sums and products are exact, so every set must give the same bits.
    let a: Vec<T> = (0..16).map(|i| T::of(f64::from(i * 7 % 11) - 3.0)).collect();
    let b: Vec<T> = (0..16).map(|i| T::of(f64::from(1 << (i % 4)))).collect();
    for isa in Isa::available() {
        for (operation, got, expected) in isa.run(Operations { a: &a, b: &b }) {
            assert_eq!(got, expected, "{operation} of {}", isa.name());
        }
        let (sum, lanes) = isa.run(MultiplyAdd(T::of(3.0), T::of(5.0), T::of(7.0)));
        assert_eq!((sum, lanes), (T::of(22.0), isa.lanes::<T>()));
    }
}

#[test]
fn every_set_computes_what_plain_numbers_do() {
    check::<f32>();
    check::<f64>();
}

#[test]
fn max_takes_the_second_where_either_is_not_a_number() {
    struct Max(f32, f32);
    impl Routine<f32> for Max {
        type Output = f32;
        #[inline(always)]
        fn run<L: Lanes<Elem = f32>>(self) -> f32 {
            let mut out = [0.0];
            L::splat(self.0).max(L::splat(self.1)).write(&mut out);
            out[0]
        }
    }
    for isa in Isa::available() {
        assert_eq!(isa.run(Max(f32::NAN, 1.0)), 1.0, "{}", isa.name());
        assert!(isa.run(Max(1.0, f32::NAN)).is_nan(), "{}", isa.name());
    }
}

#[test]
fn the_best_set_is_one_of_those_available() {
    let sets = Isa::available();
    assert_eq!(sets[0], Isa::SCALAR);
    assert!(sets.contains(&Isa::best()));
}
