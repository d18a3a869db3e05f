//! The stand-ins for libcuda and libnvrtc, built by g++; only what changed since the last time.

use crate::{
    error::{Error, Result},
    sources::{self, Source},
    translate::translation_unit,
};
use cellseg_core::cuda::PRELUDE;
use std::{
    collections::BTreeSet,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// One call of the compiler: what it reads from its standard input, and what it writes.
struct Object {
    unit: String,
    text: String,
    path: PathBuf,
}

/// How the libraries are built.
pub(crate) struct Build<'a> {
    /// The workspace's root.
    pub(crate) root: &'a Path,
    /// Where objects and libraries go.
    pub(crate) directory: &'a Path,
    /// A directory whose kernels are built in the place of the workspace's.
    pub(crate) kernels: Option<&'a Path>,
    /// With AddressSanitizer and UndefinedBehaviorSanitizer.
    pub(crate) sanitize: bool,
    /// How many compilers run at once.
    pub(crate) jobs: usize,
}

/// What was built.
pub(crate) struct Libraries {
    pub(crate) directory: PathBuf,
    /// Whether every file of kernels is in them.
    pub(crate) whole: bool,
}

/// The compiler's program.
fn compiler() -> String {
    env::var("CXX").unwrap_or_else(|_| "g++".into())
}

