//! The kernels that have been launched on a device so far, ready to be launched again.

use super::{Cuda, Launch, compiler, driver::failed};
use crate::Result;
use cudarc::driver::{
    DriverError,
    result::{function, module},
    sys::{CUfunction, CUfunction_attribute_enum as Attribute, CUmodule, CUresult},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    ffi::CString,
    sync::{Mutex, PoisonError},
};

/// A file compiled with one set of defines, and those of its kernels that were asked for.
struct Module {
    handle: CUmodule,
    kernels: Vec<Kernel>,
}

struct Kernel {
    name: String,
    handle: CUfunction,
    /// The dynamic shared memory that it was allowed: a kernel must be where it has more than 48 KiB, counted with its
    /// static shared memory.
    allowed: usize,
}

// SAFETY: handles of a context that lives as long as the device; the driver takes them from any thread.
unsafe impl Send for Module {}

impl Module {
    fn load(device: &Cuda, launch: &Launch<'_>) -> Result<Self> {
        let image = compiler::image(device, launch)?;
        // SAFETY: the image is a whole cubin, or PTX that ends with a zero.
        let load = || unsafe { module::load_data(image.as_ptr().cast()) };
        let handle = load()
            .or_else(|e| match e.0 {
                CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                    // The memory that is kept for tensors can make room for code.
                    device.trim();
                    load()
                }
                _ => Err(e),
            })
            .map_err(|e| failed(format!("loading {} on {}", unit(launch), device.name()), e))?;
        Ok(Module { handle, kernels: Vec::new() })
    }

    /// The kernel of this name, of the few that a file has.
    fn kernel(&mut self, name: &str) -> std::result::Result<&mut Kernel, DriverError> {
        let at = match self.kernels.iter().position(|k| k.name == name) {
            Some(at) => at,
            None => {
                let c_name = CString::new(name).unwrap_or_default();
                // SAFETY: the module is loaded, and never unloaded.
                let handle = unsafe { module::get_function(self.handle, c_name) }?;
                self.kernels.push(Kernel { name: name.into(), handle, allowed: 0 });
                self.kernels.len() - 1
            }
        };
        Ok(&mut self.kernels[at])
    }
}

impl Kernel {
    fn allow(&mut self, shared: usize) -> std::result::Result<(), DriverError> {
        if shared > self.allowed {
            let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function belongs to a loaded module.
            unsafe { function::set_function_attribute(self.handle, attribute, shared as i32) }?;
            self.allowed = shared;
        }
        Ok(())
    }
}

/// The compiled files of one device.
#[derive(Default)]
pub(super) struct Functions(Mutex<HashMap<String, Module>>);

impl Functions {
    /// The kernel of a launch, compiled where this is the first one of its file and defines. The device's context must
    /// be the calling thread's.
    pub(super) fn get(&self, device: &Cuda, launch: &Launch<'_>) -> Result<CUfunction> {
        // Held while a file is compiled, so that two threads do not compile the same one.
        let mut modules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match modules.entry(unit(launch)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(Module::load(device, launch)?),
        };
        module
            .kernel(launch.kernel)
            .and_then(|kernel| kernel.allow(launch.shared).map(|()| kernel.handle))
            .map_err(|e| failed(format!("{} in {} on {}", launch.kernel, unit(launch), device.name()), e))
    }
}

/// The name of a file and its defines: `conv3d/forward.cu -DREAL=bf16`.
fn unit(launch: &Launch<'_>) -> String {
    let mut unit = String::from(launch.source.name);
    for (name, value) in launch.defines {
        unit.push_str(" -D");
        unit.push_str(name);
        unit.push('=');
        unit.push_str(value);
    }
    unit
}
