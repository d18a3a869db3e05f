//! The program `cellseg`, run as users run it.

#[cfg(target_os = "linux")]
mod blocks;
mod networks;
mod post;

use cellseg::io::{Overwrite, Volume, Weights, read_labels, write_labels, write_volume};
use ndarray::Array3;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

/// A folder for one test, with the program at hand.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Bench(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellseg"));
        command.args(line.split_whitespace()).current_dir(self.0.path());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("the program starts")
    }

    /// Runs a command that must succeed, and returns what it printed.
    fn succeed(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "`{line}` failed: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must fail with exit code 1 and a message that holds all of `needles`, and no panic.
    fn fail(&self, line: &str, needles: &[&str]) {
        let output = self.run(line);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "`{line}`: {told}");
        assert!(!told.contains("panicked"), "{told}");
        for needle in needles {
            assert!(told.contains(needle), "`{line}` should tell `{needle}`: {told}");
        }
    }

    fn volume(&self, name: &str, voxels: Array3<f32>) {
        write_volume(self.path(name), &Volume::new(voxels, name), Overwrite::Refuse).expect("a volume file");
    }

    /// A small synthetic volume `v.tif` with labels `v_labels.tif`.
    fn synthetic(&self) {
        self.succeed("synth -o v.tif --shape 16,32,32 --nuclei 6 --seed 3");
    }

    /// Settings of a training that takes seconds, in `fast.toml`.
    fn fast_settings(&self, steps: u32) {
        let settings = format!(
            "[train]\nsteps = {steps}\npatch = [16, 16, 16]\ncheckpoint_every = 2\nvalidate_every = 2\n\
             [train.network]\nwidth = 4\n"
        );
        fs::write(self.path("fast.toml"), settings).expect("a settings file");
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .expect("a folder")
            .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(printed: &str) -> serde_json::Value {
    serde_json::from_str(printed).unwrap_or_else(|e| panic!("{e}: {printed}"))
}

#[test]
fn a_volume_goes_the_whole_way_to_scores() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(4);
    let trained = json(&bench.succeed("train v.tif -o w.safetensors --config fast.toml --json"));
    assert_eq!(trained["steps"], 4);
    let losses = fs::read_to_string(bench.path("w.losses.csv")).expect("a course of the losses");
    assert_eq!(losses.lines().count(), 5, "{losses}");

    let segmented = json(&bench.succeed(
        "segment v.tif -w w.safetensors -o l.tif --probabilities p.tif --stats s.csv --preview o.png --json",
    ));
    let cells = segmented["cells"].as_u64().expect("a count");
    let labels = read_labels(bench.path("l.tif")).expect("labels");
    assert_eq!(labels.shape(), [16, 32, 32]);
    assert_eq!(u64::from(labels.data.iter().copied().max().unwrap_or(0)), cells);
    assert!(labels.spacing.is_some(), "labels keep the spacing of the volume");
    let rows = fs::read_to_string(bench.path("s.csv")).expect("a table").lines().count() as u64;
    assert_eq!(rows, cells + 1);
    assert!(fs::read(bench.path("o.png")).expect("a picture").starts_with(b"\x89PNG"));
    let effective = fs::read_to_string(bench.path("l.run.toml")).expect("the settings in effect");
    assert!(effective.contains("[instances") && effective.contains("window"), "{effective}");

    let perfect = json(&bench.succeed("evaluate --truth v_labels.tif --prediction v_labels.tif --json"));
    assert_eq!((&perfect["f1"], &perfect["dice"]), (&1.0.into(), &1.0.into()));
    bench.succeed("evaluate --truth v_labels.tif --prediction l.tif");
    bench.succeed("stats v_labels.tif --image v.tif -o t.csv");
    bench.succeed("stats v_labels.tif --cellseg3d -o c.csv");
    let header = fs::read_to_string(bench.path("c.csv")).expect("a table");
    assert!(
        header.starts_with("Volume,Centroid x,Centroid y,Centroid z,Sphericity (axes),Image size,"),
        "{header}"
    );
    assert!(bench.succeed("info v.tif").contains("16 x 32 x 32"));
    assert!(bench.succeed("info w.safetensors").contains("width 4"));

    // The settings in effect, given back, give the same labels.
    bench.succeed("segment v.tif -w w.safetensors -o again.tif --config l.run.toml");
    assert_eq!(read_labels(bench.path("again.tif")).expect("labels").data, labels.data);
}

