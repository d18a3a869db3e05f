//! Post-processing steps on a volume of touching nuclei, one a process: `compare.py` runs them beside their peers.
//!
//! ```sh
//! python benches/post/make_volume.py 512              # prob512.npy, img512.npy, lab512.npy in the working folder
//! cargo build --release --bench post                  # prints the program's path
//! RAYON_NUM_THREADS=1 taskset -c 1 PROGRAM . 512 components26 5
//! ```
//!
//! The last number is how often the step runs; the least processor time counts. Printed are the step, the threads, seconds of
//! processor and of wall-clock time, the peak of memory over the inputs in bytes a voxel, and what was found. What was measured
//! stands in the section "Post-processing" of `README.md` beside this file.

use std::time::Instant;

use cellseg::post::{
    Connectivity, Criterion, DenseCrf, Flood, InstanceOptions, MaximaRule, OtsuRule, Overlaps, SeedTies,
    Spacing, Threshold, VoronoiOtsu, components, contacts, dense_crf_foreground, distance_transform_of_ids,
    fill_holes, gaussian, instances, mask_above, otsu, percentiles, persistent_peaks, regions, seed_volume,
    solidities, squared_distance_transform, surface_areas, voronoi_otsu, watershed_with,
};
use ndarray::{Array3, Axis};
use ndarray_npy::{ReadableElement, read_npy};

struct Bench {
    folder: String,
    side: usize,
    step: String,
    times: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder, side, step, times] = arguments.as_slice() else {
        println!("usage: post FOLDER SIDE STEP TIMES (see the top of benches/post.rs)");
        return;
    };
    let number = |text: &String| text.parse().expect("SIDE and TIMES are numbers");
    Bench { folder: folder.clone(), side: number(side), step: step.clone(), times: number(times) }.run();
}

impl Bench {
    fn read<T: ReadableElement>(&self, name: &str) -> Array3<T> {
        let path = format!("{}/{name}{}.npy", self.folder, self.side);
        read_npy(&path).unwrap_or_else(|error| panic!("{path}: {error}; make_volume.py makes it"))
    }

    fn probability(&self) -> Array3<f32> {
        self.read("prob")
    }

    fn mask(&self) -> Array3<bool> {
        mask_above(self.probability().view(), 0.5)
    }

    fn labels(&self) -> Array3<u32> {
        self.read("lab")
    }

    /// The labels and the same moved by one voxel along x.
    fn two_labels(&self) -> [Array3<u32>; 2] {
        let labels = self.labels();
        let mut moved = labels.clone();
        for mut row in moved.rows_mut() {
            row.as_slice_mut().expect("rows are contiguous").rotate_right(1);
        }
        [labels, moved]
    }

    /// The negative distance, the peaks apart in it as seeds, and the mask.
    fn landscape(&self) -> (Array3<f32>, Array3<u32>, Array3<bool>) {
        let mask = self.mask();
        let distance = squared_distance_transform(mask.view(), Spacing::VOXELS).mapv_into(f32::sqrt);
        let peaks = persistent_peaks(distance.view(), mask.view(), 0.2, Connectivity::TwentySix)
            .expect("finite heights");
        let seeds = seed_volume(&peaks, [self.side; 3]).expect("peaks lie inside");
        (distance.mapv_into(|value| -value), seeds, mask)
    }

