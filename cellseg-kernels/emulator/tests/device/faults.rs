//! Every planted fault is found, by its message or by wrong numbers in the orders that must show it.

use crate::{Run, device, download, order, room, trial, upload};
use cellseg_core::{
    DType,
    cuda::{Arguments, CudaBuffer, Launch, Source},
};
use libtest_mimic::Trial;

pub(crate) const SOURCE: Source = Source { name: "faults.cu", text: include_str!("../kernels/faults.cu") };
const THREADS: usize = 64;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a missing barrier shows in some orders", a_missing_barrier_shows),
        trial("shared memory reused without a barrier shows", reused_shared_memory_shows),
        trial("a block that waits for another shows", a_block_that_waits_for_another_shows),
        trial("a barrier that not all reach is told", || {
            told(
                "unreached_barrier",
                &["a barrier that not all threads reach", "__shfl_xor_sync", "faults.cu:"],
            );
        }),
        trial("two different barriers are told", || {
            told("two_barriers", &["meet at different barriers", "faults.cu:"])
        }),
        trial("two different exchanges are told", || {
            told("different_exchanges", &["meet in different operations", "__shfl_sync", "__ballot_sync"]);
        }),
        trial("a lane outside its mask is told", || told("lane_outside_its_mask", &["not in its own mask"])),
        trial("a matrix instruction of half a warp is told", || {
            told("half_warp_product", &["needs all 32 lanes", "mma.m16n8k16.f16"]);
        }),
        trial("a thread waits until another has written", a_thread_waits_until_another_has_written),
        trial("matrices in global memory are told", || {
            told_with_input("global_matrix", &["outside the shared memory of the block"])
        }),
        trial("a misaligned copy is told", || {
            told_with_input("misaligned_copy", &["not a multiple of 16 bytes"])
        }),
        trial("a misaligned source is told though it is not read", || {
            told_with_input("misaligned_source", &["a global address that is not a multiple of 16 bytes"])
        }),
        trial("a stack that overflows is told", a_stack_that_overflows_is_told),
        trial("shared memory that was not written is NaN", shared_memory_starts_as_nan),
        trial("a copy that was not waited for is NaN", an_unwaited_copy_is_nan),
        trial("accesses beyond a buffer are told", accesses_beyond_a_buffer_are_told),
        trial("a write behind the dynamic shared memory is told", a_write_behind_shared_memory_is_told),
        trial("launches that the driver refuses are refused", bad_launches_are_refused),
        trial("static shared memory counts against a block's", static_shared_memory_counts),
        trial("units that were not built are told with the line they need", missing_units_are_told),
    ]
}

fn values(kernel: &'static str, blocks: u32) -> Vec<f32> {
    let mut out = room(DType::F32, THREADS);
    Run { blocks, ..Run::new(&SOURCE, kernel) }.go(Arguments::new().output(&mut out)).unwrap();
    download(&out)
}

/// Launches a kernel and demands a fault that says all of this.
fn fault(run: &Run, arguments: Arguments, words: &[&str]) {
    let told = run.go(arguments).expect_err(run.kernel).to_string();
    for word in words.iter().chain([&run.kernel]) {
        assert!(told.contains(word), "{}: {word:?} is not in: {told}", run.kernel);
    }
    // The device goes on.
    assert_eq!(values("neighbour_behind_barrier", 1)[1], 0.0);
}

fn told(kernel: &'static str, words: &[&str]) {
    let mut out = room(DType::F32, THREADS);
    fault(&Run::new(&SOURCE, kernel), Arguments::new().output(&mut out), words);
}

fn told_with_input(kernel: &'static str, words: &[&str]) {
    let (mut out, input) = (room(DType::F32, THREADS), upload(&[1.0f32; 256]));
    fault(&Run::new(&SOURCE, kernel), Arguments::new().output(&mut out).input(&input), words);
}

fn a_missing_barrier_shows() {
    let expected = |step: usize| (0..THREADS).map(move |i| ((i + step) % THREADS) as f32);
    let wrong =
        |kernel, step| values(kernel, 1).into_iter().zip(expected(step)).filter(|(a, b)| a != b).count();
    assert_eq!(wrong("neighbour_behind_barrier", 63), 0);
    let (left, right) = (wrong("left_neighbour", 63), wrong("right_neighbour", 1));
    match order().as_str() {
        // All but the last have run when the last one does.
        "forward" => assert_eq!((left, right), (1, THREADS - 1)),
        "reverse" => assert_eq!((left, right), (THREADS - 1, 1)),
        _ => assert!(left > 8 && right > 8, "{left} {right}"),
    }
}

fn reused_shared_memory_shows() {
    let good = (0..THREADS).map(|i| ((i + 63) % THREADS + (i + 1) % THREADS) as f32);
    let wrong = values("reused_too_early", 1).into_iter().zip(good).filter(|(a, b)| a != b).count();
    assert!(wrong >= THREADS / 2, "{wrong}");
}

fn a_block_that_waits_for_another_shows() {
    let got = values("other_block", 8);
    let right = (0..8).filter(|&i| got[8 + i] == ((i + 1) % 8) as f32).count();
    match order().as_str() {
        "forward" => assert_eq!(right, 1),
        "reverse" => assert_eq!(right, 7),
        _ => assert!(right < 8),
    }
}

fn a_stack_that_overflows_is_told() {
    let mut out = room(DType::F32, THREADS);
    let run = Run::new(&SOURCE, "endless_recursion");
    fault(&run, Arguments::new().output(&mut out).value(1i32), &["its stack overflowed"]);
}