#[test]
fn predictions_are_maps_of_all_classes() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(1);
    bench.succeed("train v.tif -o w.safetensors --config fast.toml");
    let report = json(&bench.succeed("predict v.tif --model wnet3d --weights w.safetensors -o p.npy --json"));
    assert_eq!(report["shape"], serde_json::json!([2, 16, 32, 32]));
    let maps: ndarray::Array4<f32> = ndarray_npy::read_npy(bench.path("p.npy")).expect("an array");
    assert!(maps.sum_axis(ndarray::Axis(0)).iter().all(|s| (s - 1.0).abs() < 1e-5));
    bench.succeed("predict v.tif --model wnet3d --weights w.safetensors -o l.npy --logits");
    let logits: ndarray::Array4<f32> = ndarray_npy::read_npy(bench.path("l.npy")).expect("an array");
    let difference = |m: &ndarray::Array4<f32>, k: usize| m[[k, 8, 16, 16]];
    let p = 1.0 / (1.0 + (difference(&logits, 1) - difference(&logits, 0)).exp());
    assert!((p - maps[[0, 8, 16, 16]]).abs() < 1e-5);
    bench.fail("predict v.tif --model wnet3d -w w.safetensors -o p.tif", &["p.tif", ".npy"]);
    let report = json(
        &bench.succeed("predict v.tif --model wnet3d -w w.safetensors -o r.npy --reconstruction --json"),
    );
    assert_eq!(report["shape"], serde_json::json!([1, 16, 32, 32]));
}

#[test]
fn a_folder_is_segmented_file_by_file_and_a_bad_file_does_not_cost_the_others() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(1);
    bench.succeed("train v.tif -o w.safetensors --config fast.toml");
    fs::create_dir(bench.path("in")).expect("a folder");
    fs::copy(bench.path("v.tif"), bench.path("in/a.tif")).expect("a copy");
    fs::write(bench.path("in/b.tif"), b"II*\0").expect("a damaged file");
    fs::copy(bench.path("v.tif"), bench.path("in/c.tif")).expect("a copy");
    let output = bench.run("segment in -w w.safetensors -o out --stats out");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("b.tif"));
    for name in ["a_labels.tif", "c_labels.tif", "a_cells.csv", "run.toml"] {
        assert!(bench.path("out").join(name).exists(), "{name}");
    }
    fs::remove_file(bench.path("in/b.tif")).expect("the damaged file");
    let line = "segment in -w w.safetensors -o new --stats new --stats-format parquet";
    if cfg!(feature = "parquet") {
        bench.succeed(line);
        assert!(fs::read(bench.path("new/c_cells.parquet")).expect("a table").starts_with(b"PAR1"));
    } else {
        bench.fail(line, &["a_cells.parquet", "--features parquet"]);
        assert!(!bench.path("new").exists());
    }
}

#[test]
fn outputs_that_exist_are_refused_before_any_work_and_replaced_on_request() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fail("synth -o v.tif --shape 12,32,32 --nuclei 1", &["v.tif exists", "--force"]);
    assert_eq!(read_labels(bench.path("v_labels.tif")).expect("labels").shape(), [16, 32, 32]);
    bench.succeed("synth -o v.tif --shape 12,32,32 --nuclei 1 --force");
    assert_eq!(read_labels(bench.path("v_labels.tif")).expect("labels").shape(), [12, 32, 32]);
    bench.fail("synth -o nowhere/v.tif", &["nowhere", "does not exist"]);
}

