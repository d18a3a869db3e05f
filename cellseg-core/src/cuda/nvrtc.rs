//! The run-time compiler's library: where it is looked for, and what it can compile for.

use super::{driver, symbols::missing};
use crate::{Error, Result};
use cudarc::nvrtc::sys;
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Every function of the library that this crate calls, itself or through `cudarc`.
const FUNCTIONS: [&[u8]; 13] = [
    b"nvrtcVersion\0",
    b"nvrtcGetNumSupportedArchs\0",
    b"nvrtcGetSupportedArchs\0",
    b"nvrtcGetErrorString\0",
    b"nvrtcCreateProgram\0",
    b"nvrtcCompileProgram\0",
    b"nvrtcDestroyProgram\0",
    b"nvrtcGetProgramLogSize\0",
    b"nvrtcGetProgramLog\0",
    b"nvrtcGetPTXSize\0",
    b"nvrtcGetPTX\0",
    b"nvrtcGetCUBINSize\0",
    b"nvrtcGetCUBIN\0",
];

/// Names a directory that holds libnvrtc.
const DIRECTORY: &str = "CELLSEG_NVRTC_DIR";

/// The compute capabilities of embedded boards, as `87` for 8.7.
const EMBEDDED: [u32; 5] = [53, 62, 72, 87, 101];

/// How to install a libnvrtc for a driver of this CUDA version.
fn wheel(driver: Option<i32>) -> String {
    let of_version = driver.filter(|&v| v < 13).map(|v| format!("-cu{v}")).unwrap_or_default();
    format!("`pip install nvidia-cuda-nvrtc{of_version}`")
}

/// NVRTC, found and able to compile.
pub(super) struct Compiler {
    pub(super) version: (i32, i32),
    /// The compute capabilities it knows, as `90` for 9.0, ascending.
    known: Vec<u32>,
}

impl Compiler {
    /// The one library of the process.
    ///
    /// # Errors
    /// [`Error::Device`] where it cannot be found, saying where it was looked for.
    pub(super) fn get() -> Result<&'static Self> {
        static FOUND: OnceLock<Result<Compiler>> = OnceLock::new();
        FOUND.get_or_init(Self::find).as_ref().map_err(Clone::clone)
    }

    fn find() -> Result<Self> {
        load()?;
        let (mut version, mut count) = ((0, 0), 0);
        // SAFETY: the library is there and has these functions, as `load` saw; the list has the size that it names.
        let known = unsafe {
            sys::nvrtcVersion(&raw mut version.0, &raw mut version.1)
                .result()
                .and_then(|()| sys::nvrtcGetNumSupportedArchs(&raw mut count).result())
                .and_then(|()| {
                    let mut known = vec![0i32; usize::try_from(count).unwrap_or(0)];
                    sys::nvrtcGetSupportedArchs(known.as_mut_ptr()).result().map(|()| known)
                })
        }
        .map_err(|e| Error::Device(format!("libnvrtc does not say what it is: {e}")))?;
        let mut known: Vec<u32> = known.into_iter().filter_map(|a| u32::try_from(a).ok()).collect();
        known.sort_unstable();
        // Without a driver it can compile as well, for another machine.
        if let Ok(driver) = driver::version()
            && version.0 > driver.0
        {
            return Err(Error::Device(format!(
                "libnvrtc {}.{} makes kernels for drivers of CUDA {} and newer, and the driver is of CUDA {}.{}; install a newer \
                 NVIDIA driver, or {} and name its directory in {DIRECTORY}",
                version.0,
                version.1,
                version.0,
                driver.0,
                driver.1,
                wheel(Some(driver.0))
            )));
        }
        Ok(Compiler { version, known })
    }

    /// What to compile for: the device itself, with the instructions that only it has, where NVRTC knows it; else the
    /// newest older target as PTX.
    pub(super) fn target(&self, (major, minor): (u32, u32)) -> String {
        let wanted = 10 * major + minor;
        if self.known.contains(&wanted) {
            // From Hopper on, `a` adds what holds for this one generation only, such as its matrix instructions.
            return if major >= 9 { format!("sm_{wanted}a") } else { format!("sm_{wanted}") };
        }
        // A cubin runs on every device of its generation that is not older than it, but for those of the embedded boards,
        // which are generations of their own.
        let sibling =
            self.known.iter().rev().find(|&&k| k / 10 == major && k <= wanted && !EMBEDDED.contains(&k));
        let older = self.known.iter().rev().find(|&&k| k <= wanted);
        match (sibling, older) {
            (Some(k), _) => format!("sm_{k}"),
            (None, Some(k)) => format!("compute_{k}"),
            (None, None) => format!("sm_{wanted}"),
        }
    }
}

