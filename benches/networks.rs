//! Whole networks as criterion benches: `cargo bench --bench networks`. See [`operations`](operations.rs) for what is
//! printed.

mod suite;

fn main() {
    suite::criterion::run("networks", suite::networks::cases());
}
