//! The cases as a server for `race.py`, which runs peers in turn with them.
//!
//! Commands are lines: `list` answers with a JSON array of the cases, `run I` does the case with that index once and
//! answers with its seconds, `device` says where, `save I FILE` writes what it computed as little-endian `f32`, `stop` frees the case's memory
//! and answers with the most bytes that tensors took since the case began. Each answer is one line. The cases run on the
//! CPU in `f32`; `--device cuda:0 --dtype bf16` is what `gpu/race.py` says.

mod suite;

use cellseg_core::{DType, Device};
use serde_json::json;
use std::{
    fs,
    io::{self, BufRead, Write},
};
use suite::{Case, Result, Round, Work, clock::Stopwatch, networks, operations, place::place, swin_unetr};

/// The cases, and the one that is ready to run.
struct Server {
    cases: Vec<Case>,
    ready: Option<(usize, Round)>,
}

impl Server {
    fn round(&mut self, index: &str) -> Result<&mut Round> {
        let index: usize = index.parse()?;
        if !matches!(self.ready, Some((i, _)) if i == index) {
            self.ready = None;
            place().reset_memory();
            let case = self.cases.get(index).ok_or("no case has this index")?;
            self.ready = Some((index, (case.prepare)()?));
        }
        Ok(self.ready.as_mut().map(|(_, round)| round).ok_or("no case is ready")?)
    }

    fn answer(&mut self, line: &str) -> Result<serde_json::Value> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(match words[..] {
            ["list"] => {
                let listed = self.cases.iter().map(|c| {
                    let (unit, count) = match c.work {
                        Work::Flops(count) => ("flops", count),
                        Work::Bytes(count) => ("bytes", count),
                    };
                    json!({ "name": c.name, "what": c.what, unit: count })
                });
                listed.collect()
            }
            ["device"] => json!({ "name": place().gpu().map_or_else(|| "CPU".into(), |gpu| gpu.name()) }),
            ["run", index] => {
                let mut watch = Stopwatch::default();
                self.round(index)?(&mut watch)?;
                json!({ "wall": watch.wall, "processor": watch.processor, "device": watch.device })
            }
            ["save", index, file] => {
                let tensors = self.round(index)?(&mut Stopwatch::default())?;
                let mut bytes = vec![];
                for t in tensors {
                    bytes.extend(
                        t.to(&Device::Cpu)?
                            .cast(DType::F32)?
                            .to_vec::<f32>()?
                            .iter()
                            .flat_map(|x| x.to_le_bytes()),
                    );
                }
                fs::write(file, bytes)?;
                json!({})
            }
            ["stop"] => {
                self.ready = None;
                let peak = place().peak_memory();
                place().reset_memory();
                json!({ "peak": peak })
            }
            _ => return Err(format!("not a command: {line}").into()),
        })
    }
}

fn main() -> Result<()> {
    let cases = operations().into_iter().chain(networks::cases()).chain(swin_unetr::cases()).collect();
    let mut server = Server { cases, ready: None };
    for line in io::stdin().lock().lines() {
        let answer = server.answer(&line?)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