/// Makes the library known to the process, so that `cudarc` finds it by its name.
fn load() -> Result<()> {
    let directory = env::var_os(DIRECTORY).map(PathBuf::from);
    match &directory {
        Some(directory) => {
            if !open(directory) {
                return Err(Error::Device(format!(
                    "{DIRECTORY} is {}, which holds no libnvrtc that can be loaded (libnvrtc.so.12 or .13, with its \
                     libnvrtc-builtins beside it)",
                    directory.display()
                )));
            }
        }
        // SAFETY: only tries to open the library.
        None if unsafe { sys::is_culib_present() } => {}
        None => {
            places().iter().any(|directory| open(directory));
        }
    }
    // SAFETY: only tries to open the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::Device(format!(
            "the GPU's kernels are compiled at first use, and their compiler (libnvrtc) was not found; install it with {} \
             or the CUDA toolkit, name its directory in {DIRECTORY}, or use the CPU",
            wheel(driver::version().ok().map(|v| v.0))
        )));
    }
    // SAFETY: the library can be opened, as was just seen.
    match missing(unsafe { sys::culib() }, &FUNCTIONS) {
        Some(name) => Err(Error::Device(format!(
            "libnvrtc has no {name}: it is too old, or a stand-in; install version 12 or newer, for example with {}, or use \
             the CPU",
            wheel(driver::version().ok().map(|v| v.0))
        ))),
        None => Ok(()),
    }
}

/// Where libnvrtc lies when the loader does not know it: in Python's wheels, in a toolkit.
fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut environments: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(env::var_os).map(PathBuf::from).collect();
    environments.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".local")));
    environments.extend(["/usr/local", "/usr"].map(PathBuf::from));
    for environment in environments {
        for python in below(&environment.join("lib"), "python3") {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                places.extend(below(&nvidia, "cu").into_iter().map(|d| d.join("lib")));
            }
        }
        places.push(environment.join("lib"));
    }
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(env::var_os).map(PathBuf::from);
    places.extend(toolkits.chain(below(Path::new("/usr/local"), "cuda")).map(|d| d.join("lib64")));
    places
}

/// The entries of a directory whose names begin so, the newest version first.
fn below(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix)).map(|e| e.path()).collect();
    found.sort();
    found.reverse();
    found
}

/// Loads the compiler and its builtins from this directory for the whole process.
#[cfg(unix)]
fn open(directory: &Path) -> bool {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let load = |path: &Path| {
        // SAFETY: NVIDIA's library runs no more at loading than other shared libraries.
        let opened = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
        // It stays for as long as the process does.
        opened.map(std::mem::forget).is_ok()
    };
    // The compiler asks for its builtins by name when it compiles.
    below(directory, "libnvrtc-builtins.so").iter().any(|p| load(p));
    below(directory, "libnvrtc.so").iter().any(|p| load(p))
}

/// On Windows the loader searches the directories of `PATH`, where NVIDIA's installers put the library.
#[cfg(not(unix))]
fn open(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_device_where_the_compiler_knows_it() {
        let compiler = Compiler { version: (13, 0), known: vec![75, 80, 86, 87, 89, 90, 100, 103, 120] };
        for (device, target) in [
            ((7, 5), "sm_75"),
            ((8, 6), "sm_86"),
            ((9, 0), "sm_90a"),
            ((10, 0), "sm_100a"),
            ((8, 8), "sm_86"),
            ((12, 1), "sm_120"),
            ((13, 0), "compute_120"),
        ] {
            assert_eq!(compiler.target(device), target, "{device:?}");
        }
        let old = Compiler { version: (12, 0), known: vec![80, 86] };
        assert_eq!(old.target((9, 0)), "compute_86");
    }

    #[test]
    fn entries_are_found_by_prefix_newest_first() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        for name in ["cu12", "cu13", "other"] {
            fs::create_dir(directory.path().join(name))?;
        }
        let found = below(directory.path(), "cu");
        assert_eq!(found, [directory.path().join("cu13"), directory.path().join("cu12")]);
        assert!(below(&directory.path().join("missing"), "cu").is_empty());
        Ok(())
    }
}