#[test]
fn bad_volumes_are_errors_that_say_what_is_wrong() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(1);
    bench.succeed("train v.tif -o w.safetensors --config fast.toml");
    let whole = fs::read(bench.path("v.tif")).expect("a file");
    fs::write(bench.path("short.tif"), &whole[..whole.len() / 2]).expect("a file");
    fs::write(bench.path("noise.tif"), b"this is no picture").expect("a file");
    bench.volume("constant.tif", Array3::from_elem((8, 16, 16), 7.0));
    bench.volume("nan.npy", {
        let mut v = Array3::from_shape_fn((8, 16, 16), |(z, y, x)| (z + y * x) as f32);
        v[[1, 2, 3]] = f32::NAN;
        v
    });
    bench.volume("empty.npy", Array3::zeros((0, 16, 16)));
    ndarray_npy::write_npy(bench.path("plane.npy"), &ndarray::Array2::<f32>::zeros((8, 8))).expect("a file");
    ndarray_npy::write_npy(bench.path("film.npy"), &ndarray::Array4::<f32>::zeros((2, 3, 8, 8)))
        .expect("a file");
    for (file, needle) in [
        ("missing.tif", "missing.tif"),
        ("short.tif", "short.tif"),
        ("noise.tif", "noise.tif"),
        ("constant.tif", "constant.tif"),
        ("nan.npy", "nan.npy"),
        ("empty.npy", "empty.npy"),
        ("plane.npy", "plane.npy"),
        ("film.npy", "film.npy"),
    ] {
        bench.fail(&format!("segment {file} -w w.safetensors -o l.tif"), &[needle]);
        bench.fail(&format!("train {file} -o other.safetensors --config fast.toml"), &[needle]);
        assert!(!bench.path("l.tif").exists() && !bench.path("other.safetensors").exists());
        fs::remove_file(bench.path("l.run.toml")).ok();
        fs::remove_file(bench.path("other.run.toml")).ok();
    }
    bench.fail("stats nan.npy -o t.csv", &["nan.npy"]);
    // What a file holds can be told of any volume, even of one that nothing else can be done with.
    assert!(bench.succeed("info nan.npy").contains("not finite: 1 voxels"));
    bench.volume("blank.npy", Array3::from_elem((2, 4, 4), f32::NAN));
    assert!(bench.succeed("info blank.npy").contains("not finite: 32 voxels"));
    bench.fail("info empty.npy", &["empty.npy"]);
    write_labels(
        bench.path("small.tif"),
        &Volume::new(Array3::from_elem((2, 4, 4), 1u32), ""),
        Overwrite::Refuse,
    )
    .expect("labels");
    bench.fail("evaluate --truth v_labels.tif --prediction small.tif", &["[16, 32, 32]", "[2, 4, 4]"]);
}

#[test]
fn weights_of_another_network_name_the_first_tensor_that_does_not_fit() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(1);
    bench.succeed("train v.tif -o w.safetensors --config fast.toml");
    let mut weights = Weights::open(bench.path("w.safetensors")).expect("weights");
    weights
        .tensors
        .insert("encoder.conv1.module.0.weight".into(), ndarray::ArrayD::zeros(vec![4, 5, 3, 3, 3]));
    weights.save(bench.path("odd.safetensors"), Overwrite::Refuse).expect("a file");
    bench.fail(
        "segment v.tif -w odd.safetensors -o l.tif",
        &["encoder.conv1.module.0.weight", "[4, 5, 3, 3, 3]", "[4, 4, 3, 3, 3]"],
    );
    bench.fail("segment v.tif -w v.tif -o l.tif", &["v.tif"]);
    bench.fail("segment v.tif -w missing.pth -o l.tif", &["missing.pth"]);
    bench.fail("train v.tif -o n.safetensors --resume w.safetensors", &["checkpoint"]);
}

#[test]
fn a_settings_file_with_a_wrong_name_says_where() {
    let bench = Bench::new();
    bench.synthetic();
    fs::write(bench.path("bad.toml"), "[train]\nstepps = 3\n").expect("a file");
    bench.fail("train v.tif -o w.safetensors --config bad.toml", &["stepps", "bad.toml"]);
}

#[test]
fn training_that_is_killed_or_interrupted_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(40);
    bench.succeed("train v.tif -o whole.safetensors --config fast.toml --threads 2");
    let whole = fs::read(bench.path("whole.safetensors")).expect("weights");

    for (name, signal) in [("killed", "KILL"), ("stopped", "INT")] {
        let mut child = bench
            .command(&format!("train v.tif -o {name}.safetensors --config fast.toml --threads 1"))
            .spawn()
            .expect("the program starts");
        wait_for(&bench.path(&format!("{name}.checkpoint.safetensors")));
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let status = child.wait().expect("the program ends");
        assert_eq!(status.code(), (signal == "INT").then_some(130));
        assert!(!bench.path(&format!("{name}.safetensors")).exists());
        bench.succeed(&format!("train v.tif -o {name}.safetensors --resume {name}.checkpoint.safetensors"));
        assert_eq!(fs::read(bench.path(&format!("{name}.safetensors"))).expect("weights"), whole, "{name}");
        let losses = fs::read(bench.path(&format!("{name}.losses.csv"))).expect("losses");
        assert_eq!(losses, fs::read(bench.path("whole.losses.csv")).expect("losses"), "{name}");
    }
}

