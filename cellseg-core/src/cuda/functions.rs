//! The kernels that have been launched on a device so far, ready to be launched again.

use super::{Cuda, Launch, compiler, driver::failed};
use crate::Result;
use cudarc::driver::{
    result::{function, module},
    sys::{CUfunction, CUfunction_attribute_enum as Attribute, CUmodule, CUresult},
};
use std::{
    collections::HashMap,
    ffi::CString,
    sync::{Mutex, PoisonError},
};

/// A file compiled with one set of defines, and those of its kernels that were asked for.
struct Module {
    handle: CUmodule,
    kernels: HashMap<String, Kernel>,
}

struct Kernel {
    handle: CUfunction,
    /// The dynamic shared memory that it was allowed: a kernel must be where it has more than 48 KiB, counted with its
    /// static shared memory.
    allowed: usize,
}

// SAFETY: handles of a context that lives as long as the device; the driver takes them from any thread.
unsafe impl Send for Module {}

/// The compiled files of one device.
#[derive(Default)]
pub(super) struct Functions(Mutex<HashMap<String, Module>>);

impl Functions {
    /// The kernel of a launch, compiled where this is the first one of its file and defines. The device's context must
    /// be the calling thread's.
    pub(super) fn get(&self, device: &Cuda, launch: &Launch<'_>) -> Result<CUfunction> {
        let unit = unit(launch);
        // Held while a file is compiled, so that two threads do not compile the same one.
        let mut modules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !modules.contains_key(&unit) {
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
                .map_err(|e| failed(format!("loading {unit} on {}", device.name()), e))?;
            modules.insert(unit.clone(), Module { handle, kernels: HashMap::new() });
        }
        let module = modules.get_mut(&unit).expect("inserted above where it was missing");
        let what = |e| failed(format!("{} in {unit} on {}", launch.kernel, device.name()), e);
        if !module.kernels.contains_key(launch.kernel) {
            let name = CString::new(launch.kernel).unwrap_or_default();
            // SAFETY: the module is loaded, and never unloaded.
            let handle = unsafe { module::get_function(module.handle, name) }.map_err(what)?;
            module.kernels.insert(launch.kernel.into(), Kernel { handle, allowed: 0 });
        }
        let kernel = module.kernels.get_mut(launch.kernel).expect("inserted above where it was missing");
        if launch.shared > kernel.allowed {
            let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function belongs to a loaded module.
            unsafe { function::set_function_attribute(kernel.handle, attribute, launch.shared as i32) }
                .map_err(what)?;
            kernel.allowed = launch.shared;
        }
        Ok(kernel.handle)
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
