//! Tensors on a GPU: copies, rounding, gradients, memory.
//!
//! Without a GPU each test is listed as ignored, with the reason at the top. `cargo run -p cellseg-emulator -- cargo test
//! -p cellseg-core` runs them on the emulated device.

use cellseg_core::{
    Buffer, CpuBuffer, DType, Device, Error, Kernel, Op, Result, Shape, Tape, Tensor,
    cuda::{Cuda, CudaBuffer},
};
use libtest_mimic::{Arguments, Failed, Trial};
use std::{process::Command, process::ExitCode, sync::Arc};

/// Bytes that the emulated device of `memory_runs_out` has.
const LITTLE: usize = 1 << 20;

fn gpu() -> Arc<Cuda> {
    Cuda::probe(0).expect("asked for before the tests were listed")
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 - 3.0) / 7.0).collect()
}

fn numbers_come_back_as_they_went() -> Result<()> {
    let device = Device::Cuda(gpu());
    for count in [1, 3, 4, 1023, 5000] {
        let x = Tensor::from_slice(&numbers(count), &[count])?;
        let there = x.to(&device)?;
        assert_eq!(there.to_vec::<f32>()?, numbers(count));
        assert!(there.as_slice::<f32>().is_err_and(|e| e.to_string().contains("Tensor::to")));
    }
    assert_eq!(Tensor::scalar(2.5f32)?.to(&device)?.item()?, 2.5);
    Ok(())
}

fn types_are_rounded_as_on_the_cpu() -> Result<()> {
    let device = Device::Cuda(gpu());
    let mut xs = numbers(1003);
    xs.extend([
        f32::INFINITY,
        f32::NEG_INFINITY,
        65504.0,
        65519.9,
        65520.0,
        1e-8,
        -3e-6,
        6.1e-5,
        f32::MIN_POSITIVE,
        -0.0,
    ]);
    let x = Tensor::from_slice(&xs, &[xs.len()])?;
    for from in [DType::F32, DType::F16, DType::BF16] {
        for to in [DType::F32, DType::F16, DType::BF16] {
            let x = x.cast(from)?;
            let (here, there) = (x.cast(to)?, x.to(&device)?.cast(to)?.to(&Device::Cpu)?);
            let bits = |t: &Tensor| match t.buffer() {
                Buffer::Cpu(b) => b.as_bytes().to_vec(),
                Buffer::Cuda(_) => Vec::new(),
            };
            assert!(bits(&here) == bits(&there), "{from:?} to {to:?}");
        }
    }
    let told = x.to(&device)?.cast(DType::U8).expect_err("no kernel takes bytes").to_string();
    assert!(told.contains("f32, f16 or bf16"), "{told}");
    Ok(())
}

/// The numbers of any type as `f32`.
fn as_f32(t: &Tensor) -> Result<Vec<f32>> {
    t.to(&Device::Cpu)?.cast(DType::F32)?.to_vec()
}

fn two_gradients_of_one_tensor_are_added() -> Result<()> {
    let device = Device::Cuda(gpu());
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let tape = Tape::new();
        let x = Tensor::from_slice(&numbers(1001), &[7, 11, 13])?.cast(dtype)?.to(&device)?.trainable();
        let both = cellseg_core::apply(Both, [x.on(&tape).into(), x.on(&tape).into()])?;
        let g = Tensor::from_slice(&numbers(1001), &[7, 11, 13])?.cast(dtype)?.to(&device)?;
        let grads = tape.backward_from(&both, g.clone())?;
        let sum = grads.get(&x).expect("a gradient");
        assert_eq!(sum.device(), device);
        let doubled: Vec<f32> = as_f32(&g)?.iter().map(|g| 2.0 * g).collect();
        assert_eq!(as_f32(sum)?, doubled);
    }
    Ok(())
}

/// An operation of two inputs that hands its gradient to both: what it computes does not matter here.
#[derive(Clone)]
struct Both;

impl Kernel<2> for Both {
    const NAME: &'static str = "both";
    type Aux = ();

    fn shape(&self, [x, _]: [Shape; 2]) -> Result<Shape> {
        Ok(x)
    }

    fn cuda(
        &self,
        _: &Arc<Cuda>,
        _: [Shape; 2],
        _: [&CudaBuffer; 2],
        _: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        Ok(())
    }
}

impl Op<2> for Both {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 2], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        Ok([Some(grad.clone()), Some(grad)])
    }
}

