//! `cellseg post`: each tool from file to file.

use super::{Bench, json, text};
use cellseg::io::{
    Overwrite, Spacing, Volume, read_any, read_labels, read_volume, write_labels, write_volume,
};
use cellseg::post::Overlaps;
use ndarray::{Array3, Zip, s};
use std::fs;

impl Bench {
    /// Labels `name` with ids 3, 7 and 90,000: two cuboids that touch and a small one; voxels of 2 x 1 x 1 um.
    fn labels(&self, name: &str) -> Array3<u32> {
        let mut ids = Array3::zeros((8, 20, 20));
        ids.slice_mut(s![1..5, 2..10, 2..10]).fill(7);
        ids.slice_mut(s![1..5, 2..10, 10..18]).fill(3);
        ids.slice_mut(s![6..8, 15..17, 15..17]).fill(90_000);
        let spacing = Spacing::new([2.0, 1.0, 1.0]).expect("a spacing");
        let volume = Volume::new(ids.clone(), name).with_spacing(spacing);
        write_labels(self.path(name), &volume, Overwrite::Refuse).expect("a label file");
        ids
    }

    pub(super) fn ids(&self, name: &str) -> Array3<u32> {
        read_labels(self.path(name)).expect("labels").data
    }
}

#[test]
fn boxes_and_cubes_are_cut_in_the_type_and_spacing_of_the_volume() {
    let bench = Bench::new();
    let ids = bench.labels("l.tif");
    let report = json(&bench.succeed("post crop l.tif -o box.tif --start 1,2,8 --size 3,8,4 --json"));
    assert_eq!(report["shape"], serde_json::json!([3, 8, 4]));
    let part = read_any(bench.path("box.tif")).expect("a volume");
    assert_eq!(part.dtype(), read_any(bench.path("l.tif")).expect("a volume").dtype());
    assert_eq!(part.spacing(), Some(Spacing::new([2.0, 1.0, 1.0]).expect("a spacing")));
    assert_eq!(bench.ids("box.tif"), ids.slice(s![1..4, 2..10, 8..12]));
    bench.fail("post crop l.tif -o b.tif --start 1,2,8 --size 3,8,40", &["8..48", "[8, 20, 20]"]);
    bench.fail("post crop l.tif -o b.tif --start 1,2,8 --size 3,0,4", &["2..2"]);

    let report = json(&bench.succeed("post fragment l.tif -o cubes --side 8 --json"));
    assert_eq!(report["files"].as_array().map(Vec::len), Some(9));
    let mut whole = Array3::zeros((8, 20, 20));
    for (y, x) in [0, 8, 16].into_iter().flat_map(|y| [0, 8, 16].map(|x| (y, x))) {
        let cube = bench.ids(&format!("cubes/l_z0000_y{y:04}_x{x:04}.tif"));
        whole.slice_mut(s![.., y..(y + 8).min(20), x..(x + 8).min(20)]).assign(&cube);
    }
    assert_eq!(whole, ids);
    bench.fail("post fragment l.tif -o cubes --side 8", &["l_z0000_y0000_x0000.tif exists", "--force"]);
}

#[test]
fn resampling_makes_voxels_equal_and_keeps_ids_and_extent() {
    let bench = Bench::new();
    let ids = bench.labels("l.tif");
    bench.succeed("post resample l.tif -o iso.tif --labels");
    let iso = read_labels(bench.path("iso.tif")).expect("labels");
    assert_eq!((iso.shape(), iso.spacing), ([16, 20, 20], Some(Spacing::new([1.0; 3]).expect("a spacing"))));
    assert!(iso.data.indexed_iter().all(|((z, y, x), &id)| id == ids[[z / 2, y, x]]));
    bench.succeed("post resample iso.tif -o back.tif --labels --to 2,1,1");
    assert_eq!(bench.ids("back.tif"), ids);
    bench.volume("ramp.npy", Array3::from_shape_fn((6, 8, 8), |(z, _, _)| z as f32));
    bench.succeed("post resample ramp.npy -o fine.npy --spacing 3,1,1");
    let fine = read_volume(bench.path("fine.npy")).expect("a volume");
    assert_eq!(fine.shape(), [18, 8, 8]);
    assert!((fine.data[[10, 4, 4]] - 3.0f32).abs() < 1e-6, "the middle of plane 3 stays");
    bench.fail("post resample ramp.npy -o f.npy", &["spacing of 1,1,1 already", "--to"]);
    bench.fail("post resample ramp.npy -o f.npy --to 1e-5,1e-5,1e-5", &["voxels or more"]);
}

