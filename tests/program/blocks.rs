//! `cellseg post` on volumes that need not fit into memory, and on ids of 64 bits.

use super::{Bench, json, text};
use cellseg::io::{Overwrite, Volume, read_any, read_volume, write_labels, write_npy, write_volume};
use cellseg::post::{Connectivity, components, components_of_ids, mask_above};
use ndarray::{Array3, s};
use std::{
    fs::{self, File},
    io::Write,
    process::Command,
    thread,
    time::{Duration, Instant},
};

impl Bench {
    /// An `.npy` file of zeros of type `kind`, which takes no room on the disk.
    fn zeros(&self, name: &str, kind: &str, bytes: u64, [z, y, x]: [u64; 3]) {
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({z}, {y}, {x}), }}");
        // The values begin at byte 128.
        header = format!("{header:117}\n");
        let mut file = File::create(self.path(name)).expect("a file");
        file.write_all(b"\x93NUMPY\x01\x00\x76\x00")
            .and_then(|()| file.write_all(header.as_bytes()))
            .expect("a header");
        file.set_len(128 + bytes * z * y * x).expect("a sparse file");
    }

    /// Runs a command under a limit that the shell's `ulimit` sets.
    fn limited(&self, limit: &str, line: &str) -> std::process::Output {
        let program = env!("CARGO_BIN_EXE_cellseg");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("ulimit {limit}; exec {program} {line}")).current_dir(self.0.path());
        shell.output().expect("a shell")
    }
}

#[test]
fn components_are_those_of_the_library_whatever_the_input_holds() {
    let bench = Bench::new();
    let map = Array3::from_shape_fn((20, 30, 40), |(z, y, x)| ((z * 7 + y * 11 + x * 13) % 17) as f32 / 17.0);
    bench.volume("p.tif", map.clone());
    let mask = mask_above(map.view(), 0.6);
    for (name, inside) in [("m1.tif", 1u8), ("m255.npy", 255)] {
        let voxels = Volume::new(mask.mapv(|is| inside * u8::from(is)), name);
        write_volume(bench.path(name), &voxels, Overwrite::Refuse).expect("a mask file");
    }
    let ids = Array3::from_shape_fn((20, 30, 40), |(z, y, x)| [0, 5, 70_000][(z / 3 + y / 4 + x / 5) % 3]);
    write_labels(bench.path("l.tif"), &Volume::new(ids.clone(), "l"), Overwrite::Refuse).expect("labels");
    for (name, connectivity) in
        [("6", Connectivity::Six), ("18", Connectivity::Eighteen), ("26", Connectivity::TwentySix)]
    {
        let whole = components(mask.view(), connectivity).expect("a mask");
        for input in ["p.tif --threshold 0.6", "m1.tif", "m255.npy"] {
            let line = format!("post components {input} -o c.tif --connectivity {name} --force --json");
            assert_eq!(json(&bench.succeed(&line))["objects"], whole.count(), "{line}");
            assert_eq!(bench.ids("c.tif"), whole.ids(), "{line}");
        }
        let whole = components_of_ids(ids.view(), connectivity).expect("ids");
        bench.succeed(&format!("post components l.tif --ids -o c.tif --connectivity {name} --force"));
        assert_eq!(bench.ids("c.tif"), whole.ids());
    }
    bench.fail("post components p.tif -o d.tif", &["p.tif holds f32", "--threshold", "--ids"]);
    bench.fail("post components m1.tif -o c.tif", &["c.tif exists", "--force"]);
    bench.fail("post components m1.tif -o d.jpg", &[".tif, .tiff or .npy"]);
    bench.volume("nan.npy", Array3::from_elem((2, 3, 4), f32::NAN));
    bench.fail("post components nan.npy --threshold 0 -o d.tif", &["nan.npy", "[0, 0, 0] is NaN"]);
    assert!(
        !bench.files().iter().any(|name| name.starts_with('d') || name.starts_with('.')),
        "{:?}",
        bench.files()
    );
}