    fn run(&self) {
        let anisotropic = Spacing::new(5.0, 1.5, 1.5).expect("above zero");
        let step = self.step.as_str();
        match step {
            "components6" | "components18" | "components26" => {
                let mask = self.mask();
                let connectivity = match step {
                    "components6" => Connectivity::Six,
                    "components18" => Connectivity::Eighteen,
                    _ => Connectivity::TwentySix,
                };
                self.time(
                    || components(mask.view(), connectivity).expect("few runs"),
                    |labels| labels.count(),
                );
            }
            "holes" => {
                let mask = self.mask();
                let count = |filled: &Array3<bool>| filled.iter().filter(|inside| **inside).count();
                self.time(|| fill_holes(mask.view()).expect("few runs"), count);
            }
            "distance" | "distance_5_1.5_1.5" => {
                let mask = self.mask();
                let spacing = if step == "distance" { Spacing::VOXELS } else { anisotropic };
                self.time(
                    || cellseg::post::distance_transform(mask.view(), spacing),
                    |d| d.fold(0.0f32, |a, b| a.max(*b)),
                );
            }
            "gaussian1" | "gaussian2" => {
                let image = self.read::<f32>("img");
                let sigma = if step == "gaussian1" { 1.0 } else { 2.0 };
                self.time(|| gaussian(image.view(), [sigma; 3]).expect("a sigma in range"), |b| b[[1, 1, 1]]);
            }
            "h_maxima" => {
                let (landscape, _, mask) = self.landscape();
                let height = landscape.mapv_into(|value| -value);
                self.time(
                    || {
                        persistent_peaks(height.view(), mask.view(), 0.2, Connectivity::TwentySix)
                            .expect("finite")
                    },
                    Vec::len,
                );
            }
            "watershed" | "watershed_compat" => {
                let (landscape, seeds, mask) = self.landscape();
                let ties = if step == "watershed" { SeedTies::Raster } else { SeedTies::Skimage };
                let flood = Flood { connectivity: Connectivity::Six, ties, ..Flood::default() };
                self.time(
                    || watershed_with(landscape.view(), seeds.view(), mask.view(), &flood).expect("finite"),
                    |ids| ids.iter().filter(|id| **id != 0).count(),
                );
            }
            "voronoi_otsu" => {
                let map = self.probability();
                let settings = VoronoiOtsu {
                    spot_sigma: 0.65,
                    outline_sigma: 0.65,
                    threshold: Threshold::Otsu(OtsuRule::Skimage),
                    maxima: MaximaRule::Plateau,
                };
                self.time(
                    || voronoi_otsu(map.view(), Spacing::VOXELS, &settings).expect("a map with two classes"),
                    |labels| labels.count(),
                );
            }
            "regions" => {
                let labels = self.labels();
                self.time(|| regions(labels.view(), None, Spacing::VOXELS).expect("labels"), Vec::len);
            }
            "regions_with_image" => {
                let (labels, image) = (self.labels(), self.read::<f32>("img"));
                let measure = || regions(labels.view(), Some(image.view()), Spacing::VOXELS).expect("finite");
                self.time(measure, Vec::len);
            }
            "solidity" => {
                let labels = self.labels();
                self.time(|| solidities(labels.view()), Vec::len);
            }
            "distance_of_ids" => {
                let labels = self.labels();
                self.time(
                    || distance_transform_of_ids(labels.view(), Spacing::VOXELS),
                    |d| d.fold(0.0f32, |a, b| a.max(*b)),
                );
            }
            "instances" => {
                let map = self.probability();
                let options = InstanceOptions::default();
                let find =
                    || instances(map.view(), Spacing::VOXELS, &options).expect("a map with two classes");
                self.time(find, |labels| labels.count());
            }
            "surface" => {
                let labels = self.labels();
                let total = |areas: &Vec<(u32, f64)>| areas.iter().map(|(_, area)| area).sum::<f64>();
                self.time(|| surface_areas(labels.view(), Spacing::VOXELS), total);
            }
            "contacts" => {
                let labels = self.labels();
                self.time(|| contacts(labels.view(), Spacing::VOXELS), Vec::len);
            }
            "matching" => {
                let [truth, prediction] = self.two_labels();
                let thresholds: Vec<f64> = (1..10).map(|tenth| f64::from(tenth) / 10.0).collect();
                self.time(
                    || {
                        let overlaps = Overlaps::count(truth.view(), prediction.view()).expect("one shape");
                        overlaps.matching(&thresholds, Criterion::Iou).expect("numbers")
                    },
                    |scores| scores[4].tp,
                );
            }
            "crf" => {
                let map = self.probability();
                let image = self.read::<f32>("img").mapv(|value| ((value + 0.2) * 170.0).clamp(0.0, 255.0));
                let settings = DenseCrf { intensity_sigma: Some(5.0), ..DenseCrf::default() };
                let refine = || dense_crf_foreground(map.view(), image.view(), Spacing::VOXELS, &settings);
                self.time(
                    || refine().expect("probabilities"),
                    |refined| refined.iter().filter(|p| **p > 0.5).count(),
                );
            }
            "percentiles" => {
                let image = self.read::<f32>("img");
                self.time(|| percentiles(image.view(), &[1.0, 99.0]).expect("finite"), |q| q[1]);
            }
            "otsu" => {
                let image = self.read::<f32>("img");
                self.time(|| otsu(image.view(), OtsuRule::Skimage).expect("finite"), |t| *t);
            }
            "copy" => {
                let image = self.read::<f32>("img");
                self.time(|| image.clone(), |copy| copy.len_of(Axis(0)));
            }
            other => println!("there is no step {other}"),
        }
    }

    /// Runs `work` several times and prints the least times, the peak of memory and what `found` says.
    fn time<T, F: std::fmt::Display>(&self, work: impl Fn() -> T, found: impl Fn(&T) -> F) {
        // Forgets the peak so far; without the right to do so the peak is that of the whole process.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = memory("VmRSS");
        let (mut processor, mut wall) = (f64::INFINITY, f64::INFINITY);
        let mut result = None;
        for _ in 0..self.times {
            drop(result.take());
            let (start, start_processor) = (Instant::now(), processor_seconds());
            result = Some(work());
            wall = wall.min(start.elapsed().as_secs_f64());
            processor = processor.min(processor_seconds() - start_processor);
        }
        let peak = memory("VmHWM").saturating_sub(before) as f64 / (self.side as f64).powi(3);
        let threads = rayon::current_num_threads();
        if let Some(result) = result {
            println!("{} {threads} {processor:.4} {wall:.4} {peak:.2} {}", self.step, found(&result));
        }
    }
}

/// An entry of /proc/self/status in bytes; 0 where there is none.
fn memory(entry: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(entry));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn processor_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
