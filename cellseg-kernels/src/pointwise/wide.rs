//! Plain loops compiled for each instruction set.

/// Declares a function whose body is compiled for each instruction set, and which runs the one for this machine.
///
/// Loops in it, and in what it calls by `#[inline(always)]`, become vector instructions of that set. No rounding differs
/// between the sets, since the compiler joins no multiplication with an addition by itself. The function is for a piece
/// of work of some thousand numbers: it is not inlined into its caller.
macro_rules! wide {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$a:lifetime, T: Real $(, $g:ident: $bound:path)*>(
        $($arg:ident: $ty:ty),* $(,)?
    ) -> $out:ty $body:block) => {
        $(#[$doc])*
        $vis fn $name<$a, T: cellseg_core::Real $(, $g: $bound)*>($($arg: $ty),*) -> $out {
            struct Piece<$a, T $(, $g)*> {
                $($arg: $ty,)*
                of: std::marker::PhantomData<&$a T>,
            }
            impl<$a, T: cellseg_core::Real $(, $g: $bound)*> $crate::simd::Routine<T> for Piece<$a, T $(, $g)*> {
                type Output = $out;
                #[inline(always)]
                fn run<L: $crate::simd::Lanes<Elem = T>>(self) -> $out {
                    let Piece { $($arg,)* of: _ } = self;
                    $body
                }
            }
            $crate::simd::Isa::best().run::<T, _>(Piece { $($arg,)* of: std::marker::PhantomData })
        }
    };
}
pub(crate) use wide;
