//! Single operations and their gradients, as criterion benches.
//!
//! `cargo bench --bench operations` times all of them, words after `--` pick some by their names. Times are processor time
//! of all threads, which leaves out what other programs take. The throughput is the textbook algorithm's arithmetic beside
//! the measured peak of one core's fused multiply-adds, or the bytes of inputs and outputs beside the measured bandwidth
//! of a copy; Winograd's convolutions pass the peak, as they need less arithmetic. What was measured stands in
//! [README.md](README.md).

mod suite;

fn main() {
    suite::criterion::run("operations", suite::operations());
}
