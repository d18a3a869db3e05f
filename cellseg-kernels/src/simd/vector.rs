//! The lanes of the machines' vector registers, written once.

/// Defines lanes over a register type from its intrinsics, each pair of them for `f32` and `f64`.
///
/// `Real` is `f32` or `f64` and nothing else, and which one is known when the code is compiled: the branches on it vanish.
/// Values exist only where `Isa::run` has found the instructions on this machine, so that the intrinsics may be called:
/// this is what the `SAFETY` comments rely on. The functions `first` hold the parts that differ more: loads and stores of
/// some lanes; `exponent` moves the low bits of each number to where its exponent stands.
macro_rules! vector {
    (
        $(#[$doc:meta])*
        $name:ident: $single:ty, $double:ty,
        registers: $registers:literal,
        to_single: $to_single:path, to_double: $to_double:path,
        add: $add_s:path, $add_d:path,
        sub: $sub_s:path, $sub_d:path,
        mul: $mul_s:path, $mul_d:path,
        div: $div_s:path, $div_d:path,
        max: $max_s:path, $max_d:path,
        sum: $sum_s:path, $sum_d:path,
        mul_add: $fma_s:path, $fma_d:path,
        exponent: $exponent_s:path, $exponent_d:path,
        splat: $splat_s:path, $splat_d:path,
        load: $load:path, store: $store:path,
        first: $load_first:path, $store_first:path $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name<T>($single, std::marker::PhantomData<T>);

        impl<T: cellseg_core::Real> $name<T> {
            #[inline(always)]
            fn single(v: $single) -> Self {
                $name(v, std::marker::PhantomData)
            }

            #[inline(always)]
            fn double(v: $double) -> Self {
                // SAFETY: see the macro.
                Self::single(unsafe { $to_single(v) })
            }

            #[inline(always)]
            fn wide(self) -> $double {
                // SAFETY: see the macro.
                unsafe { $to_double(self.0) }
            }
        }

        vector!(@operator $name, Add, add, $add_s, $add_d);
        vector!(@operator $name, Sub, sub, $sub_s, $sub_d);
        vector!(@operator $name, Mul, mul, $mul_s, $mul_d);
        vector!(@operator $name, Div, div, $div_s, $div_d);

        impl<T: cellseg_core::Real> super::Lanes for $name<T> {
            type Elem = T;
            const N: usize = size_of::<$single>() / size_of::<T>();
            const REGISTERS: usize = $registers;

            #[inline(always)]
            fn splat(x: T) -> Self {
                let p = &raw const x;
                // SAFETY: `x` is of the type that is read; see the macro.
                unsafe {
                    match T::DTYPE {
                        cellseg_core::DType::F32 => Self::single($splat_s(*p.cast())),
                        _ => Self::double($splat_d(*p.cast())),
                    }
                }
            }

            #[inline(always)]
            unsafe fn load(p: *const T) -> Self {
                // SAFETY: the caller's promise, for as many bytes as the register has; any bytes are numbers.
                Self::single(unsafe { $load(p.cast()) })
            }

            #[inline(always)]
            unsafe fn load_first(p: *const T, count: usize) -> Self {
                // SAFETY: the caller's promise.
                Self::single(unsafe { $load_first(p, count) })
            }

            #[inline(always)]
            unsafe fn store(self, p: *mut T) {
                // SAFETY: the caller's promise, for as many bytes as the register has.
                unsafe { $store(p.cast(), self.0) }
            }

            #[inline(always)]
            unsafe fn store_first(self, p: *mut T, count: usize) {
                // SAFETY: the caller's promise.
                unsafe { $store_first(p, count, self.0) }
            }

            #[inline(always)]
            fn mul_add(self, factor: Self, addend: Self) -> Self {
                // SAFETY: see the macro.
                unsafe {
                    match T::DTYPE {
                        cellseg_core::DType::F32 => Self::single($fma_s(self.0, factor.0, addend.0)),
                        _ => Self::double($fma_d(self.wide(), factor.wide(), addend.wide())),
                    }
                }
            }

            #[inline(always)]
            fn power_of_two(self) -> Self {
                // The sum ends in the exponent's bits: its last place is worth one.
                match T::DTYPE {
                    cellseg_core::DType::F32 => {
                        let shifted = self + Self::splat(T::of(12_582_912.0 + 127.0));
                        // SAFETY: see the macro.
                        Self::single(unsafe { $exponent_s(shifted.0) })
                    }
                    _ => {
                        let shifted = self + Self::splat(T::of(6_755_399_441_055_744.0 + 1023.0));
                        // SAFETY: see the macro.
                        Self::double(unsafe { $exponent_d(shifted.wide()) })
                    }
                }
            }

            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: see the macro.
                unsafe {
                    match T::DTYPE {
                        cellseg_core::DType::F32 => Self::single($max_s(self.0, other.0)),
                        _ => Self::double($max_d(self.wide(), other.wide())),
                    }
                }
            }

            #[inline(always)]
            fn sum(self) -> T {
                // SAFETY: see the macro; the sum is of the type that is read.
                unsafe {
                    match T::DTYPE {
                        cellseg_core::DType::F32 => {
                            let sum = $sum_s(self.0);
                            (&raw const sum).cast::<T>().read()
                        }
                        _ => {
                            let sum = $sum_d(self.wide());
                            (&raw const sum).cast::<T>().read()
                        }
                    }
                }
            }
        }
    };
    (@operator $name:ident, $trait:ident, $method:ident, $single:path, $double:path) => {
        impl<T: cellseg_core::Real> std::ops::$trait for $name<T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: see the macro.
                unsafe {
                    match T::DTYPE {
                        cellseg_core::DType::F32 => Self::single($single(self.0, other.0)),
                        _ => Self::double($double(self.wide(), other.wide())),
                    }
                }
            }
        }
    };
}
pub(super) use vector;