fn a_thread_waits_until_another_has_written() {
    let run = Run::new(&SOURCE, "waits_for_a_number");
    let mut out = room(DType::F32, 1);
    run.go(Arguments::new().output(&mut out).value(7i32)).unwrap();
    assert_eq!(download::<f32>(&out), [7.0]);
    let words = [
        "a barrier that not all threads reach",
        "threads 0..0 wait at a number",
        "63 of 64 threads have ended",
    ];
    fault(&run, Arguments::new().output(&mut out).value(0i32), &words);
}

fn shared_memory_starts_as_nan() {
    let mut out = room(DType::F32, THREADS);
    let run = Run { shared: 4 * THREADS, ..Run::new(&SOURCE, "uninitialised_shared") };
    for _ in 0..2 {
        run.go(Arguments::new().output(&mut out)).unwrap();
        let nans: Vec<usize> = (0..THREADS).filter(|&i| download::<f32>(&out)[i].is_nan()).collect();
        assert_eq!(nans, [5, 7]);
    }
}

fn an_unwaited_copy_is_nan() {
    let (mut out, input) = (room(DType::F32, THREADS), upload(&[1.0f32; 256]));
    Run::new(&SOURCE, "unwaited_copy").go(Arguments::new().output(&mut out).input(&input)).unwrap();
    assert!(download::<f32>(&out).iter().all(|x| x.is_nan()));
}

fn accesses_beyond_a_buffer_are_told() {
    // 1024 bytes: all that the library asks the driver for, so that nothing lies between the end and the guard.
    let mut out = room(DType::F32, 256);
    for at in [256i64, 300, -2048] {
        let run = Run { threads: 1, ..Run::new(&SOURCE, "beyond_buffer") };
        fault(&run, Arguments::new().output(&mut out).value(at), &["device memory of 1024 bytes"]);
        let run = Run { threads: 1, ..Run::new(&SOURCE, "read_beyond_buffer") };
        let mut small = room(DType::F32, 1);
        fault(
            &run,
            Arguments::new().output(&mut small).input(&out).value(at),
            &["device memory of 1024 bytes"],
        );
    }
    fault(
        &Run::new(&SOURCE, "beyond_buffer"),
        Arguments::new().output(&mut out).value(1i64 << 50),
        &["no device memory"],
    );
}

fn a_write_behind_shared_memory_is_told() {
    let mut out = room(DType::F32, THREADS);
    let run = Run { shared: 4 * THREADS - 4, ..Run::new(&SOURCE, "beyond_shared") };
    fault(&run, Arguments::new().output(&mut out), &["byte 252 of the dynamic shared memory"]);
    let run = Run { shared: 4 * THREADS, ..run };
    run.go(Arguments::new().output(&mut out)).unwrap();
}

fn bad_launches_are_refused() {
    let refused = |kernel: &'static str, block: u32, grid: [u32; 3], shared: usize, word: &str| {
        let mut out = room(DType::F32, 2048);
        let launch = Launch { source: &SOURCE, defines: &[], kernel, grid, block, shared };
        // SAFETY: the launch is refused.
        let told =
            unsafe { device().launch(launch, Arguments::new().output(&mut out)) }.unwrap_err().to_string();
        assert!(told.contains(word), "{word:?} is not in: {told}");
    };
    refused("left_neighbour", 1025, [1, 1, 1], 0, "more than 1024");
    refused("left_neighbour", 64, [1, 65_536, 1], 0, "65535 along y or z");
    refused("bounded", 64, [1, 1, 1], 0, "its BOUNDS say 32");
    refused("left_neighbour", 64, [1, 1, 1], 228 << 10, "than a block can have");
    refused("no_such_kernel", 64, [1, 1, 1], 0, "no kernel no_such_kernel in faults.cu");
    // A host address where device memory is expected.
    let host = [0f32; 64];
    let launch = Launch {
        source: &SOURCE,
        defines: &[],
        kernel: "left_neighbour",
        grid: [1, 1, 1],
        block: 64,
        shared: 0,
    };
    // SAFETY: the launch is refused.
    let told = unsafe { device().launch(launch, Arguments::new().value(host.as_ptr() as u64)) };
    assert!(told.unwrap_err().to_string().contains("points to no device memory"));
}

/// The kernel has 256 bytes of static memory. The first launch is of less than 48 KiB of dynamic memory and of more in all,
/// so the library must have asked; the second is of all that a block can have, and no byte of dynamic memory may be added.
fn static_shared_memory_counts() {
    let most = device().shared_per_block() - 256;
    for (shared, fits) in [((48 << 10) - 128, true), (most, true), (most + 1, false)] {
        let mut out = room(DType::F32, THREADS);
        let run = Run { shared, ..Run::new(&SOURCE, "uninitialised_shared") };
        let told = run.go(Arguments::new().output(&mut out)).map_err(|e| e.to_string());
        assert_eq!(told.is_ok(), fits, "{shared}: {told:?}");
        assert!(fits || told.is_err_and(|e| e.contains("static and dynamic together")));
    }
}

fn missing_units_are_told() {
    let told = |source: &Source, defines: &[(&'static str, &str)]| {
        let launch = Launch { source, defines, kernel: "bounded", grid: [1, 1, 1], block: 32, shared: 0 };
        let mut out: CudaBuffer = room(DType::F32, 32);
        // SAFETY: nothing is launched.
        unsafe { device().launch(launch, Arguments::new().output(&mut out)) }.unwrap_err().to_string()
    };
    assert!(told(&SOURCE, &[("REAL", "f16"), ("A", "1")]).contains("// instances: A=1 REAL=f16"));
    let unknown = Source { name: "missing.cu", text: SOURCE.text };
    assert!(told(&unknown, &[]).contains("missing.cu: no such file"));
    let changed = Source { name: "numbers.cu", text: "another" };
    assert!(told(&changed, &[("REAL", "f16")]).contains("built from another state"));
}
