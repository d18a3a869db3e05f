//! What a launch consists of: the text of a kernel, the shape of its grid, and its arguments.

use super::{CudaBuffer, TensorMap};
use std::mem::MaybeUninit;

/// The text of a file of CUDA C++ device code.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The file's path below its crate's `src`, which names it in messages.
    pub name: &'static str,
    /// The file's text, which includes nothing: the prelude of `cellseg-core` is put before it.
    pub text: &'static str,
}

/// The [`cuda::Source`](crate::cuda::Source) of a file below the calling crate's `src`.
///
/// ```ignore
/// const FORWARD: Source = cuda_source!("conv3d/forward.cu");
/// ```
#[macro_export]
macro_rules! cuda_source {
    ($name:literal) => {
        $crate::cuda::Source {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $name)),
        }
    };
}

/// One launch of a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The file that holds the kernel.
    pub source: &'a Source,
    /// What the file is compiled with, as `-Dname=value`: the element type and the choices made at compile time. Each
    /// combination must be one of the `// instances:` lines at the head of the file.
    pub defines: &'a [(&'static str, &'a str)],
    /// The kernel's name.
    pub kernel: &'a str,
    /// Blocks along x (up to 2^31 - 1), y and z (up to 65,535 each).
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: u32,
    /// Bytes of dynamic shared memory.
    pub shared: usize,
}

/// A value that is copied into the arguments of a launch.
///
/// # Safety
/// The device sees the value's bytes as they are, so its type must have the same layout in device code: a number, or a
/// `#[repr(C)]` struct of such, of at most 4,096 bytes and aligned to at most 16.
pub unsafe trait Value: Copy {}

macro_rules! values {
    ($($t:ty),*) => { $(
        // SAFETY: the device's numbers of the same width have the same layout.
        unsafe impl Value for $t {}
    )* };
}
values!(i32, u32, i64, u64, f32);

/// Room for an argument, aligned for any of them.
#[repr(align(16))]
#[derive(Clone, Copy)]
struct Word {
    // Only the driver reads it, through the pointer below: padding of a struct may stay unspecified.
    _bytes: MaybeUninit<[u8; 16]>,
}

/// The arguments of a kernel, in the order of its parameters.
#[derive(Default)]
pub struct Arguments {
    words: Vec<Word>,
    starts: Vec<usize>,
}

impl Arguments {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// A pointer to numbers that the kernel reads.
    pub fn input(self, buffer: &CudaBuffer) -> Self {
        self.value(buffer.address())
    }

    /// A pointer to numbers that the kernel writes.
    pub fn output(self, buffer: &mut CudaBuffer) -> Self {
        self.value(buffer.address())
    }

    /// A pointer to numbers that the kernel reads, or a null pointer.
    pub fn optional(self, buffer: Option<&CudaBuffer>) -> Self {
        self.value(buffer.map_or(0, CudaBuffer::address))
    }

    /// A tensor as the copy engine sees it, by value.
    pub fn map(self, map: &TensorMap) -> Self {
        self.value(map.bytes())
    }

    /// A number or a struct by value.
    pub fn value<T: Value>(mut self, value: T) -> Self {
        let start = self.words.len();
        self.starts.push(start);
        let words = size_of::<T>().div_ceil(size_of::<Word>());
        self.words.resize(start + words, Word { _bytes: MaybeUninit::uninit() });
        // SAFETY: the words just added hold at least the size of `T`, are aligned to 16 bytes, which a `Value` does not
        // exceed, and are nobody else's.
        unsafe { self.words.as_mut_ptr().add(start).cast::<T>().write(value) };
        self
    }

    /// `N` pointers to numbers that the kernel reads as one argument, a struct of that array by value; null where fewer
    /// are given. Of more than `N` the first `N` are passed.
    pub fn inputs<const N: usize>(self, buffers: &[&CudaBuffer]) -> Self {
        self.array::<N>(buffers.iter().map(|b| b.address()))
    }

    /// The same for numbers that the kernel writes.
    pub fn outputs<const N: usize>(self, buffers: &mut [&mut CudaBuffer]) -> Self {
        self.array::<N>(buffers.iter().map(|b| b.address()))
    }

    fn array<const N: usize>(self, addresses: impl Iterator<Item = u64>) -> Self {
        #[repr(C)]
        #[derive(Clone, Copy)]
        struct Addresses<const N: usize>([u64; N]);
        // SAFETY: an array of numbers.
        unsafe impl<const N: usize> Value for Addresses<N> {}
        let mut at = [0; N];
        for (at, address) in at.iter_mut().zip(addresses) {
            *at = address;
        }
        self.value(Addresses(at))
    }

    /// Where each argument lies, as the driver wants it. Valid as long as `self` is neither moved nor added to.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn pointers(&mut self) -> Vec<*mut std::ffi::c_void> {
        let base = self.words.as_mut_ptr();
        // SAFETY: every start is an index into the words.
        self.starts.iter().map(|&start| unsafe { base.add(start) }.cast()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Geometry {
        small: i32,
        large: [i64; 4],
    }
    // SAFETY: a `repr(C)` struct of numbers.
    unsafe impl Value for Geometry {}

    #[test]
    fn arguments_lie_where_their_pointers_say() {
        let geometry = Geometry { small: 3, large: [1, 2, 3, 1 << 40] };
        let mut arguments = Arguments::new().value(7i32).value(geometry).optional(None).value(0.5f32);
        let at = arguments.pointers();
        assert_eq!(at.len(), 4);
        // SAFETY: the pointers are to values of these types, written above.
        unsafe {
            assert_eq!(at[0].cast::<i32>().read(), 7);
            let read = at[1].cast::<Geometry>().read();
            assert_eq!((read.small, read.large), (3, geometry.large));
            assert_eq!(at[2].cast::<u64>().read(), 0);
            assert_eq!(at[3].cast::<f32>().read(), 0.5);
        }
    }
}