fn memory_is_reused_and_counted() -> Result<()> {
    const BYTES: usize = 8 * 512;
    let gpu = gpu();
    let ask = || CudaBuffer::new(&gpu, DType::F32, BYTES / 4);
    gpu.trim();
    drop(ask()?);
    let before = gpu.memory();
    for _ in 0..10 {
        let buffer = ask()?;
        assert_eq!(gpu.memory().live, before.live + BYTES);
        drop(buffer);
        assert_eq!(gpu.memory().live, before.live);
    }
    assert_eq!(gpu.memory().fresh, before.fresh, "nothing new is asked of the driver");
    gpu.trim();
    assert_eq!(gpu.memory().cached, 0);
    Ok(())
}

/// In a process of its own, whose emulated device has little memory.
fn memory_runs_out() -> Result<()> {
    let mut command = Command::new(std::env::current_exe().expect("this test's own path"));
    command.args(["--exact", "with little memory", "--include-ignored", "--nocapture"]);
    let output = command.env("CELLSEG_EMULATED_MEMORY", LITTLE.to_string()).output().expect("it runs again");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    Ok(())
}

/// Memory that is kept for reuse is given back where other sizes need it; what is more than the device has is an error
/// that names it, after which everything still works.
fn with_little_memory() -> Result<()> {
    let gpu = gpu();
    let ask = |bytes: usize| CudaBuffer::new(&gpu, DType::F32, bytes / 4);
    let half = LITTLE / 2;
    drop((ask(half)?, ask(half / 2)?));
    assert!(gpu.memory().cached >= half, "kept: {:?}", gpu.memory());
    let most = ask(LITTLE - (64 << 10))?;
    assert_eq!(gpu.memory().cached, 0, "all that was kept had to go");
    match ask(half) {
        Err(Error::Memory { bytes, device }) => {
            assert!(bytes == half && device.contains("emulated"), "{bytes} {device}")
        }
        other => panic!("{:?}", other.map(|_| "memory")),
    }
    drop(most);
    let mut host = CpuBuffer::new(DType::F32, 10)?;
    host.as_mut_slice::<f32>().expect("of that type").fill(4.0);
    let there = CudaBuffer::upload(&gpu, &host)?;
    assert_eq!(there.download()?.as_slice::<f32>(), Some(&[4.0; 10][..]));
    Ok(())
}

fn the_same_gpu_is_opened_once() -> Result<()> {
    assert!(Arc::ptr_eq(&Cuda::probe(0)?, &gpu()));
    let count = Cuda::count()?;
    assert!(count >= 1);
    let told = Cuda::probe(count).err().expect("one more than there are").to_string();
    assert!(
        told.contains(&format!("CUDA device {count}")) && told.contains("no GPU of this number"),
        "{told}"
    );
    Ok(())
}

fn work_is_timed() -> Result<()> {
    let gpu = gpu();
    let ((), seconds) = gpu.timed(|| CudaBuffer::zeroed(&gpu, DType::F32, 1 << 20).map(drop))?;
    assert!(seconds > 0.0 && seconds < 10.0, "{seconds}");
    Ok(())
}

fn main() -> ExitCode {
    type Test = fn() -> Result<()>;
    let tests: [(&str, Test); 8] = [
        ("numbers come back as they went", numbers_come_back_as_they_went),
        ("types are rounded as on the CPU", types_are_rounded_as_on_the_cpu),
        ("two gradients of one tensor are added", two_gradients_of_one_tensor_are_added),
        ("memory is reused and counted", memory_is_reused_and_counted),
        ("memory runs out", memory_runs_out),
        ("with little memory", with_little_memory),
        ("the same GPU is opened once", the_same_gpu_is_opened_once),
        ("work is timed", work_is_timed),
    ];
    let found = Cuda::probe(0);
    match &found {
        Ok(gpu) => println!("on {}", gpu.name()),
        Err(why) => println!("skipped, no GPU to test on: {why}"),
    }
    let emulated = found.as_ref().is_ok_and(|gpu| gpu.name().contains("emulated"));
    let trials = tests.map(|(name, test)| {
        // The second of these two is run by the first, in a process of its own.
        let ignored =
            found.is_err() || name == "with little memory" || name == "memory runs out" && !emulated;
        Trial::test(name, move || test().map_err(Failed::from)).with_ignored_flag(ignored)
    });
    // One after the other, since some count the device's memory.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}