#[test]
fn labels_teach_a_network_that_segments() {
    let bench = Bench::new();
    bench.synthetic();
    let settings = "[supervised]\nsteps = 4\npatch = [16, 16, 16]\ncheckpoint_every = 2\nvalidate_every = 2\n\
                    [supervised.network]\nkind = \"unet\"\nwidth = 4\ndropout = 0.1\n";
    fs::write(bench.path("fast.toml"), settings).expect("a settings file");
    let train = "train v.tif --labels v_labels.tif --config fast.toml";
    let trained = json(&bench.succeed(&format!("{train} -o w.safetensors --json")));
    assert_eq!(trained["steps"], 4);
    assert!(trained["best_dice"].is_number(), "a part of the volume was kept back: {trained}");
    let losses = fs::read_to_string(bench.path("w.losses.csv")).expect("a course of the losses");
    assert!(losses.starts_with("step,loss,gradient_norm,learning_rate,dice\n1,"), "{losses}");
    let effective = fs::read_to_string(bench.path("w.run.toml")).expect("the settings in effect");
    assert!(effective.contains("[supervised.augmentation]"), "{effective}");
    bench.succeed("segment v.tif -w w.safetensors -o l.tif");
    assert_eq!(read_labels(bench.path("l.tif")).expect("labels").shape(), [16, 32, 32]);
    // Its checkpoint segments, too, and the weights are a start for more.
    bench.succeed("segment v.tif -w w.checkpoint.safetensors -o c.tif");
    assert_eq!(
        read_labels(bench.path("c.tif")).expect("labels").data,
        read_labels(bench.path("l.tif")).expect("labels").data
    );
    bench.succeed(
        "train v.tif --labels v_labels.tif --from w.safetensors --steps 1 --patch 16,16,16 -o f.safetensors",
    );
    bench.succeed("train v.tif --labels v_labels.tif --validation v.tif=v_labels.tif --config fast.toml -o x.safetensors");
    // Another network: its size is written with its weights.
    bench.succeed(&format!("{train} --network trailmap --width 2 -o t.safetensors"));
    bench.succeed("segment v.tif -w t.safetensors -o t_cells.tif");
}

#[test]
fn training_with_labels_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    bench.synthetic();
    let train =
        "train v.tif --labels v_labels.tif --patch 16,16,16 --width 4 --checkpoint-every 1 --steps 30";
    bench.succeed(&format!("{train} -o whole.safetensors --threads 2"));
    let mut child = bench
        .command(&format!("{train} -o stopped.safetensors --threads 1"))
        .spawn()
        .expect("the program starts");
    wait_for(&bench.path("stopped.checkpoint.safetensors"));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(child.wait().expect("the program ends").code(), Some(130));
    let resume = "-o stopped.safetensors --resume stopped.checkpoint.safetensors";
    bench.fail(&format!("train v.tif {resume}"), &["--labels"]);
    bench.succeed(&format!("train v.tif --labels v_labels.tif {resume}"));
    for suffix in ["safetensors", "losses.csv"] {
        let read = |name: &str| fs::read(bench.path(&format!("{name}.{suffix}"))).expect("an output");
        assert_eq!(read("stopped"), read("whole"), "{suffix}");
    }
}

#[test]
fn labels_that_do_not_belong_to_the_volumes_are_told() {
    let bench = Bench::new();
    bench.synthetic();
    let fails = |arguments: &str, needles: &[&str]| {
        bench.fail(
            &format!("train {arguments} -o w.safetensors --steps 1 --patch 16,16,16 --width 4 --force"),
            needles,
        );
    };
    bench.succeed("synth -o u.tif --shape 16,32,32 --nuclei 6 --seed 4");
    bench.succeed("synth -o thin.tif --shape 12,32,32 --nuclei 4 --seed 4");
    fails("v.tif u.tif --labels v_labels.tif", &["2 volumes", "1 label files"]);
    fails("v.tif u.tif --labels u_labels.tif --labels v_labels.tif", &["v.tif", "u_labels.tif", "order"]);
    fails("v.tif --labels thin_labels.tif", &["v.tif", "(12, 32, 32)", "(16, 32, 32)"]);
    bench.volume("empty.npy", Array3::zeros((16, 32, 32)));
    fails("v.tif --labels empty.npy", &["v.tif", "no foreground"]);
    bench.volume("full.npy", Array3::from_elem((16, 32, 32), 1.0));
    fails("v.tif --labels full.npy --hold-out 0", &["v.tif", "background must be 0"]);
    assert!(!bench.path("w.safetensors").exists());
}

