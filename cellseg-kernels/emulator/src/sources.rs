//! The `.cu` files of the workspace, and what their headers say.
//!
//! ```text
//! // instances: REAL=f32,f16,bf16 ACTIVATION=0,1     every combination; several lines add up
//! // targets: sm_80 sm_90a                           the default
//! // budget: kernel_name registers=64 shared=16384   the most that it may use, in registers and static bytes; with
//!                                                    `registers==168` it must use just as many
//! ```

use crate::error::{Error, Result};
use cellseg_core::cuda::PRELUDE;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What a kernel may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Budget {
    pub(crate) registers: u32,
    /// Fewer registers are as wrong as more.
    pub(crate) exactly: bool,
    /// Bytes of static shared memory.
    pub(crate) shared: u32,
}

/// A kernel's name, and the first argument of its `BOUNDS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) most_threads: Option<String>,
}

/// One file of kernels.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The path below `src`, which is what the library calls the file.
    pub(crate) name: String,
    /// The path below the workspace's root.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Each instance's defines, sorted: `["A=1", "REAL=f32"]`.
    pub(crate) instances: Vec<Vec<String>>,
    pub(crate) targets: Vec<String>,
    pub(crate) budgets: BTreeMap<String, Budget>,
    pub(crate) kernels: Vec<Kernel>,
}

/// All `.cu` files below `cellseg-*/src`, by path.
pub(crate) fn find(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for directory in entries(root)? {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("cellseg-") && directory.join("src").is_dir() {
            sources.extend(below(&directory.join("src"), root)?);
        }
    }
    Ok(sources)
}

/// All `.cu` files below a directory, by path and named by it.
pub(crate) fn below(directory: &Path, root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files(directory)? {
        let text = fs::read_to_string(&path).map_err(|e| Error::File { path: path.clone(), source: e })?;
        let relative = |base: &Path| path.strip_prefix(base).unwrap_or(&path).to_path_buf();
        sources.push(parse(relative(directory).to_string_lossy().into_owned(), relative(root), text)?);
    }
    Ok(sources)
}

/// One file, for the compile gate.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// What NVRTC gets: the prelude, and the file's own text.
    text: String,
    instances: &'a [Vec<String>],
    targets: &'a [String],
    budgets: &'a BTreeMap<String, Budget>,
}

