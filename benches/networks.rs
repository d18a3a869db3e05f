//! Whole networks as criterion benches: `cargo bench --bench networks`. See [`operations`](operations.rs) for what is
//! printed.

mod suite;

fn main() {
    let cases = suite::networks::cases().into_iter().chain(suite::swin_unetr::cases()).collect();
    suite::criterion::run("networks", cases);
}
