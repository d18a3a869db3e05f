//! The stand-in driver: what is queued has not happened before somebody waits for it, and its settings are obeyed.

use crate::{Run, device, download, room, trial};
use cellseg_core::{
    DType, Error,
    cuda::{Arguments, Cuda, CudaBuffer, Pinned, Source},
};
use libtest_mimic::Trial;
use std::{
    env,
    process::{Command, Output},
};

const SOURCE: Source = Source { name: "targets.cu", text: include_str!("../kernels/targets.cu") };

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a copy from pinned memory happens when it is waited for", copies_are_queued),
        trial("a fault of a thread is not told to another", faults_are_told_to_their_thread),
        trial("the device calls itself emulated", || assert!(device().name().starts_with("emulated device"))),
        trial("kernels are those of the device's generation", || generation(900.0)),
    ];
    // Settings are read once a process: each is tried in a process of its own, which runs one of these.
    if env::var_os("CELLSEG_EMULATED_CAPABILITY").is_some() {
        return vec![trial("an older device", older_device)];
    }
    if env::var_os("CELLSEG_EMULATED_MEMORY").is_some() {
        return vec![trial("a device with little memory", little_memory)];
    }
    if env::var_os("CELLSEG_EMULATED_DEVICES").is_some() {
        return vec![trial("two devices", two_devices)];
    }
    for (variable, value) in [
        ("CELLSEG_EMULATED_CAPABILITY", "7.5"),
        ("CELLSEG_EMULATED_MEMORY", "1M"),
        ("CELLSEG_EMULATED_DEVICES", "2"),
    ] {
        trials.push(trial(format!("{variable}={value}"), move || {
            let output = again(variable, value);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }));
    }
    trials.push(trial("a setting that cannot be read ends the process", || {
        let output = again("CELLSEG_EMULATED_MEMORY", "much");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("CELLSEG_EMULATED_MEMORY=much"));
    }));
    trials
}

/// This program with a setting.
fn again(variable: &str, value: &str) -> Output {
    Command::new(env::current_exe().unwrap()).env(variable, value).arg("device").output().unwrap()
}

fn generation(expected: f32) {
    let mut out = room(DType::F32, 64);
    Run::new(&SOURCE, "generation").go(Arguments::new().output(&mut out)).unwrap();
    assert_eq!(download::<f32>(&out), [expected; 64]);
}

fn copies_are_queued() {
    let mut pinned = Pinned::new(&device(), DType::F32, 64).unwrap();
    pinned.as_mut_slice::<f32>().unwrap().fill(1.0);
    let first = pinned.upload(&[64]).unwrap();
    // Safe code waits before it writes; after that the copy has read what was there.
    pinned.as_mut_slice::<f32>().unwrap().fill(2.0);
    let second = pinned.upload(&[64]).unwrap();
    for (upload, expected) in [(first, 1.0), (second, 2.0)] {
        let there = upload.arrive().unwrap();
        let here = there.to(&cellseg_core::Device::Cpu).unwrap();
        assert_eq!(here.to_vec::<f32>().unwrap(), [expected; 64]);
    }
}

fn faults_are_told_to_their_thread() {
    let mut out = room(DType::F32, 64);
    let launch = cellseg_core::cuda::Launch {
        source: &crate::faults::SOURCE,
        defines: &[],
        kernel: "two_barriers",
        grid: [1, 1, 1],
        block: 64,
        shared: 0,
    };
    // SAFETY: the fault is found before anything is written.
    unsafe { device().launch(launch, Arguments::new().output(&mut out)).unwrap() };
    std::thread::spawn(|| device().synchronize().unwrap()).join().unwrap();
    assert!(device().synchronize().unwrap_err().to_string().contains("different barriers"));
    device().synchronize().unwrap();
}

fn older_device() {
    assert_eq!(device().capability(), (7, 5));
    assert_eq!(device().shared_per_block(), 64 << 10);
    generation(750.0);
}

fn little_memory() {
    assert!(matches!(CudaBuffer::new(&device(), DType::F32, 1 << 18 | 1), Err(Error::Memory { .. })));
    // What was given back can be had again, also in another size.
    for count in [1 << 17, 1 << 16, 1 << 17] {
        drop([room(DType::F32, count), room(DType::F32, 1 << 14)]);
    }
}

fn two_devices() {
    assert_eq!(Cuda::count().unwrap(), 2);
    let names = [0, 1].map(|ordinal| Cuda::probe(ordinal).unwrap().ordinal());
    assert_eq!(names, [0, 1]);
    assert!(Cuda::probe(2).is_err());
}