#[test]
fn half_precision_is_a_setting_that_checkpoints_keep_and_options_choose() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(2);
    let trained = json(
        &bench.succeed("train v.tif -o h.safetensors --config fast.toml --compute f16 --device cpu --json"),
    );
    assert_eq!(trained["device"], "the CPU");
    let settings = fs::read_to_string(bench.path("h.run.toml")).expect("the settings in effect");
    assert!(settings.contains("compute = \"f16\""), "{settings}");
    bench.succeed("train v.tif -o again.safetensors --config h.run.toml --device cpu");
    let weights = |name: &str| fs::read(bench.path(name)).expect("weights");
    assert_eq!(weights("again.safetensors"), weights("h.safetensors"));
    bench.succeed("train v.tif -o single.safetensors --config fast.toml --device cpu");
    assert_ne!(weights("single.safetensors"), weights("h.safetensors"));
    let other = bench.run("train v.tif -o x.safetensors --resume h.checkpoint.safetensors --compute f32");
    assert_eq!(other.status.code(), Some(2), "a checkpoint has its type");

    let map = |name: &str, options: &str| -> ndarray::Array4<f32> {
        bench.succeed(&format!(
            "predict v.tif --model wnet3d -w h.safetensors -o {name}.npy --normalise --device cpu {options}"
        ));
        ndarray_npy::read_npy(bench.path(&format!("{name}.npy"))).expect("an array")
    };
    let (single, half) = (map("single", ""), map("half", "--compute bf16"));
    let difference = (&single - &half).mapv(f32::abs).mean().expect("some voxels");
    assert!(difference > 0.0 && difference < 0.02, "{difference}");
    let found =
        json(&bench.succeed("segment v.tif -w h.safetensors -o l.tif --compute bf16 --device cpu --json"));
    assert_eq!(found["device"], "the CPU");
    let settings = fs::read_to_string(bench.path("l.run.toml")).expect("the settings in effect");
    assert!(settings.contains("compute = \"bf16\""), "{settings}");
}

#[test]
fn devices_are_chosen_by_name_and_a_wrong_or_missing_one_is_told() {
    let bench = Bench::new();
    bench.synthetic();
    bench.fast_settings(1);
    let train = "train v.tif -o w.safetensors --config fast.toml";
    let wrong = bench.run(&format!("{train} --device gpu"));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("expected auto, cpu, cuda, or cuda:N"), "{}", text(&wrong.stderr));
    let named = |name: &str| {
        let output = bench.command(train).env("CELLSEG_DEVICE", name).output().expect("the program starts");
        (output.status.code(), text(&output.stderr))
    };
    let (code, told) = named("gpu");
    assert_eq!(code, Some(1));
    assert!(told.contains("CELLSEG_DEVICE") && told.contains("`gpu`"), "{told}");
    // More GPUs than any machine has.
    let (code, told) = named("cuda:4096");
    assert_eq!(code, Some(1));
    assert!(told.contains("CUDA") && !told.contains("panicked"), "{told}");
    assert!(!bench.path("w.safetensors").exists() && !bench.path("w.run.toml").exists());

    let info = |command: &str, device: &str| {
        let output =
            bench.command(command).env("CELLSEG_DEVICE", device).output().expect("the program starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    // This command tells what is missing, and does not fail of it.
    let machine = json(&info("info --json", "cuda:4096"));
    assert!(machine["device"].is_null() && machine["choice"] == "cuda:4096", "{machine}");
    assert!(machine["missing"].as_str().is_some_and(|why| why.contains("CUDA")), "{machine}");
    assert!(info("info", "cuda:4096").contains("networks cannot run on cuda:4096"));
    let machine = json(&info("info --json", "cpu"));
    assert_eq!((&machine["device"], &machine["choice"]), (&"the CPU".into(), &"cpu".into()));
    let gpus = machine["gpus"].as_array().expect("a list").len();
    assert!(gpus > 0 || machine["missing"].as_str().is_some_and(|why| why.contains("CUDA")), "{machine}");
    let told = bench.succeed("info");
    assert!(told.contains("networks run on") && told.contains("threads"), "{told}");
}

fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[cfg(unix)]
fn a_disk_that_fills_up_leaves_no_half_written_file() {
    let bench = Bench::new();
    let program = env!("CARGO_BIN_EXE_cellseg");
    let line = format!("ulimit -f 4; exec {program} synth -o big.npy --shape 32,64,64 --nuclei 9");
    let output =
        Command::new("sh").arg("-c").arg(line).current_dir(bench.0.path()).output().expect("sh runs");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("big.npy"), "{told}");
    assert_eq!(bench.files(), Vec::<String>::new());
}
