//! The cases as criterion benches, in processor time and shares of what the machine can do.

use super::{
    Case, Work,
    clock::{self, Stopwatch},
};
use criterion::{
    Criterion, Throughput,
    measurement::{Measurement, ValueFormatter},
};

/// Seconds of processor time of all threads.
pub(crate) struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    fn end(&self, (): ()) -> f64 {
        unreachable!("rounds time themselves")
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, seconds: &f64) -> f64 {
        seconds * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for ProcessorTime {
    fn format_throughput(&self, throughput: &Throughput, nanoseconds: f64) -> String {
        match throughput {
            Throughput::Bytes(n) => {
                let rate = *n as f64 / nanoseconds;
                format!("{rate:.2} GB/s {:.0} % of a copy", 1e11 * rate / clock::bandwidth())
            }
            Throughput::Elements(n) => {
                let rate = *n as f64 / nanoseconds;
                format!("{rate:.1} GFLOP/s {:.0} % of the peak", 1e11 * rate / clock::peak())
            }
            _ => unreachable!("work is counted in operations or bytes"),
        }
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (factor, unit) = match typical {
            t if t < 1e3 => (1.0, "ns"),
            t if t < 1e6 => (1e-3, "µs"),
            t if t < 1e9 => (1e-6, "ms"),
            _ => (1e-9, "s"),
        };
        values.iter_mut().for_each(|v| *v *= factor);
        unit
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let (Throughput::Bytes(n) | Throughput::Elements(n)) = *throughput else {
            unreachable!("work is counted in operations or bytes")
        };
        values.iter_mut().for_each(|v| *v = n as f64 / *v);
        if matches!(throughput, Throughput::Bytes(_)) { "GB/s" } else { "GFLOP/s" }
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

/// Runs all cases, as criterion's command line says.
pub(crate) fn run(group: &str, cases: Vec<Case>) {
    let mut criterion =
        Criterion::default().with_measurement(ProcessorTime).sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group(group);
    for case in cases {
        group.throughput(match case.work {
            Work::Flops(n) => Throughput::Elements(n as u64),
            Work::Bytes(n) => Throughput::Bytes(n as u64),
        });
        group.bench_function(&case.name, |bencher| {
            let mut round = (case.prepare)().expect("the case fits in memory");
            bencher.iter_custom(|calls| {
                let mut watch = Stopwatch::default();
                for _ in 0..calls {
                    round(&mut watch).expect("the case runs");
                }
                watch.processor
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