impl Build<'_> {
    /// Options of every file. Uninitialised local variables start as a pattern that no kernel takes for a result.
    fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![
            "-std=c++17",
            "-O2",
            "-g1",
            "-fPIC",
            "-pthread",
            "-fvisibility=hidden",
            "-fno-strict-aliasing",
            "-ftrivial-auto-var-init=pattern",
            "-fmax-errors=8",
            "-Wall",
            "-Wno-unknown-pragmas",
            "-Wno-sign-compare",
            "-Wno-unused-function",
            "-Wno-unused-variable",
            "-Wno-unused-but-set-variable",
        ];
        if cfg!(target_arch = "x86_64") {
            flags.push("-march=native");
        }
        if self.sanitize {
            // Static shared memory lies in sections of its own, which AddressSanitizer would pass over.
            flags.extend([
                "-fsanitize=address,undefined",
                "-fsanitize-sections=cellseg_shared_*",
                "-fno-sanitize-recover=undefined",
                "-fno-omit-frame-pointer",
            ]);
        }
        flags
    }

    /// Builds what is missing. A file of kernels that does not compile is left out, so that the tests of others can run:
    /// its errors are told, and `whole` is false.
    pub(crate) fn libraries(&self) -> Result<Libraries> {
        let name = if self.sanitize { "sanitized" } else { "plain" };
        let directory =
            self.directory.join(if self.kernels.is_some() { format!("{name}-own") } else { name.into() });
        fs::create_dir_all(&directory).map_err(|source| Error::File { path: directory.clone(), source })?;
        let sources = match self.kernels {
            Some(directory) => sources::below(directory, self.root)?,
            None => sources::find(self.root)?,
        };
        let common = self.common()?;
        let mut kernels: Vec<Object> = sources
            .iter()
            .filter(|s| !s.kernels.is_empty())
            .map(|source| self.object(&directory, source, &common))
            .collect();
        let mut objects = Vec::new();
        for part in ["device", "driver"] {
            for path in self.files(part)? {
                let text = format!("#include \"{}\"\n", path.display());
                let content = self.read(&path)?;
                objects.push(object(&directory, &path.to_string_lossy(), text, &[&common, &content]));
            }
        }
        // The runtime has no part that can be left out.
        self.compile(&objects).into_iter().try_for_each(Err)?;
        let failures = self.compile(&kernels);
        failures.iter().for_each(|failure| eprintln!("{failure}"));
        kernels.retain(|object| object.path.exists());
        objects.append(&mut kernels);
        self.link(&directory, &objects)?;
        prune(&directory, &objects);
        Ok(Libraries { directory, whole: failures.is_empty() })
    }

    /// The files of a part of the runtime, below the root.
    fn files(&self, part: &str) -> Result<Vec<PathBuf>> {
        let below = Path::new("cellseg-kernels/emulator").join(part);
        let directory = self.root.join(&below);
        let failed = |source| Error::File { path: directory.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let name = PathBuf::from(entry.map_err(failed)?.file_name());
            if name.extension().is_some_and(|e| e == "cpp") {
                files.push(below.join(name));
            }
        }
        files.sort();
        Ok(files)
    }

    fn read(&self, path: &Path) -> Result<String> {
        let path = self.root.join(path);
        fs::read_to_string(&path).map_err(|source| Error::File { path, source })
    }

    /// All that a change of which compiles everything anew: headers, options, the compiler, the machine.
    fn common(&self) -> Result<String> {
        let version = Command::new(compiler())
            .arg("--version")
            .output()
            .map_err(|e| Error::NoCompiler(compiler(), e))?;
        let mut text = format!("{}\n{}\n", String::from_utf8_lossy(&version.stdout), self.flags().join(" "));
        // `-march=native` means another thing on another processor.
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        text.extend(processor.lines().find(|line| line.starts_with("flags")));
        for part in ["device", "driver"] {
            let directory = self.root.join("cellseg-kernels/emulator").join(part);
            let entries =
                fs::read_dir(&directory).map_err(|source| Error::File { path: directory, source })?;
            let mut headers: Vec<_> = entries.flatten().map(|e| e.path()).collect();
            headers.retain(|path| path.extension().is_some_and(|e| e == "h"));
            headers.sort();
            for header in headers {
                text.push_str(&self.read(&header)?);
            }
        }
        Ok(text)
    }

    fn object(&self, directory: &Path, source: &Source, common: &str) -> Object {
        let prelude: String = PRELUDE.iter().map(|(_, text)| *text).collect();
        let unit = source.path.to_string_lossy();
        object(directory, &unit, translation_unit(source), &[common, &prelude, &source.text])
    }

    /// Compiles the objects that are not there, `jobs` at a time; what failed.
    fn compile(&self, objects: &[Object]) -> Vec<Error> {
        let missing: Vec<&Object> = objects.iter().filter(|o| !o.path.exists()).collect();
        if !missing.is_empty() {
            eprintln!("building the emulated device: {} of {} files", missing.len(), objects.len());
        }
        let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(missing.len()) {
                scope.spawn(|| {
                    while let Some(object) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(e) = self.compile_one(object) {
                            failures.lock().unwrap_or_else(|e| e.into_inner()).push(e);
                        }
                    }
                });
            }
        });
        failures.into_inner().unwrap_or_else(|e| e.into_inner())
    }

    fn compile_one(&self, object: &Object) -> Result<()> {
        let mut command = Command::new(compiler());
        command.args(self.flags()).args(["-I.", "-x", "c++", "-c", "-"]);
        self.write(command, &object.unit, &object.path, &object.text)
    }

    fn link(&self, directory: &Path, objects: &[Object]) -> Result<()> {
        let (driver, nvrtc) = (directory.join("libcuda.so.1"), directory.join("libnvrtc.so.13"));
        let mut hasher = DefaultHasher::new();
        objects.iter().for_each(|o| o.path.hash(&mut hasher));
        let nvrtc_source = Path::new("cellseg-kernels/emulator/compiler/libnvrtc.cpp");
        self.read(nvrtc_source)?.hash(&mut hasher);
        let stamp = directory.join("linked");
        let now = hasher.finish().to_string();
        if driver.exists() && nvrtc.exists() && fs::read_to_string(&stamp).is_ok_and(|before| before == now) {
            return Ok(());
        }
        let mut command = Command::new(compiler());
        command.args(self.flags()).args(["-shared", "-Wl,-soname,libcuda.so.1"]);
        command.args(objects.iter().map(|o| &o.path));
        self.write(command, "libcuda.so.1", &driver, "")?;
        let mut command = Command::new(compiler());
        command.args(self.flags()).args(["-shared", "-Wl,-soname,libnvrtc.so.13", "-Wl,-rpath,$ORIGIN"]);
        command.arg(nvrtc_source).arg(&driver);
        self.write(command, "libnvrtc.so.13", &nvrtc, "")?;
        fs::write(&stamp, now).map_err(|source| Error::File { path: stamp, source })
    }

    /// Runs the compiler with `input`; its output gets its name when it is whole, so that no other process sees half.
    fn write(&self, mut command: Command, unit: &str, to: &Path, input: &str) -> Result<()> {
        let half = to.with_extension(format!("{}.half", std::process::id()));
        let mut run = || -> io::Result<std::process::Output> {
            let mut child = command
                .arg("-o")
                .arg(&half)
                .current_dir(self.root)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            // A compiler that does not read it says why itself.
            let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
            child.wait_with_output()
        };
        let output = run().map_err(|e| Error::NoCompiler(compiler(), e))?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(Error::Compile(unit.into(), told.into_owned()));
        }
        eprint!("{told}");
        fs::rename(&half, to).map_err(|source| Error::File { path: to.into(), source })
    }
}

/// An object whose file name says what it was made of.
fn object(directory: &Path, unit: &str, text: String, made_of: &[&str]) -> Object {
    let mut hasher = DefaultHasher::new();
    (&text, made_of).hash(&mut hasher);
    let name: String = unit.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Object { unit: unit.into(), text, path: directory.join(format!("{name}-{:016x}.o", hasher.finish())) }
}

/// Removes the objects of earlier states.
fn prune(directory: &Path, objects: &[Object]) {
    let current: BTreeSet<&Path> = objects.iter().map(|o| o.path.as_path()).collect();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "o") && !current.contains(path.as_path()) {
            // One that is in use, or gone already, costs nothing.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::{DEVICE_LANGUAGE, PRELUDE_DIRECTORY};

    #[test]
    fn the_headers_of_a_unit_lie_where_it_includes_them_from() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert!(root.join(DEVICE_LANGUAGE).is_file());
        for (name, text) in PRELUDE {
            assert_eq!(fs::read_to_string(root.join(PRELUDE_DIRECTORY).join(name)).unwrap(), *text);
        }
    }
}
