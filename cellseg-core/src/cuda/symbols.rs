//! What a library that is loaded at run time offers, asked before `cudarc` calls it: it panics over what is missing.

use libloading::Library;

/// Whether the library has a function of this name, which ends with a zero.
pub(super) fn has(library: &Library, name: &[u8]) -> bool {
    // SAFETY: the symbol is looked up and not called.
    unsafe { library.get::<unsafe extern "C" fn()>(name) }.is_ok()
}

/// The first of these functions that the library has not.
pub(super) fn missing(library: &Library, names: &[&[u8]]) -> Option<String> {
    let name = names.iter().find(|name| !has(library, name))?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').into())
}