#[test]
fn instances_and_masks_go_over_into_each_other() {
    let bench = Bench::new();
    let ids = bench.labels("l.tif");
    bench.succeed("post semantic l.tif -o m.tif");
    let mask = bench.ids("m.tif");
    assert!(Zip::from(&mask).and(&ids).all(|&inside, &id| inside == u32::from(id > 0)));
    let report =
        json(&bench.succeed(
            "post instances m.tif -o c.tif --method components --threshold 0.5 --min-volume 0 --json",
        ));
    assert_eq!(report["objects"], 2, "the two that touch are one");
    let report = json(&bench.succeed("post relabel l.tif -o r.tif --json"));
    assert_eq!(report["objects"], 3);
    let ranks = ids.mapv(|id| match id {
        3 => 1,
        7 => 2,
        90_000 => 3,
        other => other,
    });
    assert_eq!(bench.ids("r.tif"), ranks);

    bench.synthetic();
    let truth = bench.ids("v_labels.tif");
    for method in ["peaks", "voronoi-otsu", "watershed", "cellseg3d-voronoi-otsu", "cellseg3d-watershed"] {
        let threshold = if method.ends_with("watershed") { "--threshold 0.3" } else { "" };
        let name = format!("{method}.tif");
        let threshold = if method.starts_with("cellseg3d-v") { "" } else { threshold };
        bench.succeed(&format!("post instances v.tif -o {name} --method {method} {threshold}"));
        let found = bench.ids(&name);
        if threshold.is_empty() {
            let overlaps = Overlaps::count(truth.view(), found.view()).expect("one shape");
            assert!(!overlaps.prediction().is_empty(), "{method}");
        }
    }
    bench.fail(
        "post instances v.tif -o x.tif --method cellseg3d-voronoi-otsu --diameter 5",
        &["no settings", "--diameter"],
    );
    bench.fail("post instances v.tif -o x.tif --diameter=-5", &["diameter is -5"]);
    let wrong = bench.run("post instances v.tif -o x.tif --connectivity 8");
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

#[test]
fn seeds_are_flooded_and_what_was_divided_too_far_is_merged() {
    let bench = Bench::new();
    // Two balls of radius 6, 9 voxels apart, the second one dimmer; and their map as it falls off.
    let place = |z: usize, y: usize, x: usize, centre: f32| {
        ((z as f32 - 8.0).powi(2) + (y as f32 - 8.0).powi(2) + (x as f32 - centre).powi(2)).sqrt()
    };
    let map = Array3::from_shape_fn((17, 17, 26), |(z, y, x)| {
        let fall = |distance: f32| 1.0 / (1.0 + (distance - 6.0).exp());
        fall(place(z, y, x, 8.0)).max(0.9 * fall(place(z, y, x, 17.0)))
    });
    bench.volume("p.tif", map.clone());
    let objects = |line: &str| {
        json(&bench.succeed(&format!("post {line} --spacing 1,1,1 --force --json")))["objects"].clone()
    };
    for options in [
        "--method peaks --h 0.01",
        "--method distance --h 0.3 --threshold 0.4",
        "--method blobs --h 0.02 --threshold 0.4 --diameter 10",
    ] {
        assert_eq!(objects(&format!("seeds p.tif -o s.tif {options}")), 2, "{options}");
        let seeds = bench.ids("s.tif");
        assert!(seeds.slice(s![6..11, 6..11, 5..11]).iter().any(|&id| id > 0), "{options}");
        assert!(seeds.slice(s![6..11, 6..11, 14..20]).iter().any(|&id| id > 0), "{options}");
    }
    assert_eq!(objects("seeds p.tif -o t.tif --h 0.01 --apart 12"), 1);

    assert_eq!(objects("watershed p.tif --seeds s.tif --threshold 0.4 -o w.tif"), 2);
    let whole = bench.ids("w.tif");
    assert!(Zip::from(&whole).and(&map).all(|&id, &value| (id > 0) == (value > 0.4)));
    assert!(whole[[8, 8, 4]] != whole[[8, 8, 21]]);
    // Objects have the ids of their seeds.
    let seeds = bench.ids("s.tif").mapv(|id| [0, 9, 5][id as usize]);
    write_labels(bench.path("n.tif"), &Volume::new(seeds.clone(), "n"), Overwrite::Refuse).expect("labels");
    assert_eq!(objects("watershed p.tif --seeds n.tif --threshold 0.4 -o n_flooded.tif"), 2);
    assert!(Zip::from(&bench.ids("n_flooded.tif")).and(&seeds).all(|&id, &seed| seed == 0 || id == seed));
    assert_eq!(objects("watershed p.tif --seeds s.tif --threshold 0.4 --line -o l.tif"), 2);
    let lined = bench.ids("l.tif");
    assert!(Zip::from(&lined).and(&whole).all(|&thin, &id| thin == 0 || thin == id));
    assert!(lined.iter().filter(|&&id| id > 0).count() < whole.iter().filter(|&&id| id > 0).count());
    assert_eq!(objects("watershed p.tif --seeds s.tif --threshold 0.4 --compactness 10 -o c.tif"), 2);
    assert_eq!(objects("watershed p.tif --saliency 0.01 --threshold 0.4 -o h.tif"), 2);
    assert_eq!(objects("watershed p.tif --saliency 0.6 --threshold 0.4 -o h.tif"), 1);

    bench.volume("b.tif", map.mapv(|value| 1.0 - value));
    assert_eq!(objects("merge w.tif --borders b.tif --below 0.9 -o m.tif"), 1);
    assert_eq!(objects("merge w.tif --borders b.tif --below 0 -o m.tif"), 2);

    bench.volume("small.npy", Array3::zeros((2, 2, 2)));
    for (line, needle) in [
        ("seeds p.tif -o x.tif --h=-1", "-1"),
        ("seeds p.tif -o x.tif --h 1 --method blobs", "--diameter"),
        ("seeds p.tif -o x.tif --h 1 --method distance", "--threshold"),
        ("watershed p.tif --seeds small.npy -o x.tif", "[2, 2, 2]"),
        ("watershed p.tif --saliency=-1 -o x.tif", "--saliency is -1"),
        ("watershed p.tif --seeds s.tif --compactness=-1 -o x.tif", "-1"),
        ("merge w.tif --borders small.npy --below 1 -o x.tif", "[2, 2, 2]"),
        ("merge w.tif --borders b.tif --below nan -o x.tif", "NaN"),
    ] {
        bench.fail(&format!("post {line}"), &[needle]);
    }
    assert!(!bench.path("x.tif").exists());
}

#[test]
fn small_and_large_objects_go_by_voxels_and_by_volume() {
    let bench = Bench::new();
    bench.labels("l.tif");
    // 256, 256 and 8 voxels of 2 cubic micrometres.
    for (options, left) in [
        ("--min-voxels 9", 2),
        ("--min-voxels 8", 3),
        ("--max-voxels 255", 1),
        ("--min-volume 17", 2),
        ("--min-volume 16 --max-volume 511", 1),
        ("--min-voxels 9 --max-volume 100", 0),
    ] {
        let report = json(&bench.succeed(&format!("post sizes l.tif -o s.tif {options} --force --json")));
        assert_eq!(report["objects"], left, "{options}");
        assert_eq!(bench.ids("s.tif").iter().max().copied(), Some(left), "{options}");
    }
    bench.fail("post sizes l.tif -o n.tif", &["--min-voxels", "--max-volume"]);
    assert!(!bench.path("n.tif").exists());
}

#[test]
fn artifacts_are_named_by_the_ids_of_the_file() {
    let bench = Bench::new();
    let mut ids = Array3::<u32>::zeros((8, 60, 60));
    for number in 0..16usize {
        let (y, x) = (2 + 14 * (number / 4), 2 + 14 * (number % 4));
        ids.slice_mut(s![1..6, y..y + 6, x..x + 6]).fill(100 + 5 * number as u32);
    }
    ids.slice_mut(s![0..8, 30..56, 2..14]).fill(4242);
    write_labels(bench.path("l.tif"), &Volume::new(ids.clone(), ""), Overwrite::Refuse).expect("labels");
    let image = ids.mapv(|id| if id == 125 { 900.0 } else { 100.0f32 + (id % 7) as f32 });
    write_volume(bench.path("i.tif"), &Volume::new(image, ""), Overwrite::Refuse).expect("an image");
    let report =
        json(&bench.succeed("post artifacts l.tif --image i.tif -o clean.tif --spacing 1,1,1 --json"));
    let removed = report["removed"].as_array().expect("a list");
    let reason = |label: u32| {
        let object = removed.iter().find(|object| object["label"] == label);
        object.unwrap_or_else(|| panic!("{label} in {report}"))["reasons"][0].as_str().expect("a text")
    };
    assert!(reason(4242).starts_with("volume 2496"), "{report}");
    assert!(reason(125).starts_with("mean intensity 900"), "{report}");
    let clean = bench.ids("clean.tif");
    assert!(Zip::from(&clean).and(&ids).all(|&new, &old| (new == 0) == matches!(old, 0 | 4242 | 125)));
    assert!(bench.succeed("post artifacts l.tif -o c.tif").contains("removed 4242: volume"));
    bench.fail("post artifacts l.tif -o d.tif --tolerance 0", &["tolerance", "above 0"]);
}

#[test]
fn thresholds_are_given_found_or_fitted() {
    let bench = Bench::new();
    let map = Array3::from_shape_fn(
        (4, 10, 10),
        |(z, y, x)| if x < 5 { 0.1 } else { 0.7 } + 0.001 * (z + y) as f32,
    );
    let truth = map.mapv(|value| u32::from(value > 0.5));
    bench.volume("p.npy", map);
    write_labels(bench.path("t.npy"), &Volume::new(truth.clone(), ""), Overwrite::Refuse).expect("labels");
    for options in ["--value 0.5", "--method otsu", "--method li", "--method triangle", "", "--value=-1"] {
        bench.succeed(&format!("post threshold p.npy -o m.npy --force {options}"));
        let mask = bench.ids("m.npy");
        match options {
            "--value=-1" => assert!(mask.iter().all(|&inside| inside == 1)),
            "--method triangle" => assert!(mask.iter().any(|&inside| inside == 1)),
            _ => assert_eq!(mask, truth, "{options}"),
        }
    }
    let report = json(&bench.succeed("post best-threshold p.npy --truth t.npy --steps 9 --json"));
    assert_eq!(report["best"]["dice"], 1.0);
    assert_eq!(report["tried"].as_array().map(Vec::len), Some(9));
    assert!(bench.succeed("post best-threshold p.npy --truth t.npy").contains("best: "));
    bench.volume("small.npy", Array3::zeros((2, 2, 2)));
    bench.fail("post best-threshold small.npy --truth t.npy", &["small.npy", "[2, 2, 2]", "[4, 10, 10]"]);
    bench.volume("flat.npy", Array3::from_elem((3, 3, 3), 2.0));
    bench.fail("post threshold flat.npy -o f.npy", &["every voxel is 2"]);
}

#[test]
fn a_noisy_map_is_refined_by_the_edges_of_its_image() {
    let bench = Bench::new();
    let image = Array3::from_shape_fn((8, 16, 16), |(z, _, x)| if x < 8 { 10.0 } else { 200.0 } + z as f32);
    let map = Array3::from_shape_fn((8, 16, 16), |(z, y, x)| {
        let noise = ((z * 31 + y * 17 + x * 13) % 23) as f32 / 23.0;
        if x < 8 { 0.6 * noise } else { 0.4 + 0.6 * noise }
    });
    bench.volume("i.npy", image);
    bench.volume("p.npy", map);
    bench.succeed("post crf p.npy --image i.npy -o q.npy");
    let refined = read_volume(bench.path("q.npy")).expect("a volume").data;
    assert!(refined.indexed_iter().all(|((_, _, x), &p)| (p > 0.5) == (x >= 8)));
    bench.fail("post crf i.npy --image p.npy -o r.npy", &["a probability is"]);
    bench.fail("post crf p.npy --image i.npy -o r.npy --appearance-sigma 0", &["appearance_sigma is 0"]);
}

#[test]
fn pictures_tables_and_scores_are_tools_too() {
    let bench = Bench::new();
    bench.synthetic();
    bench.succeed("post overlay v.tif v_labels.tif -o o.png");
    assert!(fs::read(bench.path("o.png")).expect("a picture").starts_with(b"\x89PNG"));
    bench.succeed("post stats v_labels.tif --image v.tif -o t.csv");
    bench.succeed("stats v_labels.tif --image v.tif -o u.csv");
    assert_eq!(
        fs::read(bench.path("t.csv")).expect("a table"),
        fs::read(bench.path("u.csv")).expect("a table")
    );
    bench.succeed("post stats v_labels.tif --image v.tif --all -o a.csv");
    let all = fs::read_to_string(bench.path("a.csv")).expect("a table");
    assert!(all.lines().next().is_some_and(|header| header.contains("solidity,axis_major_z")), "{all}");
    bench.succeed("post stats v_labels.tif -o b.csv --atlas v_labels.tif --atlas-output regions.csv");
    let regions = fs::read_to_string(bench.path("regions.csv")).expect("a table");
    assert!(regions.starts_with("region,objects,object_volume_um3,volume_um3,objects_per_mm3"), "{regions}");
    assert_eq!(regions.lines().count(), all.lines().count() + 1, "all cells, and what is outside of them");
    let score = json(&bench.succeed("post score --truth v_labels.tif --prediction v_labels.tif --json"));
    assert_eq!(score["f1"], 1.0);
    bench.labels("l.tif");
    bench.fail("post overlay v.tif l.tif -o p.png", &["v.tif", "[16, 32, 32]", "[8, 20, 20]"]);
    bench.fail("post semantic v.tif -o nowhere/m.tif", &["nowhere", "does not exist"]);
    bench.fail("post semantic v_labels.tif -o v.tif", &["v.tif exists"]);
    assert!(!bench.files().iter().any(|name| name.contains("tmp")), "{:?}", bench.files());
}