#[test]
fn instances_in_blocks_are_those_of_the_whole_volume() {
    let bench = Bench::new();
    // Soft balls of diameter 9 on a lattice.
    let map = Array3::from_shape_fn((20, 34, 64), |(z, y, x)| {
        let off = |place: usize, step: usize| (place % step) as f32 - 5.0;
        let distance = (off(z, 10).powi(2) + off(y, 12).powi(2) + off(x, 11).powi(2)).sqrt();
        1.0 / (1.0 + (2.0 * (distance - 4.5)).exp())
    });
    bench.volume("v.tif", map);
    let fixed = "--threshold 0.5 --diameter 9 --spacing 1,1,1";
    for method in ["peaks", "voronoi-otsu", "watershed"] {
        let line = format!("--method {method} {fixed} --force --json");
        let whole = json(&bench.succeed(&format!("post instances v.tif -o whole.tif {line}")));
        let blocks =
            json(&bench.succeed(&format!("post instances v.tif -o blocks.tif {line} --block 16,11,21")));
        assert_eq!(whole["objects"], blocks["objects"], "{method}");
        assert!(whole["objects"].as_u64().is_some_and(|objects| objects >= 36), "{whole}");
        assert_eq!(bench.ids("whole.tif"), bench.ids("blocks.tif"), "{method}");
    }
    bench.fail("post instances v.tif -o x.tif --block 8,8,8", &["--threshold", "--diameter"]);
    for method in ["components", "cellseg3d-voronoi-otsu"] {
        bench.fail(
            &format!("post instances v.tif -o x.tif {fixed} --block 8,8,8 --method {method}"),
            &["--block", "use "],
        );
    }
    bench.fail(&format!("post instances v.tif -o x.tif {fixed} --block 8,0,8"), &["[8, 0, 8]"]);
    bench.fail(&format!("post instances v.tif -o x.tif {fixed} --block 8,8,8 --halo=-2"), &["--halo is -2"]);
}

#[test]
fn a_table_is_measured_in_less_memory_than_the_labels_take() {
    let bench = Bench::new();
    // 4.3 GB of zeros, with an address space of 2 GB.
    bench.zeros("zeros.npy", "<u4", 4, [256, 2048, 2048]);
    let output = bench.limited("-v 2000000", "post stats zeros.npy -o t.csv --spacing 1,1,1 --threads 2");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "0 cells: t.csv\n");
    let output =
        bench.limited("-v 2000000", "post crop zeros.npy -o c.tif --start 255,2047,2000 --size 1,1,48");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Returns once a process has its own way of taking SIGINT.
