//! The C++ that g++ gets for one `.cu` file: each instance in a namespace of its own, after a prelude of its own, and its
//! kernels registered by name.

use crate::sources::Source;
use cellseg_core::cuda::PRELUDE;
use std::{collections::BTreeSet, fmt::Write};

/// Where the prelude lies below the workspace's root.
pub(crate) const PRELUDE_DIRECTORY: &str = "cellseg-core/src/cuda/device_code";
/// Where what CUDA C++ itself gives a kernel lies.
pub(crate) const DEVICE_LANGUAGE: &str = "cellseg-kernels/emulator/device/device_language.h";

/// FNV-1a, which tells the emulated compiler whether a text is the one that was built.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The names that `#define` lines of a text define: they end with their instance.
fn defined(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("define")?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

/// What `__CUDA_ARCH__` is in each build of a file: one where the file does not ask, else one a target.
fn architectures(source: &Source) -> Vec<(String, u32)> {
    let number =
        |target: &str| 10 * target.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
    let newest = |targets: &[String]| targets.iter().map(|t| number(t)).max().unwrap_or(0);
    if source.text.contains("__CUDA_ARCH__") {
        source.targets.iter().map(|target| (target.clone(), number(target))).collect()
    } else {
        vec![(source.targets.join(" "), newest(&source.targets))]
    }
}

/// The whole C++ text; its includes are relative to the workspace's root.
pub(crate) fn translation_unit(source: &Source) -> String {
    let mut out = format!("#include \"{DEVICE_LANGUAGE}\"\n");
    let macros: BTreeSet<&str> =
        PRELUDE.iter().flat_map(|(_, text)| defined(text)).chain(defined(&source.text)).collect();
    out.push_str("namespace {\n");
    for kernel in &source.kernels {
        // Found where an instance leaves the kernel out.
        let _ = writeln!(out, "[[maybe_unused]] constexpr cellseg_emulated::NotThere {}{{}};", kernel.name);
    }
    out.push_str("}\n");
    let mut number = 0;
    for (targets, architecture) in architectures(source) {
        for defines in &source.instances {
            instance(&mut out, source, &macros, number, defines, &targets, architecture);
            number += 1;
        }
    }
    out
}

fn instance(
    out: &mut String,
    source: &Source,
    macros: &BTreeSet<&str>,
    number: usize,
    defines: &[String],
    targets: &str,
    architecture: u32,
) {
    // Writing to a string cannot fail.
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = writeln!(out, "{text}");
    };
    let section = format!("cellseg_shared_{:016x}_{number}", fnv1a(&source.name));
    for end in ["start", "stop"] {
        line(format_args!("extern char __{end}_{section}[] __attribute__((weak, visibility(\"hidden\")));"));
    }
    line(format_args!("#define CELLSEG_SHARED_SECTION \"{section}\""));
    line(format_args!("#define __CUDA_ARCH__ {architecture}"));
    for (name, value) in defines.iter().filter_map(|define| define.split_once('=')) {
        line(format_args!("#define {name} {value}"));
    }
    line(format_args!("namespace {{ namespace unit_{number} {{"));
    for (name, _) in PRELUDE {
        line(format_args!("#include \"{PRELUDE_DIRECTORY}/{name}\""));
    }
    line(format_args!("#include \"{}\"", source.path.display()));
    for (k, kernel) in source.kernels.iter().enumerate() {
        let most_threads = kernel.most_threads.as_deref().unwrap_or("1024");
        let most_shared = source.budgets.get(&kernel.name).map_or(u32::MAX, |budget| budget.shared);
        line(format_args!(
            "cellseg_emulated::Kernel kernel_{k} = cellseg_emulated::described<&{}>({:?}, {:?}, {:?}, {:#x}u, {}, {:?}, \
             unsigned({most_threads}), {most_shared}u, __start_{section}, __stop_{section});",
            kernel.name,
            source.name,
            defines.join(" "),
            targets,
            fnv1a(&source.text),
            source.text.len(),
            kernel.name,
        ));
        line(format_args!("const cellseg_emulated::Registered registered_{k}{{kernel_{k}}};"));
    }
    line(format_args!("}} }}"));
    for name in macros.iter().copied().chain(defines.iter().filter_map(|d| Some(d.split_once('=')?.0))) {
        line(format_args!("#undef {name}"));
    }
    line(format_args!("#undef __CUDA_ARCH__\n#undef CELLSEG_SHARED_SECTION"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::parse;

    #[test]
    fn no_macro_outlives_its_instance() {
        let text = "// instances: A=1,2\n# define TILE 4\n#define AT(x) x\nKERNEL k() {\n";
        let source = parse("op/k.cu".into(), "cellseg-x/src/op/k.cu".into(), text.into()).unwrap();
        let unit = translation_unit(&source);
        for name in ["TILE", "AT", "A", "KERNEL"] {
            let count = |word: &str| unit.lines().filter(|l| *l == format!("{word} {name}")).count();
            assert_eq!(count("#undef"), 2, "{name}");
        }
        assert_eq!(unit.matches("\"op/k.cu\"").count(), 2);
    }

    #[test]
    fn a_file_that_asks_for_its_architecture_is_built_for_each_target() {
        let build = |text: &str| {
            let source = parse("op/k.cu".into(), "cellseg-x/src/op/k.cu".into(), text.into()).unwrap();
            architectures(&source)
        };
        assert_eq!(build("// targets: sm_75 sm_90a\n"), [("sm_75 sm_90a".to_string(), 900)]);
        assert_eq!(
            build("// targets: sm_75 sm_90a\n#if __CUDA_ARCH__ < 800\n"),
            [("sm_75".to_string(), 750), ("sm_90a".to_string(), 900)]
        );
    }
}