/// What the headers of the files say, as JSON.
pub(crate) fn listing(sources: &[Source]) -> String {
    let listed: Vec<Listed<'_>> = sources
        .iter()
        .map(|source| {
            let own = (source.name.as_str(), source.text.as_str());
            let parts = PRELUDE.iter().copied().chain(std::iter::once(own));
            Listed {
                name: &source.name,
                text: parts.map(|(name, text)| format!("#line 1 \"{name}\"\n{text}\n")).collect(),
                instances: &source.instances,
                targets: &source.targets,
                budgets: &source.budgets,
            }
        })
        .collect();
    serde_json::to_string(&listed).expect("strings and numbers only")
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(directory)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    read().map_err(|source| Error::File { path: directory.into(), source })
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(directory)? {
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "cu") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Reads the header of a file.
pub(crate) fn parse(name: String, path: PathBuf, text: String) -> Result<Source> {
    let (mut instances, mut targets, mut budgets, mut kernels) =
        (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let (from, line) = (&text[start..], line.trim_end());
        start += from.find('\n').map_or(from.len(), |end| end + 1);
        let wrong = |expected| Error::Header {
            path: path.clone(),
            line: number + 1,
            found: format!("`{line}`"),
            expected,
        };
        if let Some(rest) = line.strip_prefix("// instances:") {
            instances.extend(combinations(rest).ok_or_else(|| wrong("expected NAME=value,value ..."))?);
        } else if let Some(rest) = line.strip_prefix("// targets:") {
            targets.extend(rest.split_whitespace().map(String::from));
        } else if let Some(rest) = line.strip_prefix("// budget:") {
            let (kernel, budget) = budget(rest).ok_or_else(|| {
                wrong("expected `kernel registers=<n> shared=<bytes>`, or `registers==<n>`")
            })?;
            budgets.insert(kernel, budget);
        } else if line.starts_with("KERNEL") {
            let found = kernel(&from["KERNEL".len()..])
                .ok_or_else(|| wrong("expected `KERNEL name(` or `KERNEL BOUNDS(threads, blocks) name(`"))?;
            match kernels.iter_mut().find(|k: &&mut Kernel| k.name == found.name) {
                None => kernels.push(found),
                // Two forms under `#if`: a bound that they do not share is not known.
                Some(other) if other.most_threads != found.most_threads => other.most_threads = None,
                Some(_) => {}
            }
        }
    }
    if instances.is_empty() {
        instances.push(Vec::new());
    }
    if targets.is_empty() {
        targets = ["sm_80", "sm_90a"].map(String::from).into();
    }
    Ok(Source { name, path, text, instances, targets, budgets, kernels })
}

/// `A=1,2 B=x` as `[["A=1", "B=x"], ["A=2", "B=x"]]`.
fn combinations(line: &str) -> Option<Vec<Vec<String>>> {
    let mut all = vec![Vec::new()];
    for define in line.split_whitespace() {
        let (name, values) = define.split_once('=')?;
        all = all
            .iter()
            .flat_map(|so_far| {
                values.split(',').map(move |value| {
                    let mut longer = so_far.clone();
                    longer.push(format!("{name}={value}"));
                    longer
                })
            })
            .collect();
    }
    all.iter_mut().for_each(|defines| defines.sort());
    (!all[0].is_empty()).then_some(all)
}

fn budget(line: &str) -> Option<(String, Budget)> {
    let mut words = line.split_whitespace();
    let kernel = words.next()?;
    let registers = words.next()?.strip_prefix("registers=")?;
    let (exactly, registers) = registers.strip_prefix('=').map_or((false, registers), |n| (true, n));
    let shared = words.next()?.strip_prefix("shared=")?.parse().ok()?;
    Some((kernel.into(), Budget { registers: registers.parse().ok()?, exactly, shared }))
}

/// What follows `KERNEL`: ` BOUNDS(256, 2) name(...`, maybe over several lines.
fn kernel(rest: &str) -> Option<Kernel> {
    let mut rest = rest.trim_start();
    let mut most_threads = None;
    if let Some(bounds) = rest.strip_prefix("BOUNDS(") {
        let mut depth = 1;
        let (mut comma, mut end) = (None, None);
        for (i, c) in bounds.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 1 => comma = comma.or(Some(i)),
                _ => {}
            }
            if depth == 0 {
                end = Some(i);
                break;
            }
        }
        most_threads = Some(bounds[..comma?].trim().to_string());
        rest = bounds[end? + 1..].trim_start();
    }
    let name = &rest[..rest.find('(')?];
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| Kernel { name: name.into(), most_threads })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Source> {
        parse("op/a.cu".into(), "cellseg-kernels/src/op/a.cu".into(), text.into())
    }

    #[test]
    fn instances_are_all_combinations_of_each_line() {
        let source = parsed("// instances: REAL=f32,f16 A=0,1\n// instances: REAL=bf16\n").unwrap();
        assert_eq!(
            source.instances,
            [
                vec!["A=0", "REAL=f32"],
                vec!["A=1", "REAL=f32"],
                vec!["A=0", "REAL=f16"],
                vec!["A=1", "REAL=f16"],
                vec!["REAL=bf16"]
            ]
        );
        assert_eq!(source.targets, ["sm_80", "sm_90a"]);
        assert_eq!(parsed("").unwrap().instances, [Vec::<String>::new()]);
    }

    #[test]
    fn kernels_are_found_with_their_bounds_and_budgets() {
        let source = parsed(
            "// targets: sm_75\n// budget: a registers=40 shared=1024\n// budget: b registers==168 shared=0\nKERNEL a(f32* x) {\nKERNEL BOUNDS(32 * min(A, 2), 1)\n    b(\n",
        )
        .unwrap();
        assert_eq!(source.kernels[0], Kernel { name: "a".into(), most_threads: None });
        assert_eq!(
            source.kernels[1],
            Kernel { name: "b".into(), most_threads: Some("32 * min(A, 2)".into()) }
        );
        assert_eq!(source.budgets["a"], Budget { registers: 40, exactly: false, shared: 1024 });
        assert_eq!(source.budgets["b"], Budget { registers: 168, exactly: true, shared: 0 });
        assert_eq!(source.targets, ["sm_75"]);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_an_error_with_its_line() {
        for text in [
            "// instances: REAL",
            "// instances:",
            "// budget: a registers=4",
            "// budget: a registers===4 shared=0",
            "KERNEL BOUNDS(1, 2 a(",
            "KERNEL a",
        ] {
            let told = parsed(&format!("\n{text}\n")).unwrap_err().to_string();
            assert!(told.starts_with("cellseg-kernels/src/op/a.cu:2: "), "{told}");
        }
    }
}