fn wait_until_it_listens(process: u32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
        let caught =
            status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("its signals").trim();
        if u64::from_str_radix(caught, 16).expect("a mask") >> (libc::SIGINT - 1) & 1 == 1 {
            return;
        }
        assert!(Instant::now() < deadline, "the program does not listen to interrupts");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupt_stops_the_work_at_the_next_slab_and_leaves_nothing() {
    let bench = Bench::new();
    bench.zeros("zeros.npy", "|u1", 1, [4096, 2048, 2048]);
    for command in ["post components zeros.npy -o c.tif", "stats zeros.npy -o c.csv"] {
        let mut running = bench.command(command).spawn().expect("the program starts");
        wait_until_it_listens(running.id());
        // SAFETY: the process is this test's child and has not been waited for.
        unsafe { libc::kill(running.id() as i32, libc::SIGINT) };
        assert_eq!(running.wait().expect("an end").code(), Some(130), "{command}");
        assert_eq!(bench.files(), ["zeros.npy"], "{command}");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let bench = Bench::new();
    let noise =
        Array3::from_shape_fn((16, 40, 40), |(z, y, x)| ((z * 977 + y * 6151 + x * 7919) % 1009) as f32);
    bench.volume("v.npy", noise.clone());
    let ids = Volume::new(noise.mapv(|value| value as u32), "l");
    write_labels(bench.path("l.npy"), &ids, Overwrite::Refuse).expect("labels");
    for (step, output) in [
        ("components v.npy --threshold 500", "out.tif"),
        ("crop v.npy --start 0,0,0 --size 16,40,40", "out.tif"),
        ("relabel l.npy", "out.npy"),
        ("stats l.npy", "out.csv"),
    ] {
        // Blocks of 512 bytes, so 1 kB.
        let failed = bench.limited("-f 2", &format!("post {step} -o {output}"));
        let told = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{step}: {told}");
        assert!(told.contains(&format!("cannot write {output}")), "{step}: {told}");
        assert_eq!(bench.files(), ["l.npy", "v.npy"], "{step}");
    }
}

#[test]
fn ids_of_64_bits_are_taken_and_given() {
    let bench = Bench::new();
    let mut ids = Array3::<i64>::zeros((4, 6, 8));
    ids.slice_mut(s![.., ..2, ..]).fill(7);
    ids.slice_mut(s![.., 4.., ..]).fill(3);
    write_npy(bench.path("fit.npy"), ids.view(), Overwrite::Refuse).expect("a file");
    assert_eq!(json(&bench.succeed("post stats fit.npy -o t.csv --json"))["cells"], 2);

    let wide = ids.mapv(|id| if id == 0 { 0 } else { (1i64 << 40) + id });
    write_npy(bench.path("wide.npy"), wide.view(), Overwrite::Refuse).expect("a file");
    let output = bench.run("post stats wide.npy -o w.csv");
    let told = text(&output.stderr);
    assert!(
        output.status.success() && told.contains("1099511627783") && told.contains("--old-ids"),
        "{told}"
    );
    let table = fs::read_to_string(bench.path("w.csv")).expect("a table");
    assert!(table.lines().nth(1).is_some_and(|row| row.starts_with("1,64,")), "{table}");

    bench.succeed("post relabel wide.npy -o narrow.tif --old-ids ids.csv");
    let dense = ids.mapv(|id| match id {
        3 => 1,
        7 => 2,
        other => other as u32,
    });
    assert_eq!(bench.ids("narrow.tif"), dense);
    let table = fs::read_to_string(bench.path("ids.csv")).expect("a table");
    assert_eq!(table, "label,old_label\n1,1099511627779\n2,1099511627783\n");
    bench.succeed("post relabel narrow.tif -o back.npy --u64");
    assert_eq!(read_any(bench.path("back.npy")).expect("labels").dtype().name(), "u64");
    assert_eq!(bench.ids("back.npy"), dense);

    bench.fail(
        "post components wide.npy --ids -o c.tif",
        &["wide.npy", "1099511627783", "32 bits", "renumber"],
    );
    ids[[1, 2, 3]] = -1;
    write_npy(bench.path("bad.npy"), ids.view(), Overwrite::Refuse).expect("a file");
    for step in ["stats bad.npy -o x.csv", "relabel bad.npy -o x.tif", "components bad.npy --ids -o x.tif"] {
        bench.fail(&format!("post {step}"), &["bad.npy", "-1 at (z, y, x) = (1, 2, 3)", "0 to 4294967295"]);
    }
}

#[test]
fn what_cannot_be_meant_is_refused_and_what_may_not_be_is_warned_of() {
    let bench = Bench::new();
    bench.synthetic();
    bench.volume("nan.npy", {
        let mut map = read_volume(bench.path("v.tif")).expect("a volume").data;
        map[[3, 2, 1]] = f32::NAN;
        map
    });
    bench.volume("small.npy", Array3::zeros((2, 2, 2)));
    let before = bench.files();
    for (line, needles) in [
        ("threshold nan.npy --value 0.5 -o x.tif", ["nan.npy", "[3, 2, 1] is NaN"]),
        ("resample nan.npy --to 1,1,1 --spacing 2,1,1 -o x.tif", ["nan.npy", "[3, 2, 1] is NaN"]),
        ("stats v_labels.tif --image nan.npy -o x.csv", ["nan.npy", "[3, 2, 1] is NaN"]),
        ("stats v_labels.tif --image small.npy -o x.csv", ["small.npy", "[2, 2, 2]"]),
        ("stats v_labels.tif --all --image small.npy -o x.csv", ["small.npy", "[2, 2, 2]"]),
        ("stats v_labels.tif -o x.xlsx", ["x.xlsx", "name it .csv"]),
        ("overlay v.tif v_labels.tif -o x.tif", ["PNG", "x.tif"]),
        ("best-threshold small.npy --truth small.npy", ["every voxel is 0", "threshold"]),
        ("sizes v_labels.tif --min-volume nan -o x.tif", ["NaN", "--min"]),
        ("sizes v_labels.tif --min-voxels 9 --max-voxels 8 -o x.tif", ["9 to 8 voxels", "--min"]),
    ] {
        bench.fail(&format!("post {line}"), &needles);
        assert_eq!(bench.files(), before, "{line}");
    }
    bench.succeed("post semantic v_labels.tif -o binary.tif");
    bench.volume("grey.npy", Array3::from_shape_fn((4, 9, 9), |(z, y, x)| (z * y * x) as f32));
    for (input, method, warning) in [
        ("binary.tif", "cellseg3d-voronoi-otsu", "only two values"),
        ("binary.tif", "peaks", "only two values"),
        ("grey.npy", "cellseg3d-watershed", "goes up to 192"),
    ] {
        let output =
            bench.run(&format!("post instances {input} -o x.tif --method {method} --spacing 1,1,1 --force"));
        let told = text(&output.stderr);
        assert!(output.status.success() && told.contains(warning), "{method}: {told}");
    }
    let warned = text(&bench.run("post stats v_labels.tif -o x.csv --spacing 1,1,1").stderr);
    assert!(!warned.contains('\u{1b}'), "no colours where nobody sees them: {warned}");
}
